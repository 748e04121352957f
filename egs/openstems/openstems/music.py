"""Scores: notes in parts, chords, sections and bar lines.

All times are in seconds from the song's beginning, pitches are MIDI note numbers (60 is middle C)
and velocities go from 1 to 127. All classes are immutable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

RATE = 44100
"""Sample rate of all audio, in Hz."""

STEMS = ("vocals", "drums", "bass", "other")
ROLES = ("drums", "bass", "guitar", "keys", "pad", "strings", "lead", "brass", "vocals")
SECTION_NAMES = ("intro", "verse", "chorus", "bridge", "break", "outro")

CHORD_INTERVALS: dict[str, tuple[int, ...]] = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "5": (0, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "min7b5": (0, 3, 6, 10),
    "7sus4": (0, 5, 7, 10),
    "add9": (0, 4, 7, 2),
    "9": (0, 4, 7, 10, 2),
}
"""Semitones above the root for each chord quality, the most characteristic tones first."""


@dataclass(frozen=True)
class Note:
    """Note.

    Args:
        start: start in seconds.
        end: end in seconds, later than `start`.
        pitch: MIDI note number; in drum parts a General MIDI percussion number.
        velocity: 1 to 127.
    """

    start: float
    end: float
    pitch: int
    velocity: int

    @property
    def duration(self) -> float:
        """Return the duration in seconds."""
        return self.end - self.start


@dataclass(frozen=True)
class Part:
    """Part of one player.

    Args:
        role: one of `ROLES`.
        program: General MIDI program, 0 to 127; 0 for drums.
        notes: notes in the order of their starts.
        name: distinguishes parts of one role, e.g. "left" and "right" of a doubled guitar.
    """

    role: str
    program: int
    notes: tuple[Note, ...]
    name: str = ""


@dataclass(frozen=True)
class Chord:
    """Chord in a span of time.

    Args:
        start: start in seconds.
        end: end in seconds.
        root: pitch class, 0 (C) to 11 (B).
        quality: a key of `CHORD_INTERVALS`.
    """

    start: float
    end: float
    root: int
    quality: str

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Return the pitch classes of the chord, the root first."""
        return tuple((self.root + interval) % 12 for interval in CHORD_INTERVALS[self.quality])


@dataclass(frozen=True)
class Section:
    """Section of the form.

    Args:
        name: one of `SECTION_NAMES`.
        start: start in seconds.
        end: end in seconds.
        energy: 0 (few instruments, softly) to 1 (all instruments, loudly).
    """

    name: str
    start: float
    end: float
    energy: float


@dataclass(frozen=True)
class Score:
    """Score of a song.

    Args:
        seconds: length, within which every note starts and ends.
        tempo: quarter notes per minute (dotted quarters in 6/8), at the start.
        beats_per_bar: number of beats between two bar lines.
        key: pitch class of the tonic.
        mode: "major" or "minor".
        bars: start of each bar in seconds.
        chords: chords in order, without gaps if they are known.
        sections: sections in order.
        parts: parts; the vocal melody has the role "vocals".
        origin: origin in plain types: source, piece, window, styles.
    """

    seconds: float
    tempo: float
    beats_per_bar: int
    key: int
    mode: str
    bars: tuple[float, ...]
    chords: tuple[Chord, ...]
    sections: tuple[Section, ...]
    parts: tuple[Part, ...]
    origin: dict[str, Any] = field(default_factory=dict)

    def part(self, role: str) -> tuple[Part, ...]:
        """Return all parts of a role."""
        return tuple(part for part in self.parts if part.role == role)


def chord_at(chords: Iterable[Chord], time: float) -> Chord | None:
    """Return the chord at `time` seconds, or None if it is unknown."""
    return next((chord for chord in chords if chord.start <= time < chord.end), None)


def by_start(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return notes sorted by start, then by pitch, as in a `Part`."""
    return tuple(sorted(notes, key=lambda note: (note.start, note.pitch, note.end)))
