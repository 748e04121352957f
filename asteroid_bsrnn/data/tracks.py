"""Tracks: folders with one wav file for each stem; their headers and samples."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from ..audio.headers import is_cut_short, sound_name
from ..errors import UserError
from ..files import list_files

MIXTURE = "mixture"


@dataclass(frozen=True)
class Track:
    """A folder with one wav file for each source, all of the same length, rate and channels.

    Attributes:
        name: the folder's name.
        folder: the folder that holds the files.
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
        """Return the file of a source, or of the mixture (`"mixture"`)."""
        return _stem_path(self.folder, stem)

    def stems(self) -> list[Path]:
        """Return the files of the sources, in order."""
        return [self.path(source) for source in self.sources]


class Header(NamedTuple):
    """What the header of an audio file says."""

    frames: int
    sample_rate: int
    channels: int


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
            action = "rename" if path.suffix.lower() == missing.suffix else "convert"
            return f"{action} {path.name} beside it to {missing.name}"
    return "get the whole data set"


def inspect_track(
    folder: Path, sources: Sequence[str], with_mixture: bool = True
) -> tuple[Track | None, list[str]]:
    """Read the headers of a track's files.

    Args:
        folder: the track's folder.
        sources: names of its stems.
        with_mixture: whether `mixture.wav` must exist too.

    Returns:
        The track, None if it cannot be used; and one line for each problem.
    """
    headers: dict[Path, Header] = {}
    problems = []
    for stem in [*sources, *([MIXTURE] if with_mixture else [])]:
        path = _stem_path(folder, stem)
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


def read_samples(path: Path, start: int, frames: int) -> np.ndarray:
    """Read a part of a file.

    Args:
        path: the file.
        start: the part's first sample.
        frames: its length in samples.

    Returns:
        A contiguous float32 array `(C, L)`; full scale is +-1.

    Raises:
        UserError: the file is missing or damaged, ends before the part does, or the part holds NaN
            or infinite samples.
    """
    try:
        with soundfile.SoundFile(sound_name(path)) as sound:
            sound.seek(start)
            samples = sound.read(frames, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError):
        raise UserError(
            f"{path}: cannot be read at sample {start}; the file is gone or damaged, get a copy"
        ) from None
    if len(samples) < frames:
        raise UserError(
            f"{path}: ends at sample {start + len(samples)}, before the {start + frames} it had"
            " at first; get a whole copy"
        )
    if not np.isfinite(samples).all():
        raise UserError(
            f"{path}: NaN or infinite samples after sample {start}; export the file again"
        )
    return np.ascontiguousarray(samples.T)


def read_segment(path: Path, start: int, available: int, frames: int, speed: float) -> np.ndarray:
    """Read a segment at a playing speed.

    Args:
        path: the file.
        start: first sample of the segment.
        available: length of the file in samples. Silence follows where the file ends too early.
        frames: length of the segment in samples.
        speed: factor of pitch and tempo.

    Returns:
        As `read_samples`, `(C, frames)`.

    Raises:
        UserError: as `read_samples`.
    """
    wanted = min(math.ceil(frames * speed), available)
    samples = read_samples(path, start, wanted)
    if speed != 1.0:
        samples = soxr.resample(samples.T, speed, 1.0).T[:, :frames]
    return np.pad(samples, ((0, 0), (0, frames - samples.shape[-1])))


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
    return folder / f"{stem}.wav"


def _differences(reference: Path, wanted: Header, headers: dict[Path, Header]) -> Iterable[str]:
    units = ("samples long", "Hz", "channel(s)")
    for path, header in headers.items():
        for value, expected, unit in zip(header, wanted, units, strict=True):
            if value != expected:
                yield f"{path}: {value} {unit}, but {reference.name} beside it {expected}"
