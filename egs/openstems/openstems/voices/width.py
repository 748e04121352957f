"""Panning and widening of voices."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..music import RATE
from .delivery import Chunk

SPREADS = {"none": 0.4, "micro": 0.6}
"""Shares of songs with an unchanged voice, and with one widened by detuned copies."""


def add(mix: np.ndarray, chunk: Chunk, pan: float, decibels: float) -> None:
    """Add a take to a mix in place, except for samples outside of the song.

    Args:
        mix: (2, L).
        chunk: the take.
        pan: -1 (left) to 1 (right), at constant power; 0 leaves both channels at full level.
        decibels: gain.
    """
    first, last = max(chunk.start, 0), min(chunk.start + len(chunk.audio), mix.shape[1])
    if last <= first:
        return
    angle = (pan + 1) * np.pi / 4
    gains = np.sqrt(2) * 10 ** (decibels / 20) * np.array([np.cos(angle), np.sin(angle)])
    mix[:, first:last] += gains[:, None] * chunk.audio[first - chunk.start : last - chunk.start]


def spread(
    mix: np.ndarray, layered: bool, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]]:
    """Widen the voice of some songs by a detuned, delayed copy on each side.

    Args:
        mix: (2, L).
        layered: whether there are other voices beside the lead.
        rng: random generator.

    Returns:
        (2, L) and a record of the change.
    """
    if rng.random() < SPREADS["none"] * (1.3 if layered else 1.0):
        return mix, {"kind": "none"}
    decibels = float(rng.uniform(-12, -4))
    middle = mix.mean(axis=0)
    samples = np.arange(mix.shape[1])
    sides, delays = [], []
    for _ in range(2):
        delay, rate = float(rng.uniform(0.011, 0.028)), float(rng.uniform(0.15, 0.9))
        # A delay with slope s changes the pitch by the factor 1 - s: 4 to 12 cents.
        depth = float(rng.uniform(4, 12)) / 1731 / (2 * np.pi * rate)
        phase = float(rng.uniform(0, 2 * np.pi))
        moving = delay + min(depth, 0.6 * delay) * np.sin(2 * np.pi * rate * samples / RATE + phase)
        sides.append(np.interp(samples - moving * RATE, samples, middle, left=0.0))
        delays.append([delay, rate])
    gain = 10 ** (decibels / 20)
    return mix + gain * np.stack(sides), {"kind": "micro", "decibels": decibels, "delays": delays}
