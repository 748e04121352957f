"""The stereo image: pan, width, mono bass."""

import numpy as np

from .filters import equalize, high_pass


def pan(sound: np.ndarray, position: float) -> np.ndarray:
    """Pan a sound with constant power.

    Args:
        sound: shape (2, L).
        position: -1 is left, 0 unchanged, 1 right.

    Returns:
        Shape (2, L), float32; the sound itself at position 0.
    """
    angle = (position + 1) * np.pi / 4
    gains = np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])
    return sound * gains.astype(np.float32)


def widen(sound: np.ndarray, factor: float) -> np.ndarray:
    """Scale the difference of the channels.

    Args:
        sound: shape (2, L).
        factor: 0 gives mono, 1 the sound itself, larger values a wider one.

    Returns:
        Shape (2, L), float32.
    """
    middle = 0.5 * (sound[0] + sound[1])
    side = np.float32(factor * 0.5) * (sound[0] - sound[1])
    return np.stack([middle + side, middle - side])


def mono_below(sound: np.ndarray, frequency: float) -> np.ndarray:
    """Make a sound mono below a frequency in Hz."""
    middle = 0.5 * (sound[0] + sound[1])
    side = equalize(0.5 * (sound[:1] - sound[1:]), high_pass(frequency, 2))[0]
    return np.stack([middle + side, middle - side])


def split_pan(sound: np.ndarray, take: np.ndarray, position: float) -> np.ndarray:
    """Return two takes of a part on opposite sides, each reduced to mono.

    Args:
        sound: shape (2, L).
        take: shape (2, L).
        position: distance of the takes from the middle, 0 to 1.

    Returns:
        Shape (2, L), float32.
    """
    left, right = (np.repeat(part.mean(axis=0, keepdims=True), 2, axis=0) for part in (sound, take))
    return pan(left, -position) + pan(right, position)
