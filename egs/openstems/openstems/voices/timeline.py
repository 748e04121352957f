"""Alignment of the syllables of a phrase with its notes, frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..music import Note
from . import melody
from .bank import Bank
from .character import Character
from .delivery import LEAD_IN, LEVEL, RELEASE
from .world import HOP

HOLD = -1
"""Marks a note on which the previous syllable continues."""
SHORTEST_VOWEL = 0.045
"""Least length of a vowel in seconds."""
UNDER = 24.0
"""Level of filled gaps in a phrase, in dB below the sound before."""


def plan(
    notes: Sequence[Note],
    syllables: Sequence[int],
    bank: Bank,
    character: Character,
    begin: int,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the position in the bank and the gain of each frame of a phrase, and which are vowels.

    Vowels start on the notes, preceded by consonants, which keep their length if there is room.

    Args:
        notes: notes of the phrase.
        syllables: syllable of each note, or `HOLD`.
        bank: voice bank of the syllables.
        character: the singer.
        begin: first frame of the phrase in the song.
        count: number T of frames.
        rng: random generator of the differences between takes.

    Returns:
        position (T,) in frames of the bank, negative for silence; gain (T,) in dB; and held (T,)
        bool, whether a frame is part of a vowel.
    """
    line = _Line(bank, count, rng)
    wanted = melody.loudness(notes, character, rng)
    groups = _groups(notes, syllables)
    number = 0
    for index, group in enumerate(groups):
        loud = LEVEL + wanted[number : number + len(group.notes)].mean()
        number += len(group.notes)
        lift = loud - float(bank.nucleus_level[group.syllable])
        start, stop = (round(time / HOP) - begin for time in (group.start, group.end))
        following = groups[index + 1].syllable if index + 1 < len(groups) else None
        line.onset(group.syllable, start, lift, index == 0)
        hold, coda = _shares(bank, group.syllable, following, min(stop, count) - start)
        line.nucleus(group.syllable, start, hold, lift)
        line.coda(group.syllable, coda, lift, following is None)
    _let_go(line.position, line.gain, line.cursor, count)
    _fade_in_gaps(line.position, line.gain)
    return line.position, line.gain, line.held


def _shares(bank: Bank, syllable: int, following: int | None, room: int) -> tuple[int, int]:
    """Return the numbers of frames of a note for the vowel and for the coda.

    The rest of the note is for the onset of the next syllable.
    """
    _, _, nucleus_end, end = (int(x) for x in bank.syllables[syllable])
    coda = end - nucleus_end
    spare = min(max(0, room - round(SHORTEST_VOWEL / HOP)), round(0.6 * room))
    if following is None:
        coda = min(coda, spare + round(0.6 * RELEASE / HOP))
        return max(room - min(coda, spare), 1), coda
    first, nucleus, _, _ = (int(x) for x in bank.syllables[following])
    onset = nucleus - first
    share = min(1.0, spare / max(coda + onset, 1))
    coda = int(share * coda)
    return max(room - coda - int(share * onset), 1), coda


class _Line:
    """Phrase of T frames, filled syllable by syllable.

    Attributes:
        position: (T,) in frames of the bank, negative where silent.
        gain: (T,) in dB.
        held: (T,) bool, the vowels.
        cursor: first frame that is not filled yet.
    """

    def __init__(self, bank: Bank, count: int, rng: np.random.Generator):
        self.bank, self.rng = bank, rng
        self.position = np.full(count, -1.0)
        self.gain = np.full(count, -120.0)
        self.held = np.zeros(count, bool)
        self.cursor = 0

    def onset(self, syllable: int, start: int, lift: float, first: bool) -> None:
        """Add the consonants before a vowel, in the frames that the previous syllable left."""
        begin, nucleus = (int(x) for x in self.bank.syllables[syllable, :2])
        room = start - self.cursor
        length = min(nucleus - begin, min(room, round(LEAD_IN / HOP)) if first else room)
        if length > 0:
            self.position[start - length : start] = nucleus - length + np.arange(length)
            self.gain[start - length : start] = lift
            if first:
                self.gain[start - length : start] += np.linspace(-12, 0, length)

    def nucleus(self, syllable: int, start: int, length: int, lift: float) -> None:
        """Add the vowel."""
        begin, end = (int(x) for x in self.bank.syllables[syllable, 1:3])
        length = min(length, len(self.position) - start)
        place = slice(start, start + length)
        walk = _walk(begin, end, length, self.rng)
        level = np.interp(walk, np.arange(begin, end), self.bank.frames.level[begin:end])
        self.position[place] = walk
        self.held[place] = True
        # The level of a held vowel must not follow that of the speech.
        swell = 0.7 * (level - self.bank.nucleus_level[syllable])
        self.gain[place] = lift - swell - _decay(length, self.rng)
        self.cursor = start + length

    def coda(self, syllable: int, length: int, lift: float, last: bool) -> None:
        """Add the consonants after a vowel, compressed in time rather than cut."""
        begin, end = (int(x) for x in self.bank.syllables[syllable, 2:])
        length = min(length, len(self.position) - self.cursor)
        if length > 0:
            place = slice(self.cursor, self.cursor + length)
            self.position[place] = np.linspace(begin, end - 1, length)
            self.gain[place] = lift + (np.linspace(0, -6, length) if last else 0)
            self.cursor += length


@dataclass(frozen=True)
class _Group:
    """Syllable with the span of its notes and its loudness in dB."""

    syllable: int
    start: float
    end: float
    notes: tuple[Note, ...]


def _groups(notes: Sequence[Note], syllables: Sequence[int]) -> list[_Group]:
    groups: list[_Group] = []
    for note, syllable in zip(notes, syllables, strict=True):
        if syllable == HOLD and groups:
            last = groups.pop()
            groups.append(_Group(last.syllable, last.start, note.end, (*last.notes, note)))
        else:
            groups.append(_Group(max(syllable, 0), note.start, note.end, (note,)))
    return groups


def _decay(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return the levels of held notes, which fade or swell, with small variations."""
    slope = rng.uniform(-2, 4) * np.clip(np.arange(frames) * HOP / 1.5, 0, 1)
    return slope + 0.35 * melody.wander(frames, 6.0, rng)


def _walk(first: int, end: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return a path through a nucleus: from its start, around its middle, to its end."""
    length = end - 1 - first
    if frames <= 1.3 * length:
        return np.linspace(first, end - 1, frames)
    edge = max(1, int(0.25 * length))
    middle = frames - 2 * edge
    low, high = first + edge, end - 1 - edge
    wandering = 0.5 + 0.5 * np.tanh(1.2 * melody.wander(middle, 1.2, rng))
    # Diphthongs change late: a slow trend is added to the random movement.
    trend = np.linspace(0, 1, middle) ** 2
    inner = low + (high - low) * np.clip(0.65 * wandering + 0.35 * trend, 0, 1)
    ramp = min(edge + 3, middle // 2)
    if ramp > 0:
        blend = np.linspace(0, 1, ramp)
        inner[:ramp] = low * (1 - blend) + inner[:ramp] * blend
        inner[-ramp:] = inner[-ramp:] * (1 - blend) + high * blend
    return np.concatenate([np.linspace(first, low, edge), inner, np.linspace(high, end - 1, edge)])


def _let_go(position, gain, cursor, count):
    """Fade the voice out within some hundredths of a second after the last sound."""
    tail = min(count - cursor, round(0.04 / HOP))
    if tail > 0 and cursor > 0:
        position[cursor : cursor + tail] = position[cursor - 1]
        gain[cursor : cursor + tail] = gain[cursor - 1] - np.linspace(3, 30, tail)


def _fade_in_gaps(position, gain):
    """Fill gaps between a coda and an onset with the sound before, much softer."""
    sounding = np.flatnonzero(position >= 0)
    for a, b in zip(sounding, sounding[1:], strict=False):
        if b - a > 1:
            position[a + 1 : b] = position[a]
            gain[a + 1 : b] = min(gain[a], gain[b]) - UNDER
