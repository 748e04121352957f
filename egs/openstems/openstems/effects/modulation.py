"""Effects of modulated delays: chorus, doubling, tape wow."""

import numpy as np

from ..music import RATE
from ..randomness import generator


def chorus(
    sound: np.ndarray,
    rate: float = 0.8,
    depth: float = 0.002,
    delay: float = 0.012,
    mix: float = 0.4,
) -> np.ndarray:
    """Add a copy with a modulated delay, in opposite phase left and right.

    Args:
        sound: shape (2, L).
        rate: frequency of the modulation in Hz.
        depth: amplitude of the modulation in seconds.
        delay: mean delay in seconds, more than `depth`.
        mix: amplitude of the copy; the direct sound keeps 1 - mix / 2.

    Returns:
        Shape (2, L), float32.
    """
    swing = depth * np.sin(2 * np.pi * rate * _coarse(sound.shape[-1]))
    wet = np.stack([_delayed(sound[0], delay + swing), _delayed(sound[1], delay - swing)])
    return np.float32(1 - mix / 2) * sound + np.float32(mix) * wet


def double(
    sound: np.ndarray, seed: int, amount: float = 1.0, spread: float = 1.0, delay: float = 0.018
) -> np.ndarray:
    """Add a left and a right copy with slowly varying delay and pitch, like further takes.

    Args:
        sound: shape (2, L).
        seed: seed of the variations.
        amount: amplitude of the copies.
        spread: 0 places the copies in the middle, 1 hard left and right.
        delay: mean delay in seconds; that of the right copy is a third longer.

    Returns:
        Shape (2, L), float32.
    """
    rng = generator("double", seed)
    middle = 0.5 * (sound[0] + sound[1])
    copies = []
    for lag in (delay, 1.35 * delay):
        wander = _wander(sound.shape[-1], rng)
        copies.append(_delayed(middle, lag * (1 + 0.45 * wander)))
    near, far = np.float32(amount * (1 + spread) / 2), np.float32(amount * (1 - spread) / 2)
    left, right = copies
    return sound + np.stack([near * left + far * right, near * right + far * left])


def wow(sound: np.ndarray, seed: int, depth: float = 0.0006) -> np.ndarray:
    """Imitate uneven tape speed by a delay that varies by `depth` seconds to either side."""
    drift = depth * (1 + _wander(sound.shape[-1], generator("wow", seed)))
    return np.stack([_delayed(channel, drift) for channel in sound])


_STEP = 512


def _coarse(length: int) -> np.ndarray:
    """Return the times in seconds at which slow curves are computed."""
    return np.arange(0, length + 2 * _STEP, _STEP) / RATE


def _wander(length: int, rng: np.random.Generator) -> np.ndarray:
    """Return a slow random curve between -1 and 1 at the coarse times."""
    times = _coarse(length)
    rates = rng.uniform(0.15, 1.6, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    return np.sin(2 * np.pi * rates * times[:, None] + phases).mean(axis=1)


def _delayed(channel: np.ndarray, delay: np.ndarray) -> np.ndarray:
    """Delay a channel by seconds given at the coarse times, with linear interpolation."""
    length = len(channel)
    position = np.arange(length, dtype=np.float64)
    position -= np.interp(position, np.arange(len(delay)) * float(_STEP), delay * RATE)
    np.maximum(position, 0, out=position)
    index = position.astype(np.int64)
    fraction = (position - index).astype(np.float32)
    np.minimum(index, max(length - 2, 0), out=index)
    before = channel[index]
    return before + fraction * (channel[np.minimum(index + 1, length - 1)] - before)
