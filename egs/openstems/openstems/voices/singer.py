"""Singing with a voice bank: its syllables, in order, on the notes of a melody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..music import RATE, Note
from . import melody, world
from .bank import Bank
from .character import Character
from .delivery import LEAD_IN, RELEASE, Chunk, breath_length, breathe, consonants
from .timeline import HOLD, plan
from .world import HOP


def words(
    notes: Sequence[Note], bank: Bank, character: Character, rng: np.random.Generator
) -> tuple[int, ...]:
    """Return a syllable of the bank, or `HOLD`, for each note of a phrase.

    Args:
        notes: notes of the phrase.
        bank: voice bank of the syllables.
        character: character with the probability of a melisma.
        rng: random generator.
    """
    chosen: list[int] = []
    syllable, used = -1, 0
    for number, note in enumerate(notes):
        step = abs(note.pitch - notes[number - 1].pitch) if number else 99
        held = number and used < 4 and 0 < step <= 5 and rng.random() < character.melisma
        if held:
            chosen.append(HOLD)
            used += 1
            continue
        if syllable >= 0 and bank.follows[syllable]:
            syllable += 1
        else:
            syllable = _beginning(bank, rng)
        chosen.append(syllable)
        used = 1
    return tuple(chosen)


def _beginning(bank: Bank, rng: np.random.Generator) -> int:
    """Return a random syllable to start from, preferably the first one of a phrase."""
    if rng.random() < 0.6:
        firsts = np.flatnonzero(np.append(True, ~bank.follows[:-1]))
        return int(rng.choice(firsts))
    return int(rng.integers(len(bank.syllables)))


def vowel_words(notes: Sequence[Note], bank: Bank, rng: np.random.Generator) -> tuple[int, ...]:
    """Return one syllable with a long vowel, held over all notes ("ooh", "aah").

    Args:
        notes: notes of the phrase.
        bank: voice bank of the syllables.
        rng: random generator of the choice among the longest nuclei.
    """
    longest = np.argsort(bank.syllables[:, 1] - bank.syllables[:, 2], kind="stable")
    syllable = int(rng.choice(longest[: max(4, len(longest) // 8)]))
    return (syllable, *[HOLD] * (len(notes) - 1))


def sing(
    notes: Sequence[Note],
    syllables: Sequence[int],
    bank: Bank,
    character: Character,
    rng: np.random.Generator,
) -> Chunk:
    """Sing one phrase.

    Args:
        notes: legato notes of the phrase, in the octave to sing.
        syllables: syllable of each note, from `words`.
        bank: voice bank.
        character: the singer.
        rng: random generator of the differences between takes.
    """
    notes = melody.humanise(notes, character, rng)
    breath = breath_length(notes, character, rng)
    begin = int(np.floor((notes[0].start - LEAD_IN - breath) / HOP))
    end = int(np.ceil((notes[-1].end + RELEASE) / HOP))
    times = np.arange(begin, end) * HOP
    score = melody.pitch_curve(notes, times, character, rng)
    position, gain, held = plan(notes, syllables, bank, character, begin, len(times), rng)
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
    envelope, aperiodicity = frames.envelope, frames.aperiodicity
    if breath:
        breathe(round(breath / HOP), bank.vowel, character, f0, envelope, gain, effort)
    audio = world.synthesise(
        f0, envelope, aperiodicity, gain, effort,
        character.formant, character.presence, character.breathiness,
    )  # fmt: skip
    return Chunk(round(begin * HOP * RATE), audio)


def _spoken(f0, bank, score, notes):
    """Return the pitch curve of the speech, around a low note of the song."""
    natural = 69 + 12 * np.log2(np.where(f0 > 0, f0, np.nan) / 440)
    known = np.isfinite(natural)
    if not known.any():
        return score
    natural = np.interp(np.arange(len(f0)), np.flatnonzero(known), natural[known])
    base = min(note.pitch for note in notes)
    return natural - bank.pitch + min(base, bank.pitch + 4)
