"""Source activity detection: where in a stem something is to be heard.

A window of 6 s consists of 10 chunks, and follows the one before by half its length. A chunk
sounds where its RMS is over the window's threshold: the 0.15 quantile of the RMS of the window's
chunks, but at least 0.001. A window is active where more than half its chunks sound in every
channel.

The quantile decides nothing in music, whose chunks differ in level; but where they are exactly
alike, none is over the quantile of all, and a tone of constant level is not active.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import torch

from ..audio.headers import sound_name
from ..errors import UserError

CHUNK_SECONDS = 0.6
CHUNKS_PER_WINDOW = 10
CHUNKS_PER_STEP = 5
QUANTILE = 0.15
LEAST_RMS = 1e-3
# Sums over chunks of equal level differ by rounding, which must not put them over each other.
ROUNDING = 1e-5


def active_segments(waveform: torch.Tensor | np.ndarray, sample_rate: int = 44100) -> list[int]:
    """Finds the active windows of a signal.

    Args:
        waveform: `(C, L)` or `(L,)`, floating point, full scale being +-1.
        sample_rate: in hertz.

    Returns:
        The first sample of each active window, in order. Windows that reach beyond the end are
        left out; a signal shorter than a window is one window of its own length.

    Raises:
        UserError: the waveform has another shape, is not of floating point, or not finite.

    Example:
        >>> seconds = torch.arange(12 * 8000) / 8000
        >>> tone = torch.sin(2 * torch.pi * 440 * seconds) * (seconds > 6) * seconds
        >>> active_segments(tone, sample_rate=8000)
        [48000]
    """
    if isinstance(waveform, torch.Tensor):
        waveform = waveform.detach().cpu()
        waveform = (waveform.float() if waveform.is_floating_point() else waveform).numpy()
    signal = np.atleast_2d(waveform)
    if signal.ndim != 2 or not np.issubdtype(signal.dtype, np.floating):
        raise UserError(
            "waveform must be floating point of shape (channels, time) or (time,), got"
            f" {signal.dtype} of shape {tuple(signal.shape)}"
        )
    chunk = _chunk_frames(sample_rate, signal.shape[1])
    if chunk == 0:
        return []
    chunks = (signal[:, i : i + chunk].T for i in range(0, signal.shape[1] - chunk + 1, chunk))
    return _active_starts(chunks, chunk, "waveform")


def active_segments_of_file(path: str | os.PathLike) -> list[int]:
    """Finds the active windows of a file, reading it chunk by chunk.

    Args:
        path: an audio file that libsndfile reads, of any sample rate.

    Returns:
        As `active_segments`.

    Raises:
        UserError: the file cannot be read, or holds NaN or infinite samples.
    """
    path = Path(path)
    try:
        with soundfile.SoundFile(sound_name(path)) as sound:
            chunk = _chunk_frames(sound.samplerate, sound.frames)
            if chunk == 0:
                return []
            blocks = sound.blocks(chunk, dtype="float32", always_2d=True)
            chunks = (block for block in blocks if len(block) == chunk)
            return _active_starts(chunks, chunk, str(path))
    except soundfile.LibsndfileError as error:
        raise UserError(
            f"{path}: cannot be read ({error.error_string}); get a whole copy"
        ) from None


def window_frames(sample_rate: int, frames: int) -> int:
    """Length in samples of the windows of a signal of `frames` samples."""
    return min(frames, CHUNKS_PER_WINDOW * round(CHUNK_SECONDS * sample_rate))


def _chunk_frames(sample_rate: int, frames: int) -> int:
    return window_frames(sample_rate, frames) // CHUNKS_PER_WINDOW


def _active_starts(chunks: Iterable[np.ndarray], chunk_frames: int, name: str) -> list[int]:
    """First samples of the active windows of what has this name, from its chunks `(L, C)`."""
    energies = [np.einsum("lc,lc->c", chunk, chunk, dtype=np.float64) for chunk in chunks]
    if len(energies) < CHUNKS_PER_WINDOW:
        raise UserError(f"{name}: ends before the length that its header gives; get a whole copy")
    levels = np.sqrt(np.array(energies) / chunk_frames)
    if not np.isfinite(levels).all():
        raise UserError(f"{name}: NaN or infinite samples; export the audio again")
    windows = np.lib.stride_tricks.sliding_window_view(levels, CHUNKS_PER_WINDOW, axis=0)
    windows = windows[::CHUNKS_PER_STEP]  # (windows, channels, chunks)
    thresholds = np.quantile(windows, QUANTILE, axis=2, keepdims=True).clip(LEAST_RMS)
    sounding = windows > thresholds * (1 + ROUNDING)
    active = (sounding.mean(axis=2) > 0.5).all(axis=1)
    return [int(index) * CHUNKS_PER_STEP * chunk_frames for index in np.flatnonzero(active)]
