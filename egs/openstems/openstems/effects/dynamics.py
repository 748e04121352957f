"""Dynamics: compressor, de-esser, transient shaper and ducking.

Gains are computed once every 64 samples (1.5 ms) from the peaks of both channels and
interpolated in between, so that the stereo image stays and the cost is that of a multiplication.
"""

from collections.abc import Sequence

import numpy as np

from ..music import RATE
from .filters import equalize, low_pass
from .levels import amplitude

HOP = 64


def compress(
    sound: np.ndarray,
    threshold: float,
    ratio: float,
    attack: float = 0.01,
    release: float = 0.12,
    makeup: float = 0.0,
    mix: float = 1.0,
) -> np.ndarray:
    """Lower what exceeds a threshold.

    Args:
        sound: shape (C, L).
        threshold: peak level in dBFS above which the gain falls.
        ratio: dB of excess at the input for one dB at the output.
        attack: time constant in seconds in which the gain falls.
        release: time constant in seconds in which it recovers.
        makeup: gain of the compressed sound in dB.
        mix: share of the compressed sound; below 1 it is parallel compression.

    Returns:
        Shape (C, L), float32.
    """
    level = 20 * np.log10(np.maximum(peaks(sound), 1e-6))
    reduction = np.maximum(level - threshold, 0.0) * (1 / ratio - 1)
    gain = 10 ** ((follow(reduction, attack, release) + makeup) / 20)
    return apply_gain(sound, 1 - mix + mix * gain)


def deess(sound: np.ndarray, frequency: float, threshold: float, ratio: float) -> np.ndarray:
    """Compress only what lies above a frequency, so that sibilants do not stick out.

    Args:
        sound: shape (C, L).
        frequency: lower edge of the sibilants in Hz.
        threshold: peak level of that band in dBFS above which its gain falls.
        ratio: as for `compress`.

    Returns:
        Shape (C, L), float32.
    """
    low = equalize(sound, low_pass(frequency, 1))
    return low + compress(sound - low, threshold, ratio, attack=0.002, release=0.05)


def shape_transients(sound: np.ndarray, gain: float, reach: float = 0.03) -> np.ndarray:
    """Raise or lower attacks against what rings on.

    Args:
        sound: shape (C, L).
        gain: gain of the attacks in dB; negative softens them.
        reach: seconds an attack lasts.

    Returns:
        Shape (C, L), float32.
    """
    level = 20 * np.log10(np.maximum(peaks(sound), 1e-4))
    slow = -follow(-level, reach, 0.15)
    # A frame is an attack as far as its level is above the slow envelope, fully so at 9 dB.
    attack = np.clip((follow(level, 0.15, 0.002) - slow) / 9, 0, 1)
    return apply_gain(sound, 10 ** (gain * attack / 20))


def duck(sound: np.ndarray, times: Sequence[float], depth: float, recovery: float) -> np.ndarray:
    """Return side-chain pumping: the gain drops at given times and recovers after each.

    Args:
        sound: shape (C, L).
        times: seconds of the drops, for example the kicks.
        depth: the drop in dB, positive.
        recovery: seconds until the gain is back.

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
    """Return greatest magnitude of each hop over all channels; shape (hops,)."""
    channels, length = sound.shape
    padded = np.pad(np.abs(sound), ((0, 0), (0, -length % HOP)))
    return padded.reshape(channels, -1, HOP).max(axis=(0, 2), initial=0.0)


def follow(values: np.ndarray, fall: float, rise: float) -> np.ndarray:
    """Return one-pole smoothing with a time constant for falling and one for rising values.

    Args:
        values: one value a hop.
        fall: seconds in which the result follows downwards.
        rise: seconds in which it follows upwards.

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
    """Multiply a sound by a gain given once a hop, linear in between; float32.

    A hop runs from its own value to the next one's.
    """
    gain = gain.astype(np.float32)
    step = np.diff(gain, append=gain[-1:])
    ramp = np.arange(HOP, dtype=np.float32) / HOP
    curve = (gain[:, None] + step[:, None] * ramp).ravel()
    return (sound * curve[: sound.shape[-1]]).astype(np.float32, copy=False)
