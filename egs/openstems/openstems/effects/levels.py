"""Levels: decibels, and the level of the active parts of a sound."""

import numpy as np

from ..music import RATE

# 100 ms: long enough for the lowest bass, short enough for pauses between phrases.
FRAME = RATE // 10
_FLOOR = 1e-10


def amplitude(decibels: float) -> float:
    """Return the amplitude factor of a gain in dB."""
    return float(10 ** (decibels / 20))


def decibels(value: float) -> float:
    """Return an amplitude in dB, at least -200."""
    return float(20 * np.log10(max(float(value), _FLOOR)))


def frame_levels(sound: np.ndarray) -> np.ndarray:
    """Return the root mean square of frames of 100 ms over all channels.

    Args:
        sound: shape (C, L); samples after the last whole frame are dropped, unless the sound is
            shorter than a frame.

    Returns:
        Shape (T,), linear.
    """
    length = max(sound.shape[-1] // FRAME, 1) * min(FRAME, max(sound.shape[-1], 1))
    frames = sound[:, :length].reshape(sound.shape[0], -1, min(FRAME, length))
    return np.sqrt(np.einsum("ctl,ctl->t", frames, frames) / (frames.shape[0] * frames.shape[2]))


def active_level(sound: np.ndarray, depth: float = 26.0) -> float:
    """Return the level of a sound without its pauses.

    Args:
        sound: shape (C, L).
        depth: frames that are this many dB below the loudest one are pauses.

    Returns:
        Root mean square of the other frames in dBFS; -200 for silence.
    """
    levels = frame_levels(sound)
    loud = levels[levels > levels.max(initial=0.0) * amplitude(-depth)]
    return decibels(np.sqrt(np.mean(loud**2))) if len(loud) else -200.0


def set_active_level(sound: np.ndarray, level: float) -> np.ndarray:
    """Return the sound scaled to an active level in dBFS; silence stays silent."""
    now = active_level(sound)
    return sound if now <= -120 else sound * np.float32(amplitude(level - now))
