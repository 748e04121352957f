"""One way to use every kind of voice: words for phrases, then as many takes as are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..music import Note
from . import bank, singer, sinsy
from .character import Character
from .delivery import Chunk
from .speakers import Materials

Phrases = Sequence[Sequence[Note]]


class BankPerformer:
    """Sings with a voice bank.

    Args:
        voices: the bank.
    """

    def __init__(self, voices: bank.Bank):
        self.bank = voices

    def centre(self, character: Character) -> float:
        """Return MIDI number about which this voice sings with ease."""
        # Singing lies above speech; small heads sing higher.
        return self.bank.pitch + 6 + 6 * np.log2(character.formant)

    def learn(
        self, phrases: Phrases, character: Character, rng: np.random.Generator, vowels: bool = False
    ) -> list[Any]:
        """Find words for each phrase, or a vowel."""
        if vowels:
            return [singer.vowel_words(phrase, self.bank, rng) for phrase in phrases]
        return [singer.words(phrase, self.bank, character, rng) for phrase in phrases]

    def sing(
        self, learnt: Any, notes: Sequence[Note], character: Character, rng: np.random.Generator
    ) -> Chunk:
        """Sing a phrase whose words were learnt, on these notes."""
        return singer.sing(notes, learnt, self.bank, character, rng)


class SinsyPerformer:
    """Sings with Sinsy.

    Args:
        alpha: all-pass constant.
    """

    def __init__(self, alpha: float):
        self.alpha = alpha

    def centre(self, character: Character) -> float:
        """Return MIDI number about which this voice sings with ease."""
        return 67 + 24 * np.log2(character.formant)

    def learn(
        self, phrases: Phrases, character: Character, rng: np.random.Generator, vowels: bool = False
    ) -> list[Any]:
        """Have Sinsy sing the phrases once, with kana or on a vowel."""
        return list(sinsy.perform(phrases, self.alpha, character, rng, vowels))

    def sing(
        self, learnt: Any, notes: Sequence[Note], character: Character, rng: np.random.Generator
    ) -> Chunk:
        """Sing a phrase of the performance, on these notes."""
        return sinsy.sing(learnt, notes, character, rng)


Performer = BankPerformer | SinsyPerformer


def performer(
    voice: dict[str, Any], materials: Materials, phrases: int, cache: Path | None
) -> Performer:
    """Return who sings.

    Args:
        voice: as `choice.choose_voice` makes it.
        materials: what the build may use.
        phrases: size of voice banks.
        cache: folder of voice banks.
    """
    if voice["kind"] == "sinsy":
        return SinsyPerformer(voice["alpha"])
    return BankPerformer(bank.load(voice["speaker"], materials, phrases, cache))


def character_of(voice: dict[str, Any]) -> Character:
    """Return the singer's character from its record."""
    return Character(**voice["character"])


def at_octave(phrases: Phrases, octaves: int) -> tuple[tuple[Note, ...], ...]:
    """Return phrases moved by octaves."""
    return tuple(
        tuple(replace(note, pitch=note.pitch + 12 * octaves) for note in phrase)
        for phrase in phrases
    )
