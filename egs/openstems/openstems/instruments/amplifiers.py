"""Effects of strings and synthesisers: bodies, amplifiers with speakers, distortion of basses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal

from openstems.music import RATE

# Resonances of bodies: Hz, gain in dB, quality.
_BODIES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "steel": ((105, 6, 4), (205, 5, 5), (410, 2, 3), (2800, 3, 1)),
    "solid": ((180, 1, 1), (900, -2, 1), (3200, 5, 1.5)),
    "nylon": ((95, 7, 4), (190, 6, 4), (620, -3, 1), (3500, -6, 0.7)),
    "resonator": ((240, 4, 3), (700, 7, 3), (1500, 6, 3), (4200, 4, 2)),
}


def body(stem: np.ndarray, name: str) -> np.ndarray:
    """Filter a stem by the resonances of a body: steel, solid, nylon or resonator."""
    return signal.sosfilt(_peaks(_BODIES[name]), stem, axis=-1).astype(np.float32)


def amplify(stem: np.ndarray, gain: float, brightness: float, *, bass: bool = False) -> np.ndarray:
    """Imitate an amplifier: low cut, one or two stages of soft clipping, a speaker.

    Args:
        stem: float32 with peaks near 1, shape (..., samples).
        gain: 1 (warm) to 60 (saturated).
        brightness: upper limit of the speaker in Hz.
        bass: whether it is an amplifier for basses.
    """
    low = 20 if bass else 60 + 2 * gain
    tight = signal.sosfilt(_pass("highpass", 1, low), stem, axis=-1).astype(np.float32)
    driven = np.tanh(tight * np.float32(gain))
    if gain > 8:
        # The bias makes the second stage asymmetric.
        driven = np.tanh(1.6 * driven + np.float32(0.25)) - np.float32(np.tanh(0.25))
    return signal.sosfilt(_speaker(round(brightness), bass), driven, axis=-1).astype(np.float32)


def grit(stem: np.ndarray, amount: float, width: float) -> np.ndarray:
    """Add to a bass a distorted copy of its upper band, which may be wider than the bass.

    Args:
        stem: float32 of shape (2, samples), peaks near 1.
        amount: level of the copy, 0 (none) to 1.
        width: width of the copy above about 200 Hz, 0 (mono) to 1.
    """
    if amount <= 0:
        return stem
    middle = stem.mean(axis=0)
    # The bias adds even harmonics; the band excludes the fundamental.
    driven = np.tanh(12 * middle + np.float32(0.3))
    upper = signal.sosfilt(_pass("bandpass", 1, (500, 3500)), driven).astype(np.float32)
    delay = 1 + round(0.006 * RATE * width)
    late = np.concatenate([np.zeros(delay, np.float32), upper[:-delay]])[: len(upper)]
    share = np.float32(0.5 * width)
    wide = np.stack([upper + share * late, upper - share * late])
    return stem + np.float32(amount) * wide


def mono_below(stem: np.ndarray, frequency: float) -> np.ndarray:
    """Make a stem mono below `frequency` Hz."""
    middle, side = stem.mean(axis=0), (stem[0] - stem[1]) / 2
    side = signal.sosfilt(_pass("highpass", 4, frequency), side).astype(np.float32)
    return np.stack([middle + side, middle - side])


@lru_cache(maxsize=64)
def _pass(kind: str, order: int, frequency: float | tuple[float, float]) -> np.ndarray:
    return signal.butter(order, frequency, kind, fs=RATE, output="sos")


@lru_cache(maxsize=64)
def _speaker(brightness: int, bass: bool) -> np.ndarray:
    guitar = ((110, 3, 1.2), (450, -2, 0.8), (2400, 3, 1.2))
    cabinet = _peaks(((70, 4, 0.7), (600, -2, 0.8)) if bass else guitar)
    return np.concatenate([cabinet, _pass("lowpass", 4, brightness)])


@lru_cache(maxsize=16)
def _peaks(resonances: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """Return the second-order sections of peaking filters."""
    rows = []
    for frequency, decibels, quality in resonances:
        angle = 2 * np.pi * frequency / RATE
        swing, alpha = 10 ** (decibels / 40), np.sin(angle) / (2 * quality)
        middle = -2 * np.cos(angle)
        row = np.array(
            [
                1 + alpha * swing,
                middle,
                1 - alpha * swing,
                1 + alpha / swing,
                middle,
                1 - alpha / swing,
            ]
        )
        rows.append(row / row[3])
    return np.array(rows)
