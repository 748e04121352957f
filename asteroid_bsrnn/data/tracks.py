"""Tracks: folders with one audio file a stem, checked by their headers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import soundfile

from ..audio.headers import is_cut_short, sound_name
from ..errors import UserError
from ..files import list_files

MIXTURE = "mixture"


@dataclass(frozen=True)
class Track:
    """A folder with one wav file a source, all of the same length, rate and channels.

    Attributes:
        name: the folder's name.
        folder: where the files are.
        sources: names of the stems, without `.wav`, in the order of the tensors made of them.
        frames: length in samples.
        sample_rate: in hertz.
        channels: number of channels.
    """

    name: str
    folder: Path
    sources: tuple[str, ...]
    frames: int
    sample_rate: int
    channels: int

    def path(self, stem: str) -> Path:
        """The file of a source, or of the mixture (`"mixture"`)."""
        return stem_path(self.folder, stem)

    def stems(self) -> list[Path]:
        """The files of the sources, in order."""
        return [self.path(source) for source in self.sources]


class Header(NamedTuple):
    """What the header of an audio file says."""

    frames: int
    sample_rate: int
    channels: int


def stem_path(folder: Path, stem: str) -> Path:
    """The file of a stem in a track's folder."""
    return folder / f"{stem}.wav"


def relative_name(root: str | os.PathLike, path: Path) -> str:
    """A file's path relative to the data set's folder, the same on every system."""
    root = os.path.abspath(os.path.expanduser(root))
    return Path(os.path.relpath(os.path.abspath(path), root)).as_posix()


def read_header(path: Path) -> Header:
    """Reads the header of a stem.

    Raises:
        UserError: the file is missing, not audio, empty, or shorter than its header says.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; {_what_to_do(path)}")
    try:
        with soundfile.SoundFile(sound_name(path)) as sound:
            if is_cut_short(path, sound.extra_info):
                raise UserError(f"{path}: shorter than its header says; get a whole copy")
            header = Header(sound.frames, sound.samplerate, sound.channels)
    except (soundfile.LibsndfileError, OSError):
        raise UserError(f"{path}: not an audio file, or damaged; get a whole copy") from None
    if header.frames == 0:
        raise UserError(f"{path}: holds no samples; get a whole copy")
    return header


def _what_to_do(missing: Path) -> str:
    """Return advice on a missing stem, which may be there in another format or spelling."""
    beside = list_files(missing.parent) if missing.parent.is_dir() else []
    for path in beside:
        if path.stem.lower() == missing.stem.lower():
            action = "rename" if path.suffix.lower() == missing.suffix else "convert"
            return f"{action} {path.name} beside it to {missing.name}"
    return "get the whole data set"


def inspect_track(
    folder: Path, sources: Sequence[str], with_mixture: bool = True
) -> tuple[Track | None, list[str]]:
    """Reads the headers of a track's files.

    Args:
        folder: the track's folder.
        sources: names of its stems.
        with_mixture: whether `mixture.wav` must be there, too.

    Returns:
        The track, None where it cannot be used; and one line for everything that is wrong with it.
    """
    headers: dict[Path, Header] = {}
    problems = []
    for stem in [*sources, *([MIXTURE] if with_mixture else [])]:
        path = stem_path(folder, stem)
        try:
            headers[path] = read_header(path)
        except UserError as error:
            problems.append(str(error))
    first = next(iter(headers.items()), None)
    if first is not None:
        problems += _differences(*first, headers)
    if problems or first is None:
        return None, problems
    header = first[1]
    return Track(folder.name, folder, tuple(sources), *header), []


def common_format(tracks: Sequence[Track], sample_rate: int | None = None) -> tuple[int, int]:
    """The sample rate and number of channels that all tracks share.

    Args:
        tracks: one or more.
        sample_rate: the rate wanted, in hertz; None takes whatever the tracks have.

    Raises:
        UserError: there is no track, or one differs from the first or from the rate wanted.
    """
    if not tracks:
        raise UserError("there are no tracks; check the data set's folder and split")
    first = tracks[0]
    wanted = first.sample_rate if sample_rate is None else sample_rate
    for track in tracks:
        if track.sample_rate != wanted:
            raise UserError(
                f"{track.folder}: the sample rate is {track.sample_rate} Hz instead of {wanted} Hz;"
                " resample the data set or choose a model for its rate"
            )
        if (track.channels, track.sources) != (first.channels, first.sources):
            raise UserError(
                f"{track.folder}: {track.channels} channel(s) of {', '.join(track.sources)}, but"
                f" {first.folder} has {first.channels} of {', '.join(first.sources)}"
            )
    return wanted, first.channels


def _differences(reference: Path, wanted: Header, headers: dict[Path, Header]) -> Iterable[str]:
    units = ("samples long", "Hz", "channel(s)")
    for path, header in headers.items():
        for value, expected, unit in zip(header, wanted, units, strict=True):
            if value != expected:
                yield f"{path}: {value} {unit}, but {reference.name} beside it {expected}"
