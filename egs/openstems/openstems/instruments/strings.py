"""Plucked strings (Karplus-Strong), with bodies and amplifiers.

Strings are cached by pitch, strength and take. A second take of a part has its own strings, timing
and tuning, which makes doubled guitars wide.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from scipy import signal

from openstems.instruments import amplifiers
from openstems.instruments.sampling import ByteCache, add_at, read_at, without_offset
from openstems.music import RATE, Note
from openstems.randomness import generator

SPLIT_BODIES = {"train": ("steel", "solid"), "valid": ("nylon",), "test": ("resonator",)}
"""Bodies of the instruments of each split."""

MANNERS = {
    "guitar": ("strummed", "clean", "crunch", "high_gain"),
    "bass": ("fingered", "picked", "slapped"),
}
"""Manners of playing each role."""

# Ranges: decay in seconds, brightness and plucking position as shares, gain of the amplifier.
_MANNERS: dict[str, dict[str, tuple[float, float]]] = {
    "strummed": {
        "ring": (1.2, 3.0), "bright": (0.5, 0.9), "pick": (0.1, 0.3), "gain": (0, 0),
        "noise": (0.03, 0.15),
    },
    "clean": {
        "ring": (1.5, 3.5), "bright": (0.3, 0.8), "pick": (0.08, 0.3), "gain": (0.6, 2.5),
        "noise": (0, 0.06),
    },
    "crunch": {
        "ring": (2.0, 4.0), "bright": (0.4, 0.9), "pick": (0.08, 0.25), "gain": (4, 12),
        "noise": (0, 0.06),
    },
    "high_gain": {
        "ring": (2.5, 5.0), "bright": (0.4, 0.9), "pick": (0.06, 0.2), "gain": (15, 50),
        "noise": (0, 0.05),
    },
    "fingered": {
        "ring": (1.5, 3.5), "bright": (0.1, 0.35), "pick": (0.15, 0.35), "gain": (0.6, 3),
        "noise": (0.02, 0.1),
    },
    "picked": {
        "ring": (1.5, 4.0), "bright": (0.4, 0.8), "pick": (0.06, 0.2), "gain": (1, 6),
        "noise": (0.1, 0.3),
    },
    "slapped": {
        "ring": (1.2, 3.0), "bright": (0.5, 0.9), "pick": (0.05, 0.15), "gain": (0.6, 2),
        "noise": (0.2, 0.5),
    },
}  # fmt: skip
_STRING_BYTES = 48 * 2**20
_SPREAD = 0.012
_SCRATCH_BAND = signal.butter(1, (1200, 5000), "band", fs=RATE, output="sos")


def parameters(manner: str, body: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return the random parameters of an instrument and its player as plain numbers.

    Args:
        manner: one of those in `MANNERS`.
        body: one of those in `SPLIT_BODIES`.
        rng: random stream.
    """
    choice: dict[str, Any] = {
        name: round(float(rng.uniform(low, high)), 4)
        for name, (low, high) in _MANNERS[manner].items()
    }
    guitar = manner in MANNERS["guitar"]
    doubled = {"strummed": 0.5, "clean": 0.3, "crunch": 0.7, "high_gain": 0.85}.get(manner, 0.0)
    choice["takes"] = 2 if rng.random() < doubled else 1
    choice["width"] = round(float(rng.uniform(0.7, 1.0)), 3)
    choice["pan"] = round(float(rng.uniform(-0.6, 0.6)), 3) if guitar else 0.0
    choice["detune"] = round(float(rng.uniform(2, 9)), 2)
    limits = (3200, 6000) if guitar else (1800, 4500)
    choice["speaker"] = round(float(rng.uniform(*limits)), 0)
    choice["strum"] = round(float(rng.uniform(0.008, 0.03)), 4) if guitar else 0.0
    choice["mute"] = bool(rng.random() < (0.25 if manner in ("crunch", "high_gain") else 0.08))
    choice["grit"] = 0.0 if guitar else round(float(rng.uniform(0.02, 0.25)), 3)
    choice["grit_width"] = 0.0 if rng.random() < 0.4 else round(float(rng.uniform(0, 1)), 3)
    choice["seed"] = int(rng.integers(2**31))
    choice |= {"manner": manner, "body": body}
    return choice


def render(
    notes: Iterable[Note], samples: int, choice: dict[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Render notes on strings.

    Args:
        notes: notes in the order of their starts; those that start together are strummed.
        samples: length of the result.
        choice: result of `parameters`.
        rng: random stream of timing and strength.

    Returns:
        Float32 of shape (2, samples).
    """
    strummed = _strummed(tuple(notes), choice["strum"])
    strings = ByteCache(_STRING_BYTES)
    takes = [
        _take(strummed, samples, choice, rng, strings, take) for take in range(choice["takes"])
    ]
    stem = np.zeros((2, samples), np.float32)
    if len(takes) == 2:
        for take, pan in zip(takes, (-choice["width"], choice["width"]), strict=True):
            add_at(stem, take, 0, 0.7, pan)
    else:
        add_at(stem, takes[0], 0, 1.0, choice["pan"])
    if choice["grit"]:
        stem = amplifiers.grit(stem, choice["grit"], choice["grit_width"])
    return without_offset(stem)


def _strummed(notes: tuple[Note, ...], strum: float) -> list[tuple[Note, float]]:
    """Return notes and delays: strings of a chord follow each other, down and up in turn."""
    groups: list[list[Note]] = []
    for note in notes:
        if groups and note.start - groups[-1][0].start < _SPREAD:
            groups[-1].append(note)
        else:
            groups.append([note])
    delayed = []
    for number, group in enumerate(groups):
        ordered = sorted(group, key=lambda note: note.pitch, reverse=number % 2 == 1)
        step = strum / max(len(ordered) - 1, 1)
        delayed += [(note, index * step) for index, note in enumerate(ordered)]
    return delayed


def _take(
    notes: list[tuple[Note, float]],
    samples: int,
    choice: dict[str, Any],
    rng: np.random.Generator,
    strings: ByteCache,
    take: int,
) -> np.ndarray:
    """Return one take through body and amplifier, mono."""
    sound = np.zeros((1, samples), np.float32)
    late = rng.normal(0, 0.005, len(notes)) if choice["takes"] == 2 else np.zeros(len(notes))
    force = rng.normal(0, 0.05, len(notes))
    cents = choice["detune"] * (take - 0.5) if choice["takes"] == 2 else 0.0
    for (note, delay), lateness, change in zip(notes, late, force, strict=True):
        start = max(round((note.start + delay + lateness) * RATE), 0)
        held = max(round(note.duration * RATE), 1)
        damp = round((0.03 if choice["mute"] else 0.06) * RATE)
        strength = int(np.clip(note.velocity // 32 + (change > 0.06) - (change < -0.06), 0, 3))
        key = (note.pitch, strength, take)

        def make(wanted: int, key=key) -> np.ndarray:
            return pluck(*key, wanted, choice, cents)

        string = strings.beginning(key, held + damp, make, RATE // 2).copy()
        if len(string) > held:
            string[held:] *= np.linspace(1, 0, damp, dtype=np.float32)[: len(string) - held] ** 2
        _add(sound[0], string, start, (note.velocity / 127) ** 1.3 * (1 + change))
    sound = amplifiers.body(0.6 * sound, choice["body"])
    if choice["gain"] > 0:
        sound = amplifiers.amplify(
            sound, choice["gain"], choice["speaker"], bass=choice["grit"] > 0
        )
        # Distortion raises the level, which is compensated here.
        sound *= np.float32(1 / (1 + choice["gain"]) ** 0.3)
    return sound[0]


def _add(stem: np.ndarray, sound: np.ndarray, start: int, gain: float) -> None:
    """Add mono `sound` to mono `stem` in place, from sample `start` on."""
    length = min(len(sound), len(stem) - start)
    if length > 0:
        stem[start : start + length] += sound[:length] * np.float32(gain)


def pluck(
    pitch: int, strength: int, take: int, length: int, choice: dict[str, Any], cents: float
) -> np.ndarray:
    """Return the sound of one string from the stroke on.

    The string is computed period by period with a whole number of samples per period, and resampled
    to the pitch.

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
