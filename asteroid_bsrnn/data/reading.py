"""The samples of a track: parts of its files, resampled, converted and added up."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..audio.headers import sound_name
from ..errors import UserError
from .tracks import Track


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
        UserError: as `read_samples`.
    """
    frames = track.frames if frames is None else frames
    total = None
    for path, header in track.parts(stem):
        ratio = header.sample_rate / track.sample_rate
        first = start if ratio == 1 else round(start * ratio)
        left = max(0, header.frames - first)
        samples = read_segment(path, first, left, frames, speed * ratio)
        samples = _with_channels(samples, track.channels)
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
        As `read_samples`, `(C, frames)`.

    Raises:
        UserError: as `read_samples`.
    """
    wanted = min(math.ceil(frames * speed), available)
    samples = read_samples(path, start if wanted else 0, wanted)
    if speed != 1.0 and wanted:
        samples = soxr.resample(samples.T, speed, 1.0).T[:, :frames]
    missing = frames - samples.shape[-1]
    return np.pad(samples, ((0, 0), (0, missing))) if missing else samples


def _with_channels(samples: np.ndarray, channels: int) -> np.ndarray:
    """Return `(C, L)` with another number of channels: their mean, or mono on all of them."""
    if len(samples) == channels:
        return samples
    if channels == 1:
        return samples.mean(axis=0, keepdims=True)
    return np.repeat(samples, channels, axis=0)
