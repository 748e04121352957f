"""Parts of stems, read from disk and nothing more than the part."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..audio.headers import sound_name
from ..errors import UserError


def read_samples(path: Path, start: int, frames: int) -> np.ndarray:
    """Reads a part of a file.

    Args:
        path: the file.
        start: the part's first sample.
        frames: its length in samples.

    Returns:
        A float32 array `(C, L)`, contiguous, full scale being +-1.

    Raises:
        UserError: the file is gone or damaged, ends before the part does, or holds NaN or infinite
            samples in it.
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
    """Read a segment at a speed.

    Args:
        path: the file.
        start: first sample of the segment.
        available: length of the file in samples. What is missing at its end becomes silence.
        frames: length of the segment in samples.
        speed: how many times as fast it is played, a factor of pitch and tempo.

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
