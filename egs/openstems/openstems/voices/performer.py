"""Performers, a common interface of all kinds of voices: learn phrases, then sing takes."""

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
    """Performer with a voice bank.

    Args:
        voices: voice bank.
    """

    def __init__(self, voices: bank.Bank):
        self.bank = voices

    def centre(self, character: Character) -> float:
        """Return MIDI number about which this voice sings with ease."""
        # Singing is higher than speech, even more with high formants.
        return self.bank.pitch + 6 + 6 * np.log2(character.formant)

    def learn(
        self, phrases: Phrases, character: Character, rng: np.random.Generator, vowels: bool = False
    ) -> list[Any]:
        """Choose syllables, or a vowel, for each phrase."""
        if vowels:
            return [singer.vowel_words(phrase, self.bank, rng) for phrase in phrases]
        return [singer.words(phrase, self.bank, character, rng) for phrase in phrases]

    def sing(
        self, learnt: Any, notes: Sequence[Note], character: Character, rng: np.random.Generator
    ) -> Chunk:
        """Sing a learnt phrase on these notes."""
        return singer.sing(notes, learnt, self.bank, character, rng)


class SinsyPerformer:
    """Performer with Sinsy.

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
        """Synthesise the phrases once, with kana or on a vowel."""
        return list(sinsy.perform(phrases, self.alpha, character, rng, vowels))

    def sing(
        self, learnt: Any, notes: Sequence[Note], character: Character, rng: np.random.Generator
    ) -> Chunk:
        """Sing a phrase of the performance on these notes."""
        return sinsy.sing(learnt, notes, character, rng)


Performer = BankPerformer | SinsyPerformer


def performer(
    voice: dict[str, Any], materials: Materials, phrases: int, cache: Path | None
) -> Performer:
    """Return the performer of a voice.

    Args:
        voice: voice from `choice.choose_voice`.
        materials: materials of the build.
        phrases: number of phrases in voice banks.
        cache: folder for voice banks.
    """
    if voice["kind"] == "sinsy":
        return SinsyPerformer(voice["alpha"])
    return BankPerformer(bank.load(voice["speaker"], materials, phrases, cache))


def character_of(voice: dict[str, Any]) -> Character:
    """Return the character from the record of a voice."""
    return Character(**voice["character"])


def at_octave(phrases: Phrases, octaves: int) -> tuple[tuple[Note, ...], ...]:
    """Return the phrases moved by octaves."""
    return tuple(
        tuple(replace(note, pitch=note.pitch + 12 * octaves) for note in phrase)
        for phrase in phrases
    )
