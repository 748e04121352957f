"""Tracks: folders with audio files for each stem, and their headers."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import soundfile

from ..audio.headers import is_cut_short, sound_name
from ..audio.resampling import resampled_length
from ..errors import UserError
from ..files import list_files
from .layout import MIXTURE, Layout

SUFFIXES = (".wav", ".flac", ".ogg")
"""Endings of stems; a file with an earlier one takes precedence."""


class Header(NamedTuple):
    """What the header of an audio file says."""

    frames: int
    sample_rate: int
    channels: int


class StemFile(NamedTuple):
    """A file of a stem, with its own length, rate and number of channels."""

    path: Path
    header: Header


@dataclass(frozen=True)
class Track:
    """A folder with the files of each source.

    Attributes:
        name: the folder's name.
        folder: the folder that holds the files.
        sources: names of the stems, in the order of the tensors made of them.
        frames: length in samples, at the sample rate.
        sample_rate: in hertz, of the samples that are read.
        channels: number of channels of the samples that are read.
        files: from a source, or `"mixture"`, to the files whose sum it is; without any it is
            silent. One that is left out is the wav file of its name, in the track's format.
    """

    name: str
    folder: Path
    sources: tuple[str, ...]
    frames: int
    sample_rate: int
    channels: int
    files: Mapping[str, tuple[StemFile, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def parts(self, stem: str) -> tuple[StemFile, ...]:
        """Return the files whose sum a source is, or the mixture (`"mixture"`)."""
        header = Header(self.frames, self.sample_rate, self.channels)
        return self.files.get(stem, (StemFile(_stem_path(self.folder, stem), header),))

    def path(self, stem: str) -> Path:
        """Return the first file of a source or of the mixture, which exists or would exist."""
        return next((file.path for file in self.parts(stem)), _stem_path(self.folder, stem))

    def stems(self) -> list[Path]:
        """Return the files of the sources, in order."""
        return [file.path for source in self.sources for file in self.parts(source)]


def read_header(path: Path) -> Header:
    """Read the header of a stem.

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
    """Return advice on a missing stem, which may exist in another format or spelling."""
    beside = list_files(missing.parent) if missing.parent.is_dir() else []
    for path in beside:
        if path.stem.lower() == missing.stem.lower():
            if path.suffix.lower() not in SUFFIXES:
                return f"convert {path.name} beside it to {missing.name}"
            return f"rename {path.name} beside it to {missing.stem}{path.suffix.lower()}"
    return "get the whole data set"


def inspect_track(
    folder: Path, layout: Layout | Sequence[str], with_mixture: bool = True
) -> tuple[Track | None, list[str]]:
    """Find the files of a track and read their headers.

    Args:
        folder: the track's folder.
        layout: of the data set; names of stems mean a layout with these.
        with_mixture: whether the mixture's file must exist too.

    Returns:
        The track, None if it cannot be used; and one line for each problem.
    """
    layout = layout if isinstance(layout, Layout) else Layout(stems=layout)
    named = {stem: layout.stems[stem] for stem in layout.stems}
    if with_mixture and layout.mixture is not None:
        named[MIXTURE] = (layout.mixture,)
    files: dict[str, tuple[StemFile, ...]] = {}
    problems = []
    for stem, names in named.items():
        lenient = layout.missing == "silent" and stem != MIXTURE
        found = []
        for path in [path for name in names for path in _find(folder, name, lenient)]:
            try:
                found.append(StemFile(path, read_header(path)))
            except UserError as error:
                problems.append(str(error))
        files[stem] = tuple(found)
    every = [file for found in files.values() for file in found]
    if not problems and not any(files[stem] for stem in layout.stems):
        problems.append(f"{folder}: holds none of the stems {', '.join(layout.stems)}")
    if every:
        problems += _differences(every, layout)
    if problems:
        return None, problems
    rate = layout.sample_rate or every[0].header.sample_rate
    channels = layout.channels or every[0].header.channels
    # Silence follows the end of a shorter track: networks refuse more channels than samples.
    frames = max(channels, *(_length(file, rate) for file in every))
    return Track(folder.name, folder, tuple(layout.stems), frames, rate, channels, files), []


def _find(folder: Path, name: str, lenient: bool) -> list[Path]:
    """Return the files that a name stands for: that of the name, or those in such a folder.

    Args:
        folder: the track's folder.
        name: of a file without ending, or of a folder.
        lenient: whether nothing is returned where there are none, rather than the wav file.
    """
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return [path]
    found = list_files(folder / name, SUFFIXES) if (folder / name).is_dir() else []
    return found if found or lenient else [_stem_path(folder, name)]


def common_format(tracks: Sequence[Track], sample_rate: int | None = None) -> tuple[int, int]:
    """Return the sample rate and number of channels that all tracks share.

    Args:
        tracks: one or more.
        sample_rate: the rate required, in hertz; None accepts the rate of the tracks.

    Raises:
        UserError: there is no track, or one differs from the first or from the rate required.
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


def relative_name(root: str | os.PathLike, path: Path) -> str:
    """Return a file's path relative to the data set's folder, the same on every system."""
    root = os.path.abspath(os.path.expanduser(root))
    return Path(os.path.relpath(os.path.abspath(path), root)).as_posix()


def stamp(path: Path) -> dict[str, int]:
    """Return a file's size in bytes and time of modification in nanoseconds.

    Raises:
        UserError: the file is missing.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the data set's folder") from None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def fingerprint(root: str | os.PathLike, tracks: Iterable[Track]) -> str:
    """Return a hash that identifies the state of a data set.

    It covers the names, sizes and lengths of the tracks' files, not their samples.

    Args:
        root: the data set's folder. Names are relative to it: a copy elsewhere has the same
            fingerprint.
        tracks: in any order.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        UserError: a stem is missing.
    """
    lines = []
    for track in tracks:
        mixture = track.path(MIXTURE)
        for path in [*track.stems(), *([mixture] if mixture.is_file() else [])]:
            name, size = relative_name(root, path), stamp(path)["size"]
            lines.append(f"{name}\0{size}\0{track.frames}\0{track.sample_rate}\n")
    text = "".join(sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _stem_path(folder: Path, stem: str) -> Path:
    return folder / f"{stem}{SUFFIXES[0]}"


def _length(file: StemFile, sample_rate: int) -> int:
    """Return the length of a file in samples after resampling."""
    return resampled_length(file.header.frames, file.header.sample_rate, sample_rate)


def _differences(files: Sequence[StemFile], layout: Layout) -> Iterable[str]:
    """Yield a line for each difference from the first file that the layout does not allow."""
    first = files[0]
    for file in files:
        for index, unit in enumerate(("samples long", "Hz", "channel(s)")):
            value, expected = file.header[index], first.header[index]
            if value != expected and not _is_allowed(index, file, first, layout):
                name = first.path.relative_to(_common_folder(first.path, file.path))
                yield f"{file.path}: {value} {unit}, but {name} beside it {expected}"
        if layout.channels == 2 and file.header.channels > 2:
            yield f"{file.path}: {file.header.channels} channel(s) cannot be converted to 2"


def _is_allowed(index: int, file: StemFile, first: StemFile, layout: Layout) -> bool:
    """Return whether length (0), rate (1) or channels (2) of two files may differ."""
    if index == 0 and layout.missing == "silent":
        return True
    if index == 0 and layout.sample_rate is not None:
        # Lengths at other rates are rounded.
        rates = file.header.sample_rate != first.header.sample_rate
        lengths = [_length(one, layout.sample_rate) for one in (file, first)]
        return rates and abs(lengths[0] - lengths[1]) <= 1
    return (index == 1 and layout.sample_rate is not None) or (
        index == 2 and layout.channels is not None
    )


def _common_folder(first: Path, second: Path) -> Path:
    return Path(os.path.commonpath([first.parent, second.parent]))
