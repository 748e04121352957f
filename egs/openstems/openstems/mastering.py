"""Mastering: stems at their final levels, limited together, as 16-bit integers.

All stems undergo the same linear operations, with a gain curve computed on the mixture. The mixture
is therefore the exact sum of the stems.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.ndimage import minimum_filter1d, uniform_filter1d

from .effects import dynamics, process
from .effects.dynamics import active_level, amplitude

FULL_SCALE = 32767
# Headroom for rounding four stems.
_LARGEST = FULL_SCALE - 2


def draw(rng: np.random.Generator) -> dict[str, Any]:
    """Return random settings of the mastering.

    Args:
        rng: random generator.

    Returns:
        Arguments of `master`, in plain types.
    """
    chain: list[dict[str, Any]] = []
    if rng.random() < 0.5:
        chain.append(_filter("low_shelf", rng.uniform(60, 140), rng.uniform(-1.5, 2.0)))
        chain.append(_filter("peak", rng.uniform(250, 3000), rng.uniform(-1.5, 1.5)))
        chain.append(_filter("high_shelf", rng.uniform(5000, 10000), rng.uniform(-2.5, 2.0)))
    if rng.random() < 0.45:
        # Much music has passed through a lossy codec, which removes up to the top octave.
        edge = float(rng.choice([15000, 16000, 16500, 17500, 19000, 20000]))
        chain.append({"effect": "steep_low_pass", "frequency": edge})
    return {
        "chain": chain,
        "loudness": round(float(np.clip(rng.normal(-15.0, 1.8), -20.0, -11.0)), 2),
        "ceiling": round(float(rng.uniform(-1.2, -0.1)), 2),
        "compressor": {
            "threshold": round(float(rng.uniform(-10, 0)), 2),
            "ratio": round(float(rng.uniform(1.2, 2.5)), 2),
            "attack": round(float(rng.uniform(0.01, 0.05)), 4),
            "release": round(float(rng.uniform(0.1, 0.4)), 3),
        },
    }


def master(
    stems: Mapping[str, np.ndarray],
    loudness: float,
    ceiling: float = -0.3,
    chain: list[dict[str, Any]] | None = None,
    compressor: Mapping[str, float] | None = None,
) -> dict[str, np.ndarray]:
    """Master the stems of a song together.

    Args:
        stems: name to sound, each of shape (2, L), float32.
        loudness: active level of the mixture before the compressor and limiter in dBFS.
        ceiling: largest sample of the mixture and of the stems in dBFS, at most 0.
        chain: filters applied to every stem.
        compressor: `threshold` in dBFS, `ratio`, and `attack` and `release` in seconds of the bus
            compressor; None for no compressor.

    Returns:
        Name to stem, int16 of shape (2, L). Their integer sum fits into int16 too.
    """
    stems = {name: process(sound, chain or []) for name, sound in stems.items()}
    level = active_level(sum_of(stems))
    if level <= -120:
        return {name: np.zeros(sound.shape, np.int16) for name, sound in stems.items()}
    drive = np.float32(amplitude(loudness - level))
    stems = {name: sound * drive for name, sound in stems.items()}
    if compressor:
        gain = dynamics.compressor_gain(dynamics.peaks(sum_of(stems)), **compressor)
        stems = {name: dynamics.apply_gain(sound, gain) for name, sound in stems.items()}
    # A stem may be louder than the mixture if another one cancels it, so stems count for the
    # limiter.
    loudest = np.max([dynamics.peaks(s) for s in (sum_of(stems), *stems.values())], axis=0)
    gain = limiter_gain(loudest, amplitude(ceiling))
    return {
        name: np.rint(dynamics.apply_gain(sound, gain) * np.float32(_LARGEST)).astype(np.int16)
        for name, sound in stems.items()
    }


def sum_of(stems: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the sum of stems; integers are added as int32.

    Args:
        stems: name to stem, all of one shape and type.

    Returns:
        Their sum, of the same shape and type.
    """
    sounds = list(stems.values())
    wide = np.int32 if sounds[0].dtype == np.int16 else sounds[0].dtype
    return np.sum(sounds, axis=0, dtype=wide).astype(sounds[0].dtype)


def limiter_gain(peaks: np.ndarray, ceiling: float, reach: int = 4) -> np.ndarray:
    """Return the gain of a look-ahead limiter.

    Args:
        peaks: largest magnitude in each hop.
        ceiling: largest magnitude after the gain, linear.
        reach: hops (1.5 ms each) over which the gain changes before and after a peak.

    Returns:
        One gain per hop for `dynamics.apply_gain`, at most 1.
    """
    # The gain within a hop lies between its own value and the next one, so both must suffice.
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    lowest = minimum_filter1d(needed, 2 * reach + 3, mode="nearest")
    smooth = uniform_filter1d(lowest, 2 * reach + 1, mode="nearest")
    # Because of rounding in running sums, the smooth gain may be too high by a few ulp.
    held = minimum_filter1d(needed, 3, mode="nearest")
    return np.minimum(smooth, held)


def _filter(effect: str, frequency: float, gain: float) -> dict[str, Any]:
    return {"effect": effect, "frequency": round(float(frequency), 1), "gain": round(gain, 2)}
