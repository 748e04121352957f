"""Resampling of a stream of blocks."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """Number of samples after resampling.

    Args:
        frames: number of samples before.
        from_rate: sample rate before, in hertz.
        to_rate: sample rate after, in hertz.

    Returns:
        The same duration at the new rate, rounded to the nearest sample (a half upwards); at
        least one sample where there was one.
    """
    rounded = (2 * frames * to_rate + from_rate) // (2 * from_rate)
    return max(rounded, min(frames, 1))


def resample_blocks(
    blocks: Iterable[np.ndarray], from_rate: int, to_rate: int, frames: int | None = None
) -> Iterator[np.ndarray]:
    """Resamples a stream, with the result and the alignment of resampling it in one piece.

    Args:
        blocks: float32 arrays `(C, L)` of any lengths.
        from_rate: their sample rate, in hertz.
        to_rate: the sample rate wanted, in hertz.
        frames: number of samples wanted in all: the end is cropped, or padded with zeros. None
            gives `resampled_length` of the input's number of samples.

    Yields:
        Float32 arrays `(C, L)`, none of them empty; their lengths follow the input's.
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
