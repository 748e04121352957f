"""Resampling of a stream of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """Return the number of samples after resampling.

    The duration is rounded to the nearest sample, a half upwards, but a recording never becomes
    empty.
    """
    rounded = (2 * frames * to_rate + from_rate) // (2 * from_rate)
    return max(rounded, min(frames, 1))


def resample_blocks(
    blocks: Iterable[np.ndarray], from_rate: int, to_rate: int, frames: int | None = None
) -> Iterator[np.ndarray]:
    """Resample a stream, with the same result as resampling it in one piece.

    Args:
        blocks: float32 arrays `(C, L)` of any lengths.
        from_rate: sample rate of the blocks, in hertz.
        to_rate: sample rate of the result, in hertz.
        frames: total number of samples of the result, which is cropped or padded with zeros at
            its end. None means `resampled_length` of the input.

    Yields:
        Float32 arrays `(C, L)`, none of them empty, about as long as the blocks at the new rate.
    """
    resampler = None
    channels = received = sent = 0
    for block in blocks:
        channels = block.shape[0]
        received += block.shape[1]
        if from_rate != to_rate:
            if resampler is None:
                resampler = soxr.ResampleStream(from_rate, to_rate, channels, "float32", "HQ")
            block = _resample(resampler, block)
        if frames is not None:
            block = np.ascontiguousarray(block[:, : frames - sent])
        sent += block.shape[1]
        if block.shape[1]:
            yield block
    total = resampled_length(received, from_rate, to_rate) if frames is None else frames
    if resampler is not None:
        rest = _resample(resampler, np.zeros((channels, 0), np.float32), last=True)
        rest = np.ascontiguousarray(rest[:, : total - sent])
        sent += rest.shape[1]
        if rest.shape[1]:
            yield rest
    if sent < total and channels:
        yield np.zeros((channels, total - sent), np.float32)


def _resample(resampler: soxr.ResampleStream, block: np.ndarray, last: bool = False) -> np.ndarray:
    samples = np.ascontiguousarray(block.T, dtype=np.float32)
    return np.ascontiguousarray(resampler.resample_chunk(samples, last=last).T)
