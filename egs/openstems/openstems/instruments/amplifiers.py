"""Effects of strings and synthesisers: bodies, amplifiers with speakers, distortion of basses."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal

from openstems.effects.filters import high_pass, low_pass, peak
from openstems.music import RATE

# Resonances of bodies: Hz, gain in dB, quality.
_BODIES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "steel": ((105, 6, 4), (205, 5, 5), (410, 2, 3), (2800, 3, 1)),
    "solid": ((180, 1, 1), (900, -2, 1), (3200, 5, 1.5)),
    "nylon": ((95, 7, 4), (190, 6, 4), (620, -3, 1), (3500, -6, 0.7)),
    "resonator": ((240, 4, 3), (700, 7, 3), (1500, 6, 3), (4200, 4, 2)),
}
_GRIT_BAND = signal.butter(1, (500, 3500), "bandpass", fs=RATE, output="sos")


def body(stem: np.ndarray, name: str) -> np.ndarray:
    """Filter a stem by the resonances of a body: steel, solid, nylon or resonator."""
    return _filtered(stem, _peaks(_BODIES[name]))


def amplify(stem: np.ndarray, gain: float, brightness: float, *, bass: bool = False) -> np.ndarray:
    """Imitate an amplifier: low cut, one or two stages of soft clipping, a speaker.

    Args:
        stem: float32 with peaks near 1, shape (..., samples).
        gain: 1 (warm) to 60 (saturated).
        brightness: upper limit of the speaker in Hz.
        bass: whether it is an amplifier for basses.
    """
    low = 20 if bass else 60 + 2 * gain
    tight = _filtered(stem, high_pass(low, 1))
    driven = np.tanh(tight * np.float32(gain))
    if gain > 8:
        # The bias makes the second stage asymmetric.
        driven = np.tanh(1.6 * driven + np.float32(0.25)) - np.float32(np.tanh(0.25))
    return _filtered(driven, _speaker(round(brightness), bass))


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
    upper = _filtered(driven, _GRIT_BAND)
    delay = 1 + round(0.006 * RATE * width)
    late = np.concatenate([np.zeros(delay, np.float32), upper[:-delay]])[: len(upper)]
    share = np.float32(0.5 * width)
    wide = np.stack([upper + share * late, upper - share * late])
    return stem + np.float32(amount) * wide


def mono_below(stem: np.ndarray, frequency: float) -> np.ndarray:
    """Make a stem mono below `frequency` Hz."""
    middle, side = stem.mean(axis=0), (stem[0] - stem[1]) / 2
    side = _filtered(side, high_pass(frequency, 4))
    return np.stack([middle + side, middle - side])


def _filtered(sound: np.ndarray, sections: np.ndarray) -> np.ndarray:
    # The filter needs sections that it may write to.
    return signal.sosfilt(sections.copy(), sound, axis=-1).astype(np.float32)


@lru_cache(maxsize=64)
def _speaker(brightness: int, bass: bool) -> np.ndarray:
    guitar = ((110, 3, 1.2), (450, -2, 0.8), (2400, 3, 1.2))
    cabinet = ((70, 4, 0.7), (600, -2, 0.8)) if bass else guitar
    return np.concatenate([_peaks(cabinet), low_pass(brightness, 4)])


@lru_cache(maxsize=16)
def _peaks(resonances: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    return np.concatenate([peak(*resonance) for resonance in resonances])
