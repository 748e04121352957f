"""Additional voices: doubles, stacks, pads, ornaments and answers; panning and widening."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..music import RATE, Chord, Note
from . import character, harmony
from .character import Character
from .delivery import Chunk
from .singer import BankPerformer
from .sinsy import SinsyPerformer

SPREADS = {"none": 0.4, "micro": 0.6}
"""Shares of songs with an unchanged voice, and with one widened by detuned copies."""


class Studio:
    """Renderer of takes into a stereo mix; each addition returns a record.

    Args:
        mix: (2, L), changed in place.
        who: performer of the lead.
        manner: character of the lead.
        lead: phrases of the melody.
        learnt: phrases learnt by the performer.
        chords: chords of the song.
        rng: random generator.
    """

    def __init__(
        self,
        mix: np.ndarray,
        who: BankPerformer | SinsyPerformer,
        manner: Character,
        lead: Sequence[Sequence[Note]],
        learnt: Sequence[Any],
        chords: Sequence[Chord],
        rng: np.random.Generator,
    ):
        self.mix, self.who, self.manner = mix, who, manner
        self.lead, self.learnt, self.chords, self.rng = lead, learnt, chords, rng

    def take(self, numbers, lines, learnt, manner, pan, decibels, who=None):
        """Add one take of some phrases."""
        for number in numbers:
            chunk = (who or self.who).sing(learnt[number], lines[number], manner, self.rng)
            add(self.mix, chunk, pan, decibels)

    def doubles(self, numbers):
        """Add two more takes of the lead, left and right, or one in the middle."""
        wide = self.rng.random() < 0.75
        decibels = float(self.rng.uniform(-11, -4))
        pan = float(self.rng.uniform(0.55, 1.0))
        for side in (-pan, pan) if wide else (0.15,):
            manner = character.another_take(self.manner, self.rng)
            self.take(numbers, self.lead, self.learnt, manner, side, decibels)
        return {
            "kind": "doubles",
            "phrases": list(numbers),
            "pan": pan if wide else 0.15,
            "decibels": decibels,
        }

    def stacks(self, numbers):
        """Add thirds, sixths or octaves with the words of the lead."""
        choices = ((4,), (-4,), (4, -4), (-5, 12), (8,), (-12,), (4, 8))
        intervals = choices[int(self.rng.integers(len(choices)))]
        decibels = float(self.rng.uniform(-12, -5))
        pan = float(self.rng.uniform(0.3, 1.0)) * float(self.rng.choice([-1, 1]))
        for count, interval in enumerate(intervals):
            lines = {n: harmony.stack(self.lead[n], self.chords, interval) for n in numbers}
            manner = character.background(self.manner, self.rng)
            self.take(numbers, lines, self.learnt, manner, pan * (-1) ** count, decibels)
        return {
            "kind": "stacks",
            "phrases": list(numbers),
            "intervals": list(intervals),
            "pan": pan,
            "decibels": decibels,
        }

    def pads(self, span):
        """Add chords on one vowel, spread over the stereo field."""
        count = int(self.rng.integers(2, 4))
        decibels = float(self.rng.uniform(-15, -9))
        centre = self.who.centre(self.manner)
        lines = harmony.pads(self.chords, *span, centre, count)
        for place, phrases in zip(np.linspace(-0.9, 0.9, count), lines, strict=True):
            manner = character.background(self.manner, self.rng)
            learnt = self.who.learn(phrases, manner, self.rng, vowels=True)
            self.take(range(len(phrases)), phrases, learnt, manner, float(place), decibels)
        return {
            "kind": "pads",
            "span": [float(t) for t in span],
            "voices": count,
            "decibels": decibels,
        }

    def ornaments(self, seconds):
        """Add short runs in some rests."""
        phrases = [
            harmony.ornament(self.chords, a, b, self.lead[0][0].pitch + 5, self.rng)
            for a, b in harmony.rests(self.lead, 0.8, seconds)
            if self.rng.random() < 0.4
        ]
        phrases = [phrase for phrase in phrases if phrase]
        decibels = float(self.rng.uniform(-9, -3))
        manner = replace(self.manner, melisma=0.9)
        learnt = self.who.learn(phrases, manner, self.rng, vowels=True)
        pan = float(self.rng.uniform(-0.5, 0.5))
        self.take(range(len(phrases)), phrases, learnt, manner, pan, decibels)
        return {"kind": "ornaments", "count": len(phrases), "pan": pan, "decibels": decibels}

    def answers(self, seconds, voice, who):
        """Add another singer who repeats the ends of phrases in the rests after them."""
        manner = Character(**voice["character"])
        phrases = []
        for start, end in harmony.rests(self.lead, 1.0, seconds):
            call = [phrase for phrase in self.lead if phrase[-1].end <= start + 0.01][-1]
            phrase = harmony.answer(call, start, end)
            if phrase and self.rng.random() < 0.7:
                phrases.append(phrase)
        if phrases:
            pitches = [note.pitch for phrase in phrases for note in phrase]
            phrases = at_octave(phrases, round((who.centre(manner) - np.median(pitches)) / 12))
        decibels = float(self.rng.uniform(-8, -2))
        pan = float(self.rng.uniform(-0.8, 0.8))
        learnt = who.learn(phrases, manner, self.rng)
        self.take(range(len(phrases)), phrases, learnt, manner, pan, decibels, who)
        return {
            "kind": "answers",
            "voice": voice,
            "count": len(phrases),
            "pan": pan,
            "decibels": decibels,
        }


def at_octave(phrases: Sequence[Sequence[Note]], octaves: int) -> tuple[tuple[Note, ...], ...]:
    """Return the phrases moved by octaves."""
    return tuple(
        tuple(replace(note, pitch=note.pitch + 12 * octaves) for note in phrase)
        for phrase in phrases
    )


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
