"""Accompaniment: guitars, keys, pads, strings, arpeggios, brass and riffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import tables
from ..music import CHORD_INTERVALS
from .form import SectionPlan
from .grid import Event, Meter, pick
from .harmony import ChordSpan, span_at, voicing


@dataclass(frozen=True)
class Kind:
    """Kind of accompaniment, as described in patterns.yml.

    Args:
        style: "block", "strum", "power", "order", "top" or "riff".
        low: lowest pitch.
        high: highest pitch.
        voices: number of tones in a chord.
        rhythms: texts for bars of 16 sixteenths, separated by spaces.
        rhythms_12: the same for bars of 12.
        velocity: velocity of a plain stroke.
    """

    style: str
    low: int
    high: int
    voices: int
    rhythms: str
    rhythms_12: str
    velocity: int


KINDS = {
    name: Kind(*cells) for name, cells in tables.load(__file__, "patterns.yml")["kinds"].items()
}
"""Kinds of accompaniment by name."""
_RIFF_SHAPES = {"minor": (0, 0, 0, 3, 5, 7, 10, 12), "major": (0, 0, 0, 2, 4, 7, 9, 12)}


def riff_figure(meter: Meter, rng: np.random.Generator) -> tuple[tuple[int, int, int], ...]:
    """Return a riff of one or two bars: (step, steps, number in the scale) for each note."""
    steps = meter.steps_per_bar
    weight = np.where(np.arange(steps) % meter.steps == 0, 1.0, 0.35)
    weight[2::4] = 0.8
    count = int(rng.integers(4, 9))
    onsets = {0, *rng.choice(steps, count - 1, replace=False, p=weight / weight.sum()).tolist()}
    onsets = sorted(int(step) for step in onsets)
    ends = [*onsets[1:], steps]
    degrees = [int(rng.integers(len(_RIFF_SHAPES["minor"]))) for _ in onsets]
    degrees[0] = 0
    bar = list(zip(onsets, np.subtract(ends, onsets).tolist(), degrees, strict=True))
    if rng.random() < 0.5:
        return tuple(bar)
    # The answer repeats the call with another ending.
    answer = [(step + steps, length, degree) for step, length, degree in bar]
    for index in range(len(answer) // 2, len(answer)):
        step, length, _ = answer[index]
        answer[index] = (step, length, int(rng.integers(len(_RIFF_SHAPES["minor"]))))
    return tuple(bar + answer)


class Comping:
    """Accompaniment by one player.

    Args:
        kind: name in `KINDS`.
        spans: the chords of the song.
        meter: the metre.
        tempo: beats per minute.
        rng: random generator; sections of one name get the same choices.
    """

    def __init__(
        self,
        kind: str,
        spans: Sequence[ChordSpan],
        meter: Meter,
        tempo: float,
        rng: np.random.Generator,
    ):
        self.kind = KINDS[kind]
        self._spans = spans
        self._meter = meter
        self._rng = rng
        # Delay between two strings of a strum, in beats.
        self._spread = float(rng.uniform(0.006, 0.018)) * tempo / 60
        texts = self.kind.rhythms if meter.steps_per_bar == 16 else self.kind.rhythms_12
        rhythms = texts.split()
        self._texts = {loud: pick(rng, rhythms) if rhythms else "" for loud in (False, True)}
        self._riff = riff_figure(meter, rng)
        self._moves = rng.random() < 0.75
        self._pitches: tuple[int, ...] = ()
        self._voiced: ChordSpan | None = None

    def events(self, sections: Sequence[SectionPlan]) -> list[Event]:
        """Return the notes of the given sections."""
        events: list[Event] = []
        for section in sections:
            loudness = 0.8 + 0.25 * section.energy
            last = section.following == "" and section.name == "outro"
            for number in range(section.bars):
                bar = section.bar + number
                if self.kind.style == "riff":
                    events += self._riff_bar(bar, section.skipped + number, loudness)
                else:
                    text = self._texts[section.name == "chorus"]
                    if last and number == section.bars - 1:
                        text = ("0" if self.kind.style == "order" else "X") + "-" * (len(text) - 1)
                    self._bar(events, bar, text, loudness)
        return events

    def _bar(self, events: list[Event], bar: int, text: str, loudness: float) -> None:
        """Append the notes of one bar to `events`."""
        step_beats = 1 / self._meter.steps
        sounding: list[int] = []
        for step, mark in enumerate(text):
            beat = bar * self._meter.beats + step * step_beats
            span = span_at(self._spans, beat)
            if mark == "=":
                sounding = self._tied(events, beat, span)
                mark = "-" if sounding else "X"
            elif mark == "-" and abs(span.beat - beat) < 1e-6:
                mark = "x"
            if mark == "-":
                for index in sounding:
                    event = events[index]
                    events[index] = event._replace(length=beat + step_beats - event.beat)
            elif mark == ".":
                sounding = []
            else:
                strokes = self._stroke(mark, beat, step_beats, span, loudness)
                sounding = list(range(len(events), len(events) + len(strokes)))
                events += strokes

    def _tied(self, events: list[Event], beat: float, span: ChordSpan) -> list[int]:
        """Return the indices of events that end at a beat and belong to its chord."""
        before = span_at(self._spans, beat - 2e-6)
        if (before.root, before.quality) != (span.root, span.quality):
            return []
        return [
            place
            for place in range(max(len(events) - self.kind.voices, 0), len(events))
            if abs(events[place].beat + events[place].length - beat) < 1e-6
        ]

    def _stroke(self, mark, beat, length, span, loudness) -> list[Event]:
        velocity = self.kind.velocity * loudness
        velocity *= {"X": 1.1, "u": 0.82, "m": 0.72}.get(mark, 1.0)
        if mark == "m":
            length *= 0.55
        pitches = self._tones(mark, span)
        if mark == "u":
            pitches = tuple(reversed(pitches))[:3]
        spread = self._spread if self.kind.style == "strum" else 0.0
        return [
            Event(beat + index * spread, length, pitch, min(velocity, 124))
            for index, pitch in enumerate(pitches)
        ]

    def _tones(self, mark: str, span: ChordSpan) -> tuple[int, ...]:
        kind = self.kind
        if kind.style == "power":
            root = kind.low + (span.root - kind.low) % 12
            return (root, root + 7) if mark == "m" else (root, root + 7, root + 12)
        if span != self._voiced:
            if self._voiced is None or span.pitch_classes != self._voiced.pitch_classes:
                self._pitches = voicing(
                    span.pitch_classes, self._pitches, kind.low, kind.high, kind.voices
                )
            self._voiced = span
        if kind.style == "top":
            return self._pitches[-1:]
        if kind.style == "order":
            number = 0 if mark in "xX" else int(mark)
            return (self._pitches[number % len(self._pitches)],)
        return self._pitches

    def _riff_bar(self, bar: int, number: int, loudness: float) -> list[Event]:
        steps = self._meter.steps_per_bar
        bars = 2 if self._riff[-1][0] >= steps else 1
        first = (number % bars) * steps
        events = []
        for step, length, degree in self._riff:
            if not first <= step < first + steps:
                continue
            beat = bar * self._meter.beats + (step - first) / self._meter.steps
            span = span_at(self._spans, beat)
            held = self._spans[0] if not self._moves and self._fits(span) else span
            major = 4 in CHORD_INTERVALS[span.quality]
            shape = _RIFF_SHAPES["major" if major else "minor"]
            pitch = self.kind.low + (held.root - self.kind.low) % 12 + shape[degree]
            if pitch > self.kind.high:
                pitch -= 12
            for tone in (pitch, pitch + 7)[: self.kind.voices]:
                velocity = self.kind.velocity * loudness * (1.08 if step % 4 == 0 else 0.95)
                duration = 0.95 * length / self._meter.steps
                events.append(Event(beat, duration, tone, min(velocity, 124)))
        return events

    def _fits(self, span: ChordSpan) -> bool:
        """Return whether a riff on the first chord's root also fits this chord."""
        return self._spans[0].root in span.pitch_classes
