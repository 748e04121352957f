"""Single cycles of waves, band-limited for a pitch, with a low-pass at many cutoffs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from openstems.music import RATE

SIZE = 2048
"""Samples in a cycle."""

SETTINGS = 12
"""Number of cutoffs in a table, evenly spaced in octaves from `LOWEST_CUTOFF`."""

LOWEST_CUTOFF = 80.0
OCTAVES_PER_SETTING = 0.7
_DRAWBARS = ((1, 1.0), (2, 0.8), (3, 0.7), (4, 0.45), (6, 0.3), (8, 0.35))


def amplitudes(wave: str, harmonics: int, width: float) -> np.ndarray:
    """Return the amplitudes of the harmonics 1..N of a wave in sine phase.

    Args:
        wave: "saw", "square", "triangle", "organ", "pulse" or "sine".
        harmonics: N.
        width: share of the cycle that a pulse is up.
    """
    number = np.arange(1, harmonics + 1)
    odd = number % 2 == 1
    if wave == "saw":
        return 0.65 / number
    if wave == "square":
        return np.where(odd, 0.9 / number, 0)
    if wave == "triangle":
        return np.where(odd, np.where(number % 4 == 1, 0.9, -0.9) / number**1.7, 0)
    if wave == "organ":
        levels = np.zeros(harmonics)
        for place, level in _DRAWBARS:
            levels[number == place] = 0.5 * level
        return levels
    if wave == "pulse":
        return 0.9 * np.sin(np.pi * number * width) / number
    return np.where(number == 1, 1.0, 0)


@lru_cache(maxsize=512)
def table(wave: str, width: float, pitch: int, resonance: float) -> np.ndarray:
    """Return cycles of a wave at a MIDI pitch, one row per cutoff.

    Args:
        wave: name known to `amplitudes`.
        width: share of the cycle that a pulse is up.
        pitch: MIDI number; the cycle has no frequencies above 17 kHz.
        resonance: height of the peak at the cutoff, 0 to about 4.

    Returns:
        Float32, shape (SETTINGS * (SIZE + 1),): each row ends with its first sample again.
    """
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    harmonics = int(np.clip(17000 / frequency, 1, SIZE // 2 - 1))
    levels = amplitudes(wave, harmonics, width)
    cutoffs = LOWEST_CUTOFF * 2 ** (OCTAVES_PER_SETTING * np.arange(SETTINGS))
    ratio = frequency * np.arange(1, harmonics + 1) / cutoffs[:, None]
    gains = 1 / np.sqrt(1 + ratio**6)
    gains *= 1 + resonance * np.exp(-((np.log2(ratio) / 0.4) ** 2))
    spectrum = np.zeros((SETTINGS, SIZE // 2 + 1), complex)
    spectrum[:, 1 : harmonics + 1] = -0.5j * SIZE * levels * gains
    cycles = np.fft.irfft(spectrum, SIZE)
    return np.concatenate([cycles, cycles[:, :1]], axis=1).astype(np.float32).ravel()


def setting_of(cutoff: np.ndarray) -> np.ndarray:
    """Return the fractional row of a cutoff in Hz."""
    rows = np.log2(np.maximum(cutoff, 1) / LOWEST_CUTOFF) / OCTAVES_PER_SETTING
    return np.clip(rows, 0, SETTINGS - 1.001).astype(np.float32)


def read(rows: np.ndarray, phase: np.ndarray, setting: np.ndarray | float) -> np.ndarray:
    """Return a wave at phases and filter settings, interpolated in both.

    Args:
        rows: result of `table`.
        phase: cycles since the start, shape (N,), not negative.
        setting: fractional row, shape (N,) or one number.

    Returns:
        Float32, shape (N,).
    """
    place = ((phase - np.floor(phase)) * SIZE).astype(np.float32)
    whole = place.astype(np.int32)
    place -= whole
    # A phase just below a whole cycle may round up to it.
    whole &= SIZE - 1
    row = np.asarray(setting, np.float32).astype(np.int32)
    share = setting - row
    whole += row * (SIZE + 1)
    low = _between(rows, whole, place)
    if np.ndim(setting) == 0 and float(share) < 1e-3:
        return low
    return low + (_between(rows, whole + (SIZE + 1), place) - low) * share


def _between(rows: np.ndarray, whole: np.ndarray, place: np.ndarray) -> np.ndarray:
    first = rows.take(whole)
    return first + (rows.take(whole + 1) - first) * place


def sample_count(seconds: float) -> int:
    """Convert seconds to a number of samples, at least one."""
    return max(round(seconds * RATE), 1)
