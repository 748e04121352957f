"""Levels and dynamics: compressor, de-esser, transient shaper and ducking.

Gains are computed every 64 samples (1.5 ms) from the peaks of both channels and interpolated. This
keeps the stereo image and makes effects as cheap as a multiplication.
"""

from collections.abc import Sequence

import numpy as np

from ..music import RATE
from .filters import equalize, low_pass

HOP = 64
# 100 ms: long enough for the lowest bass, short enough for pauses between phrases.
FRAME = RATE // 10
PAUSE = 26.0
"""Frames that are this many dB below the loudest one are pauses."""
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


def active_level(sound: np.ndarray) -> float:
    """Return the level of a sound without its pauses.

    Args:
        sound: shape (C, L).

    Returns:
        Root mean square of the other frames in dBFS; -200 for silence.
    """
    levels = frame_levels(sound)
    loud = levels[levels > levels.max(initial=0.0) * amplitude(-PAUSE)]
    return decibels(np.sqrt(np.mean(loud**2))) if len(loud) else -200.0


def set_active_level(sound: np.ndarray, level: float) -> np.ndarray:
    """Return the sound scaled to an active level in dBFS; silence stays silent."""
    now = active_level(sound)
    return sound if now <= -120 else sound * np.float32(amplitude(level - now))


def compress(
    sound: np.ndarray,
    threshold: float,
    ratio: float,
    attack: float = 0.01,
    release: float = 0.12,
    makeup: float = 0.0,
    mix: float = 1.0,
) -> np.ndarray:
    """Compress the level above a threshold.

    Args:
        sound: shape (C, L).
        threshold: peak level in dBFS above which the gain falls.
        ratio: dB above the threshold at the input for each dB at the output.
        attack: time constant of the falling gain in seconds.
        release: time constant of the recovery in seconds.
        makeup: gain of the compressed sound in dB.
        mix: share of the compressed sound; values below 1 are parallel compression.

    Returns:
        Shape (C, L), float32.
    """
    gain = compressor_gain(peaks(sound), threshold, ratio, attack, release, makeup)
    return apply_gain(sound, 1 - mix + mix * gain)


def compressor_gain(
    peaks: np.ndarray,
    threshold: float,
    ratio: float,
    attack: float,
    release: float,
    makeup: float = 0.0,
) -> np.ndarray:
    """Return the gain of a compressor, one value per hop; arguments as for `compress`.

    Args:
        peaks: largest magnitude in each hop.
    """
    level = 20 * np.log10(np.maximum(peaks, 1e-6))
    reduction = np.maximum(level - threshold, 0.0) * (1 / ratio - 1)
    return 10 ** ((follow(reduction, attack, release) + makeup) / 20)


def deess(sound: np.ndarray, frequency: float, threshold: float, ratio: float) -> np.ndarray:
    """Compress the band above a frequency to soften sibilants.

    Args:
        sound: shape (C, L).
        frequency: lower edge of the sibilants in Hz.
        threshold: peak level of the band in dBFS above which its gain falls.
        ratio: as for `compress`.

    Returns:
        Shape (C, L), float32.
    """
    low = equalize(sound, low_pass(frequency, 1))
    return low + compress(sound - low, threshold, ratio, attack=0.002, release=0.05)


def shape_transients(sound: np.ndarray, gain: float, reach: float = 0.03) -> np.ndarray:
    """Raise or lower attacks relative to the sustained sound.

    Args:
        sound: shape (C, L).
        gain: gain of the attacks in dB; negative softens them.
        reach: duration of an attack in seconds.

    Returns:
        Shape (C, L), float32.
    """
    level = 20 * np.log10(np.maximum(peaks(sound), 1e-4))
    slow = -follow(-level, reach, 0.15)
    # The weight of an attack grows with the level above the slow envelope, up to 1 at 9 dB.
    attack = np.clip((follow(level, 0.15, 0.002) - slow) / 9, 0, 1)
    return apply_gain(sound, 10 ** (gain * attack / 20))


def duck(sound: np.ndarray, times: Sequence[float], depth: float, recovery: float) -> np.ndarray:
    """Duck a sound, as by a side chain: the gain drops at given times and recovers.

    Args:
        sound: shape (C, L).
        times: times of the drops in seconds, for example those of the kicks.
        depth: drop in dB, positive.
        recovery: time of the recovery in seconds.

    Returns:
        Shape (C, L), float32.
    """
    count = -(-sound.shape[-1] // HOP)
    gain = np.ones(count)
    curve = np.linspace(0, 1, max(int(recovery * RATE / HOP), 2)) ** 0.7
    drop = amplitude(-depth) + (1 - amplitude(-depth)) * curve
    for time in times:
        start = int(time * RATE / HOP)
        if 0 <= start < count:
            end = min(start + len(drop), count)
            gain[start:end] = np.minimum(gain[start:end], drop[: end - start])
    return apply_gain(sound, gain)


def peaks(sound: np.ndarray) -> np.ndarray:
    """Return the largest magnitude in each hop over all channels, shape (hops,)."""
    channels, length = sound.shape
    padded = np.pad(np.abs(sound), ((0, 0), (0, -length % HOP)))
    return padded.reshape(channels, -1, HOP).max(axis=(0, 2), initial=0.0)


def follow(values: np.ndarray, fall: float, rise: float) -> np.ndarray:
    """Smooth values by one pole, with time constants for falling and for rising values.

    Args:
        values: one value per hop.
        fall: time constant of falling values in seconds.
        rise: time constant of rising values in seconds.

    Returns:
        The same shape.
    """
    down = 1 - float(np.exp(-HOP / (RATE * max(fall, 1e-4))))
    up = 1 - float(np.exp(-HOP / (RATE * max(rise, 1e-4))))
    state = float(values[0]) if len(values) else 0.0
    return np.array(
        [
            state := state + (down if value < state else up) * (value - state)
            for value in values.tolist()
        ]
    )


def apply_gain(sound: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Multiply a sound by a gain with one value per hop, interpolated linearly; float32.

    Within a hop, the gain goes from its value to that of the next hop.
    """
    gain = gain.astype(np.float32)
    step = np.diff(gain, append=gain[-1:])
    ramp = np.arange(HOP, dtype=np.float32) / HOP
    curve = (gain[:, None] + step[:, None] * ramp).ravel()
    return (sound * curve[: sound.shape[-1]]).astype(np.float32, copy=False)
