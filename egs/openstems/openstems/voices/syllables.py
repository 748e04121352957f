"""Segmentation of a spoken phrase into syllables and their nuclei."""

from __future__ import annotations

import numpy as np
from scipy import ndimage, signal

from .world import HOP, Frames

SILENCE = 42.0
"""Frames that are this many dB below the loudest one are pauses."""
LONGEST_CONSONANTS = round(0.28 / HOP)
SHORTEST_NUCLEUS = 7


def cut(frames: Frames) -> np.ndarray:
    """Return the syllables of one phrase.

    A nucleus is voiced, nearly as sonorous as its peak, and has a steady spectrum. Syllables are
    separated at the least sonorous frame between two nuclei.

    Args:
        frames: analysed phrase.

    Returns:
        (N, 4) int32: first frame, start and end of the nucleus, end. Without a pause between them,
        a syllable ends at the first frame of the next one.
    """
    loud = ndimage.uniform_filter1d(frames.level.astype(np.float64), 7)
    sonority = ndimage.uniform_filter1d(frames.sonority.astype(np.float64), 7)
    voiced = frames.f0 > 0
    if voiced.sum() < SHORTEST_NUCLEUS:
        return np.zeros((0, 4), np.int32)
    top = sonority[voiced].max()
    sonority = np.where(voiced, sonority, sonority - 15)
    peaks, _ = signal.find_peaks(
        np.pad(sonority, 1, constant_values=sonority.min() - 20),
        height=top - 18,
        distance=round(0.09 / HOP),
        prominence=2.5,
    )
    peaks -= 1
    bounds = [
        0,
        *(_faintest(sonority, a, b) for a, b in zip(peaks, peaks[1:], strict=False)),
        len(loud),
    ]
    flux = _flux(frames)
    sounding = loud > loud.max() - SILENCE
    found = []
    for number, peak in enumerate(peaks):
        first, end = bounds[number], bounds[number + 1]
        nucleus = _around(
            peak,
            first,
            end,
            voiced & (sonority > sonority[peak] - 6) & (flux < 2.5 * np.median(flux[voiced])),
        )
        if nucleus[1] - nucleus[0] < SHORTEST_NUCLEUS:
            continue
        # Onset and coda extend to the neighbour or to the next pause.
        start = max(_around(nucleus[0], first, end, sounding)[0], nucleus[0] - LONGEST_CONSONANTS)
        stop = min(
            _around(nucleus[1] - 1, first, end, sounding)[1], nucleus[1] + LONGEST_CONSONANTS
        )
        found.append((start, *nucleus, stop))
    return np.array(found, np.int32).reshape(-1, 4)


def _faintest(loud: np.ndarray, first: int, end: int) -> int:
    return int(first + np.argmin(loud[first:end]))


def _flux(frames: Frames) -> np.ndarray:
    """Return the rate of change of the spectrum in each frame."""
    shape = ndimage.uniform_filter1d(frames.envelope[:, 1:16].astype(np.float64), 3, axis=0)
    return (
        np.linalg.norm(np.gradient(shape, axis=0), axis=1)
        if len(shape) > 1
        else np.zeros(len(shape))
    )


def _around(frame: int, first: int, end: int, allowed: np.ndarray) -> tuple[int, int]:
    """Return the run of allowed frames around a frame, within [first, end)."""
    start = stop = frame
    while start > first and allowed[start - 1]:
        start -= 1
    while stop < end and allowed[stop]:
        stop += 1
    return int(start), int(max(stop, frame))
