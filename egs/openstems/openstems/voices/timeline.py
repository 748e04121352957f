"""Lays the syllables of a phrase on its notes, frame by frame."""

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
"""In place of a syllable: the one before is carried on."""
SHORTEST_VOWEL = 0.045
"""Seconds of a note that its vowel gets at least."""
UNDER = 24.0
"""How many dB softer holes inside a phrase are filled."""


def plan(
    notes: Sequence[Note],
    syllables: Sequence[int],
    bank: Bank,
    character: Character,
    begin: int,
    count: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where in the bank each frame of a phrase comes from, how loud, and what is vowel.

    Vowels begin on the notes, consonants before; these keep their length where there is room.

    Args:
        notes: of the phrase.
        syllables: for each note, or `HOLD`.
        bank: whose syllables.
        character: the singer.
        begin: the phrase's first frame in the song.
        count: number T of its frames.
        rng: decides what differs from take to take.

    Returns:
        position (T,) in frames of the bank, negative where silent; gain (T,) in dB; and held
        (T,) bool, the vowels.
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
    """Return how many frames of a note the vowel gets, and how many the coda.

    The next syllable needs its onset, this one its coda, the vowel what it takes to be heard.
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
    """A phrase as it grows, syllable by syllable; T frames.

    Attributes:
        position: (T,) in frames of the bank, negative where silent.
        gain: (T,) in dB.
        held: (T,) bool, the vowels.
        cursor: how far it has grown.
    """

    def __init__(self, bank: Bank, count: int, rng: np.random.Generator):
        self.bank, self.rng = bank, rng
        self.position = np.full(count, -1.0)
        self.gain = np.full(count, -120.0)
        self.held = np.zeros(count, bool)
        self.cursor = 0

    def onset(self, syllable: int, start: int, lift: float, first: bool) -> None:
        """The consonants before a vowel, in what the syllable before left free."""
        begin, nucleus = (int(x) for x in self.bank.syllables[syllable, :2])
        room = start - self.cursor
        length = min(nucleus - begin, min(room, round(LEAD_IN / HOP)) if first else room)
        if length > 0:
            self.position[start - length : start] = nucleus - length + np.arange(length)
            self.gain[start - length : start] = lift
            if first:
                self.gain[start - length : start] += np.linspace(-12, 0, length)

    def nucleus(self, syllable: int, start: int, length: int, lift: float) -> None:
        """The vowel."""
        begin, end = (int(x) for x in self.bank.syllables[syllable, 1:3])
        length = min(length, len(self.position) - start)
        place = slice(start, start + length)
        walk = _walk(begin, end, length, self.rng)
        level = np.interp(walk, np.arange(begin, end), self.bank.frames.level[begin:end])
        self.position[place] = walk
        self.held[place] = True
        # A held vowel must not swell with the melody of the speech it is taken from.
        swell = 0.7 * (level - self.bank.nucleus_level[syllable])
        self.gain[place] = lift - swell - _decay(length, self.rng)
        self.cursor = start + length

    def coda(self, syllable: int, length: int, lift: float, last: bool) -> None:
        """The consonants behind a vowel, squeezed rather than cut so that they still lead on."""
        begin, end = (int(x) for x in self.bank.syllables[syllable, 2:])
        length = min(length, len(self.position) - self.cursor)
        if length > 0:
            place = slice(self.cursor, self.cursor + length)
            self.position[place] = np.linspace(begin, end - 1, length)
            self.gain[place] = lift + (np.linspace(0, -6, length) if last else 0)
            self.cursor += length


@dataclass(frozen=True)
class _Group:
    """A syllable and the span of the notes that it is sung on, with its loudness in dB."""

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
    """Return the levels of notes, which fade or swell while held, with small variations."""
    slope = rng.uniform(-2, 4) * np.clip(np.arange(frames) * HOP / 1.5, 0, 1)
    return slope + 0.35 * melody.wander(frames, 6.0, rng)


def _walk(first: int, end: int, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return a way through a nucleus: in at its beginning, about in its middle, out at its end."""
    length = end - 1 - first
    if frames <= 1.3 * length:
        return np.linspace(first, end - 1, frames)
    edge = max(1, int(0.25 * length))
    middle = frames - 2 * edge
    low, high = first + edge, end - 1 - edge
    wandering = 0.5 + 0.5 * np.tanh(1.2 * melody.wander(middle, 1.2, rng))
    # Diphthongs glide late: a slow trend under the wandering.
    trend = np.linspace(0, 1, middle) ** 2
    inner = low + (high - low) * np.clip(0.65 * wandering + 0.35 * trend, 0, 1)
    ramp = min(edge + 3, middle // 2)
    if ramp > 0:
        blend = np.linspace(0, 1, ramp)
        inner[:ramp] = low * (1 - blend) + inner[:ramp] * blend
        inner[-ramp:] = inner[-ramp:] * (1 - blend) + high * blend
    return np.concatenate([np.linspace(first, low, edge), inner, np.linspace(high, end - 1, edge)])


def _let_go(position, gain, cursor, count):
    """The voice dies away within some hundredths of a second after the last sound."""
    tail = min(count - cursor, round(0.04 / HOP))
    if tail > 0 and cursor > 0:
        position[cursor : cursor + tail] = position[cursor - 1]
        gain[cursor : cursor + tail] = gain[cursor - 1] - np.linspace(3, 30, tail)


def _fade_in_gaps(position, gain):
    """Frames between a coda and an onset that leave a hole carry on what was, much softer."""
    sounding = np.flatnonzero(position >= 0)
    for a, b in zip(sounding, sounding[1:], strict=False):
        if b - a > 1:
            position[a + 1 : b] = position[a]
            gain[a + 1 : b] = min(gain[a], gain[b]) - UNDER
