"""Singing with a voice bank: its syllables, in order, on the notes of a melody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..music import Note
from . import melody
from .bank import Bank
from .character import Character
from .delivery import Chunk, breathe, chunk, consonants, span
from .timeline import HOLD, plan


class BankPerformer:
    """Performer with a voice bank.

    Args:
        bank: voice bank.
    """

    def __init__(self, bank: Bank):
        self.bank = bank

    def centre(self, character: Character) -> float:
        """Return the MIDI number about which this voice sings with ease."""
        # Singing is higher than speech, even more with high formants.
        return self.bank.pitch + 6 + 6 * np.log2(character.formant)

    def learn(
        self,
        phrases: Sequence[Sequence[Note]],
        character: Character,
        rng: np.random.Generator,
        vowels: bool = False,
    ) -> list[tuple[int, ...]]:
        """Return the syllables of each phrase.

        Args:
            phrases: notes of each phrase.
            character: character with the probability of a melisma.
            rng: random generator.
            vowels: whether to sing each phrase on one vowel.
        """
        if vowels:
            return [self._vowel(notes, rng) for notes in phrases]
        return [self._words(notes, character, rng) for notes in phrases]

    def _words(
        self, notes: Sequence[Note], character: Character, rng: np.random.Generator
    ) -> tuple[int, ...]:
        """Return a syllable of the bank, or `HOLD`, for each note of a phrase."""
        chosen: list[int] = []
        syllable, used = -1, 0
        for number, note in enumerate(notes):
            step = abs(note.pitch - notes[number - 1].pitch) if number else 99
            if number and used < 4 and 0 < step <= 5 and rng.random() < character.melisma:
                chosen.append(HOLD)
                used += 1
                continue
            if syllable >= 0 and self.bank.follows[syllable]:
                syllable += 1
            else:
                syllable = self._beginning(rng)
            chosen.append(syllable)
            used = 1
        return tuple(chosen)

    def _beginning(self, rng: np.random.Generator) -> int:
        """Return a random syllable to start from, preferably the first one of a phrase."""
        if rng.random() < 0.6:
            firsts = np.flatnonzero(np.append(True, ~self.bank.follows[:-1]))
            return int(rng.choice(firsts))
        return int(rng.integers(len(self.bank.syllables)))

    def _vowel(self, notes: Sequence[Note], rng: np.random.Generator) -> tuple[int, ...]:
        """Return a syllable with a long vowel, held over all notes ("ooh", "aah")."""
        syllables = self.bank.syllables
        longest = np.argsort(syllables[:, 1] - syllables[:, 2], kind="stable")
        syllable = int(rng.choice(longest[: max(4, len(longest) // 8)]))
        return (syllable, *[HOLD] * (len(notes) - 1))

    def sing(
        self,
        learnt: Sequence[int],
        notes: Sequence[Note],
        character: Character,
        rng: np.random.Generator,
    ) -> Chunk:
        """Sing one phrase.

        Args:
            learnt: syllable of each note, from `learn`.
            notes: legato notes of the phrase, in the octave to sing.
            character: the singer.
            rng: random generator of the differences between takes.
        """
        bank = self.bank
        notes = melody.humanise(notes, character, rng)
        breath, begin, times = span(notes, character, rng)
        score = melody.pitch_curve(notes, times, character, rng)
        position, gain, held = plan(notes, learnt, bank, character, begin, len(times), rng)
        frames = bank.read(position)
        voiced = frames.f0 > 0
        voiced[held] = True
        if character.spoken:
            score = _spoken(frames.f0, bank, score, notes)
        f0 = np.where(voiced, 440 * 2 ** ((score - 69) / 12), 0)
        effort = np.full(len(times), character.effort)
        gain, effort = consonants(gain, effort, frames.level, voiced, character)
        # Loud notes are brighter.
        effort += np.clip(0.12 * (gain - np.median(gain[held])), -1, 1) * held
        if breath:
            breathe(breath, bank.vowel, character, f0, frames.envelope, gain, effort)
        return chunk(begin, f0, frames, gain, effort, character)


def _spoken(f0, bank, score, notes):
    """Return the pitch curve of the speech, around a low note of the song."""
    natural = 69 + 12 * np.log2(np.where(f0 > 0, f0, np.nan) / 440)
    known = np.isfinite(natural)
    if not known.any():
        return score
    natural = np.interp(np.arange(len(f0)), np.flatnonzero(known), natural[known])
    base = min(note.pitch for note in notes)
    return natural - bank.pitch + min(base, bank.pitch + 4)
