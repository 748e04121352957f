"""Synthesis of a plucked string (Karplus-Strong).

The string is computed period by period with a whole number of samples per period, and resampled to
the pitch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import signal

from openstems.instruments.sampling import read_at
from openstems.music import RATE
from openstems.randomness import generator

_SCRATCH_BAND = signal.butter(1, (1200, 5000), "band", fs=RATE, output="sos")


def pluck(
    pitch: int, strength: int, take: int, length: int, choice: dict[str, Any], cents: float
) -> np.ndarray:
    """Return the sound of one string from the stroke on.

    Args:
        pitch: MIDI number.
        strength: 0 (soft) to 3.
        take: number of the performance, which seeds the string.
        length: samples.
        choice: instrument, as `strings.parameters` returns it.
        cents: tuning.

    Returns:
        Float32 of shape (length,).
    """
    rng = generator(choice["seed"], pitch, strength, take)
    frequency = 440 * 2 ** ((pitch - 69 + cents / 100) / 12)
    hardness = 0.55 + 0.15 * strength
    period = max(int(RATE / frequency), 8)
    # Each round is a period and `dull` samples long, as the second tap is one sample later.
    dull = float(np.clip(0.5 - 0.42 * choice["bright"] * hardness, 0.06, 0.48))
    ring = choice["ring"] * min(1.0, 2 ** ((52 - pitch) / 24)) * (0.12 if choice["mute"] else 1.0)
    keep = 10 ** (-3 * period / (RATE * ring))
    speed = (period + dull) * frequency / RATE
    rounds = int(length * speed / period) + 3
    wave = np.zeros(rounds * period + 1, np.float32)
    wave[1 : period + 1] = _stroke(period, hardness, choice, rng)
    first, second = np.float32(keep * (1 - dull)), np.float32(keep * dull)
    for begin in range(period + 1, rounds * period + 1, period):
        before = wave[begin - period - 1 : begin]
        wave[begin : begin + period] = first * before[1:] + second * before[:-1]
    sound = read_at(wave[1:], np.arange(length) * speed)
    sound[:32] *= np.linspace(0, 1, 32, dtype=np.float32)
    return sound + _scratch(length, choice, hardness, rng)


def _stroke(
    period: int, hardness: float, choice: dict[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Return the initial shape of the string, one period."""
    number = np.arange(1, period // 2)
    # Harmonics fall with their number, faster for softer strokes; those with a node at the plucked
    # point are missing.
    slope = 1.6 - 1.0 * choice["bright"] * hardness
    levels = number**-slope * np.abs(np.sin(np.pi * number * choice["pick"]))
    spectrum = np.zeros(period // 2 + 1, complex)
    spectrum[1 : len(number) + 1] = levels * np.exp(2j * np.pi * rng.random(len(number)))
    shape = np.fft.irfft(spectrum, period)
    return (0.45 * shape / (np.sqrt((shape**2).mean()) + 1e-9)).astype(np.float32)


def _scratch(
    length: int, choice: dict[str, Any], hardness: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the initial noise of the plectrum and the frets."""
    count = min(length, RATE // 25)
    noise = np.zeros(length, np.float32)
    burst = rng.standard_normal(count) * np.exp(-np.arange(count) / (0.008 * RATE))
    noise[:count] = choice["noise"] * 2 * hardness**2 * signal.sosfilt(_SCRATCH_BAND, burst)
    return noise
