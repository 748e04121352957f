"""Tracks: folders with audio files of each stem, their headers, and their samples."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from ..audio.reader import is_cut_short, sound_name
from ..audio.stems import resampled_length
from ..errors import UserError
from ..files import list_files, relative_path
from .layout import MIXTURE, Layout

SUFFIXES = (".wav", ".flac", ".ogg")
"""Endings of stems; a file with an earlier one takes precedence."""

SOUNDS = (*SUFFIXES, ".mp3", ".m4a", ".mp4", ".opus", ".aif", ".aiff", ".wave")
"""Endings of other files that hold a stem or a mixture in a wrong format, probably by mistake."""


class StemFile(NamedTuple):
    """A file of a stem, with its own length, sample rate and number of channels."""

    path: Path
    frames: int
    sample_rate: int
    channels: int


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
        form = (self.frames, self.sample_rate, self.channels)
        return self.files.get(stem, (StemFile(_stem_path(self.folder, stem), *form),))

    def path(self, stem: str) -> Path:
        """Return the first file of a source or of the mixture, which exists or would exist."""
        return next((file.path for file in self.parts(stem)), _stem_path(self.folder, stem))

    def stems(self) -> list[Path]:
        """Return the files of the sources, in order."""
        return [file.path for source in self.sources for file in self.parts(source)]


def read_header(path: Path) -> StemFile:
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
            file = StemFile(path, sound.frames, sound.samplerate, sound.channels)
    except (soundfile.LibsndfileError, OSError):
        raise UserError(f"{path}: not an audio file, or damaged; get a whole copy") from None
    if file.frames == 0:
        raise UserError(f"{path}: holds no samples; get a whole copy")
    return file


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
    folder: Path, layout: Layout, with_mixture: bool | None = True
) -> tuple[Track | None, list[str]]:
    """Find the files of a track and read their headers.

    The mixture's file must exist if `with_mixture` is true. If it is None, the file is read where
    there is one, in any format and spelling; a wrong format is a problem.

    Returns:
        The track, None if it cannot be used; and one line for each problem.
    """
    named = dict(layout.stems)
    if with_mixture is None:
        with_mixture = _has_mixture(folder, layout.mixture)
    if with_mixture and layout.mixture is not None:
        named[MIXTURE] = (layout.mixture,)
    files: dict[str, tuple[StemFile, ...]] = {}
    problems = []
    for stem, names in named.items():
        lenient = layout.missing == "silent" and stem != MIXTURE
        found = []
        for path in [path for name in names for path in _find(folder, name, lenient)]:
            try:
                found.append(read_header(path))
            except UserError as error:
                problems.append(str(error))
        files[stem] = tuple(found)
    every = [file for found in files.values() for file in found]
    if not problems and not any(files[stem] for stem in layout.stems):
        problems.append(f"{folder}: holds none of the stems {', '.join(layout.stems)}")
    problems += _differences(every, layout)
    if problems:
        return None, problems
    rate = layout.sample_rate or every[0].sample_rate
    channels = layout.channels or every[0].channels
    lengths = [resampled_length(file.frames, file.sample_rate, rate) for file in every]
    # Silence follows the end of a shorter track: networks refuse more channels than samples.
    frames = max(channels, *lengths)
    return Track(folder.name, folder, tuple(layout.stems), frames, rate, channels, files), []


def _has_mixture(folder: Path, name: str | None) -> bool:
    place = folder if name is None else (folder / name).parent
    if name is None or not place.is_dir():
        return False
    return any(path.stem.lower() == Path(name).name.lower() for path in list_files(place, SOUNDS))


def _stem_path(folder: Path, stem: str) -> Path:
    return folder / f"{stem}{SUFFIXES[0]}"


def _find(folder: Path, name: str, lenient: bool) -> list[Path]:
    """Return the files that a name stands for: that of the name, or those in such a folder.

    Without any, the result is empty if `lenient`, and otherwise the wav file that is missing.
    """
    for suffix in SUFFIXES:
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return [path]
    found = list_files(folder / name, SUFFIXES) if (folder / name).is_dir() else []
    return found if found or lenient else [_stem_path(folder, name)]


def _differences(files: Sequence[StemFile], layout: Layout) -> Iterable[str]:
    """Yield a line for each difference from the first file that the layout does not allow."""
    for file in files:
        first = files[0]
        differs = {
            "samples long": (file.frames, first.frames, not _same_length(file, first, layout)),
            "Hz": (file.sample_rate, first.sample_rate, layout.sample_rate is None),
            "channel(s)": (file.channels, first.channels, layout.channels is None),
        }
        for unit, (value, expected, refused) in differs.items():
            if value != expected and refused:
                name = first.path.relative_to(
                    os.path.commonpath([first.path.parent, file.path.parent])
                )
                yield f"{file.path}: {value} {unit}, but {name} beside it {expected}"
        if layout.channels == 2 and file.channels > 2:
            yield f"{file.path}: {file.channels} channel(s) cannot be converted to 2"


def _same_length(file: StemFile, first: StemFile, layout: Layout) -> bool:
    """Return whether two files are equally long, or may differ in length."""
    if layout.missing == "silent" or file.frames == first.frames:
        return True
    if layout.sample_rate is None or file.sample_rate == first.sample_rate:
        return False
    # Lengths at other rates are rounded.
    one, two = (
        resampled_length(each.frames, each.sample_rate, layout.sample_rate)
        for each in (file, first)
    )
    return abs(one - two) <= 1


def common_format(tracks: Sequence[Track], sample_rate: int | None = None) -> tuple[int, int]:
    """Return the sample rate and number of channels that all tracks share.

    Raises:
        UserError: there is no track, or one differs from the first, or from a required sample rate.
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
    return relative_path(os.path.abspath(path), root)


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
    """Return a SHA-256 that identifies the state of a data set.

    It covers the names, sizes and lengths of the tracks' files, not their samples. Names are
    relative to `root`: a copy elsewhere has the same fingerprint.

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


def read_stem(
    track: Track, stem: str, start: int = 0, frames: int | None = None, speed: float = 1.0
) -> np.ndarray:
    """Read a part of a source or of the mixture, in the format of the track.

    Args:
        track: the track.
        stem: name of the source, or `"mixture"`.
        start: the part's first sample.
        frames: its length in samples; None means the whole track. Silence follows the end of a
            file.
        speed: factor of pitch and tempo.

    Returns:
        The sum of the files, float32 `(C, frames)`; zeros if there are none.

    Raises:
        UserError: as `read_segment`.
    """
    frames = track.frames if frames is None else frames
    total = None
    for file in track.parts(stem):
        ratio = file.sample_rate / track.sample_rate
        first = start if ratio == 1 else round(start * ratio)
        left = max(0, file.frames - first)
        samples = read_segment(file.path, first, left, frames, speed * ratio)
        if len(samples) != track.channels:
            # The mean of the channels, or mono on both.
            mono = samples.mean(axis=0, keepdims=True) if track.channels == 1 else samples
            samples = np.repeat(mono, track.channels, axis=0)
        total = samples if total is None else total + samples
    return np.zeros((track.channels, frames), np.float32) if total is None else total


def read_segment(path: Path, start: int, available: int, frames: int, speed: float) -> np.ndarray:
    """Read a segment at a playing speed.

    Args:
        path: the file.
        start: first sample of the segment.
        available: number of samples that the file has from there on, at least. Silence follows
            them.
        frames: length of the segment in samples.
        speed: factor of pitch and tempo.

    Returns:
        A float32 array `(C, frames)`; full scale is +-1.

    Raises:
        UserError: the file is missing or damaged, ends before the segment does, or the segment
            holds NaN or infinite samples.
    """
    wanted = min(math.ceil(frames * speed), available)
    samples = _read_samples(path, start if wanted else 0, wanted)
    if speed != 1.0 and wanted:
        samples = soxr.resample(samples.T, speed, 1.0).T[:, :frames]
    missing = frames - samples.shape[-1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing else samples


def _read_samples(path: Path, start: int, frames: int) -> np.ndarray:
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
