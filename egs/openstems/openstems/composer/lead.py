"""Lead lines: fills in the rests of the voice, and solos."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..music import Note
from .form import SectionPlan
from .grid import Event, pick
from .harmony import span_at
from .outline import Outline

_PENTATONIC = {"major": (0, 2, 4, 7, 9), "minor": (0, 3, 5, 7, 10)}
_SHAPES = (
    (0, 1, 2, 3, 2),
    (4, 3, 2, 1, 0),
    (0, 2, 1, 3, 2, 4),
    (2, 1, 0, 1),
    (3, 2, 3, 1, 0),
    (0, 0, 1, 2),
)


def fills(
    song: Outline, vocals: Sequence[Note], low: int, chance: float, rng: np.random.Generator
) -> list[Event]:
    """Return short phrases in the rests of the voice.

    Args:
        song: the outline of the song.
        vocals: the vocal melody.
        low: lowest pitch of the phrases, which span about an octave and a half.
        chance: share of the rests that are filled.
        rng: random generator.
    """
    lines = np.asarray(song.grid.lines)
    times = [time for note in vocals for time in (note.start, note.end)]
    bars = np.interp(times, lines, np.arange(len(lines)))
    edges = (bars * song.grid.beats_per_bar).tolist()
    rests = zip([0.0, *edges[1::2]], [*edges[::2], float(song.grid.beats)], strict=True)
    events: list[Event] = []
    for start, end in rests:
        if end - start >= 1.5 and rng.random() < chance:
            first = np.ceil((start + 0.1) * 2) / 2
            events += _lick(song, first, min(end - first, 4.0), low, rng)
    return events


def _lick(song, start, room, low, rng) -> list[Event]:
    scale = _scale(song, low)
    shape = pick(rng, _SHAPES)
    unit = pick(rng, (0.25, 0.5, 0.5))
    count = min(len(shape), int(room / unit))
    home = int(rng.integers(0, len(scale) - 5))
    events = []
    for index in range(count):
        last = index == count - 1
        pitch = scale[home + shape[index]]
        beat = start + index * unit
        if last:
            pitch = _nearest(pitch, span_at(song.spans, beat + 1e-6).pitch_classes)
        length = min(2 * unit, room - index * unit) if last else unit
        events.append(Event(float(beat), float(length), pitch, 92 + 10 * (index % 2 == 0)))
    return events


def solo(
    song: Outline, sections: Sequence[SectionPlan], low: int, rng: np.random.Generator
) -> list[Event]:
    """Return a solo over whole sections: phrases of two bars, from eighth to sixteenth notes.

    Args:
        song: the outline of the song.
        sections: sections to fill.
        low: lowest pitch.
        rng: random generator.
    """
    scale, beats = _scale(song, low), song.style.meter.beats
    events: list[Event] = []
    place = len(scale) // 2
    for section in sections:
        for bar in range(section.bar, section.end, 2):
            beat = bar * beats + float(pick(rng, (0.0, 0.0, 0.5)))
            stop = min(bar + 2, section.end) * beats - float(rng.uniform(0.5, 1.5))
            while beat < stop:
                length = float(pick(rng, (0.25, 0.25, 0.5, 0.5, 0.5, 1.0)))
                place = int(np.clip(place + pick(rng, (-2, -1, -1, 0, 1, 1, 2)), 0, len(scale) - 1))
                pitch = scale[place]
                if length >= 0.5 and beat % 1 == 0:
                    pitch = _nearest(pitch, span_at(song.spans, beat + 1e-6).pitch_classes)
                events.append(
                    Event(beat, min(length, stop - beat + 0.1), pitch, 96 + 8 * (beat % 1 == 0))
                )
                beat += length
    return events


def _scale(song: Outline, low: int) -> list[int]:
    steps = _PENTATONIC[song.mode]
    return [pitch for pitch in range(low, low + 20) if (pitch - song.key) % 12 in steps]


def _nearest(pitch: int, tones: Sequence[int]) -> int:
    return min(range(pitch - 4, pitch + 5), key=lambda p: (p % 12 not in tones, abs(p - pitch)))
