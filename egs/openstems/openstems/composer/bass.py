"""Bass lines: rhythmic figures, walking lines, and lines that follow the kick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import tables
from ..music import CHORD_INTERVALS
from .grid import Event, pick
from .harmony import SCALES, ChordSpan, span_at
from .outline import Outline

LOWEST, HIGHEST = 28, 46
"""Range of the bass, E1 to B flat 2; octaves above a high root may exceed it by a few steps."""

_TABLE = tables.load(__file__, "patterns.yml")
FIGURES, FIGURES_12 = _TABLE["figures"], _TABLE["figures_12"]
"""Figures for bars of 16 and of 12 sixteenths, a character for each."""

COMPUTED = ("kick", "kick_long", "walking")
"""Figures that are computed from the drums or the chords."""

_VELOCITY = 96


def bass_events(
    song: Outline,
    figures: dict[str, str],
    kicks: dict[int, Sequence[int]],
    rng: np.random.Generator,
) -> list[Event]:
    """Return the bass notes of a whole song.

    Args:
        song: the outline of the song.
        figures: for each section name a name in `FIGURES`, `FIGURES_12` or `COMPUTED`.
        kicks: steps of the kick for each bar.
        rng: random generator.
    """
    player = _Player(song, rng)
    for section in song.sections:
        silent = section.name == "break" and section.energy < 0.25 and rng.random() < 0.4
        late = section.name == "intro" and section.energy < 0.45 and rng.random() < 0.5
        for bar in range(section.bar, section.end):
            if silent or (late and bar < section.bar + section.bars // 2):
                continue
            figure = figures[section.name]
            if section.following == "" and section.name == "outro" and bar == section.end - 1:
                figure = "whole"
            player.bar(bar, figure, kicks.get(bar, ()), 0.8 + 0.25 * section.energy)
    return player.events


class _Player:
    """State of the bass player while the bars are generated."""

    def __init__(self, song: Outline, rng: np.random.Generator):
        self.events: list[Event] = []
        self._spans, self._meter, self._key = song.spans, song.style.meter, song.key
        self._scale = {(song.key + step) % 12 for step in SCALES[song.mode]}
        self._rng = rng
        self._root = 34
        self._index = 0

    def bar(self, bar: int, figure: str, kicks: Sequence[int], loudness: float) -> None:
        """Append the notes of one bar."""
        steps = self._meter.steps_per_bar
        if figure == "walking":
            text = self._walk(bar)
        elif figure in ("kick", "kick_long"):
            text = _from_kicks(kicks, steps, figure == "kick_long")
        else:
            text = FIGURES.get(figure) or FIGURES_12[figure]
            if self._rng.random() < 0.1 and steps == 16:
                text = text[:12] + pick(self._rng, ("1-a-", "5-a-", "1-1a", text[12:]))
        self._play(bar, (text * 2)[:steps], loudness)

    def _span(self, beat: float) -> tuple[ChordSpan, ChordSpan]:
        """Return the chord at a beat and the one after it."""
        spans = self._spans
        while self._index > 0 and spans[self._index].beat > beat + 1e-6:
            self._index -= 1
        while self._index + 1 < len(spans) and spans[self._index + 1].beat <= beat + 1e-6:
            self._index += 1
        return spans[self._index], spans[min(self._index + 1, len(spans) - 1)]

    def _play(self, bar: int, text: str, loudness: float) -> None:
        step_beats = 1 / self._meter.steps
        first = bar * self._meter.beats
        sounding = None
        for step, mark in enumerate(text):
            beat = first + step * step_beats
            span, following = self._span(beat)
            if mark == "=" and self._goes_on(beat, span):
                sounding, mark = len(self.events) - 1, "-"
            elif abs(span.beat - beat) < 1e-6 and mark not in ".p":
                mark = "1"
            if mark == "-" and sounding is not None:
                self.events[sounding] = self.events[sounding]._replace(
                    length=beat + step_beats - self.events[sounding].beat
                )
            elif mark in ".-":
                sounding = None
            else:
                self._note(mark, beat, step_beats, span, following, step, loudness)
                sounding = len(self.events) - 1

    def _goes_on(self, beat: float, span: ChordSpan) -> bool:
        """Return whether the last note is a chord's root that can be extended into this beat."""
        if not self.events:
            return False
        last = self.events[-1]
        roots = {last.pitch % 12, span_at(self._spans, last.beat).root, span.root}
        return abs(last.beat + last.length - beat) < 1e-6 and len(roots) == 1

    def _note(self, mark, beat, length, span, following, step, loudness) -> None:
        strong = step % self._meter.steps == 0
        velocity = _VELOCITY * loudness * (1.06 if step == 0 else 1.0 if strong else 0.92)
        if mark == "s":
            target = self._place(following.root)
            for count in range(2):
                pitch = max(LOWEST - 1, target - 2 + count)
                self.events.append(Event(beat + count * length, length, pitch, velocity * 0.8))
            return
        pitch = self._pitch(mark, span, following)
        if mark == "x":
            length, velocity = length * 0.5, 42
        self.events.append(Event(beat, length, pitch, min(velocity, 122)))

    def _place(self, root: int) -> int:
        """Return the root nearest to the last pitch within the range; the lower one of two."""
        places = [pitch for pitch in range(LOWEST, LOWEST + 16) if pitch % 12 == root % 12]
        self._root = min(places, key=lambda pitch: abs(pitch - self._root) + 0.4 * (pitch - LOWEST))
        return self._root

    def _pitch(self, mark: str, span: ChordSpan, following: ChordSpan) -> int:
        root = self._place(self._key if mark == "p" else span.root)
        intervals = CHORD_INTERVALS[span.quality]
        third = next((step for step in intervals if step in (3, 4)), 7)
        fifth = next((step for step in intervals if step in (6, 7, 8)), 7)
        seventh = next((step for step in intervals if step in (10, 11)), 10)
        if mark == "a":
            return self._approach(root, following.root)
        if mark == "v":
            return root + fifth - 12 if root + fifth - 12 >= LOWEST else root + fifth
        above = {"3": third, "5": fifth, "6": 9, "7": seventh, "8": 12}.get(mark, 0)
        if mark == "6" and (span.root + 9) % 12 not in self._scale:
            above = fifth
        if mark == "7" and seventh not in intervals and (span.root + 10) % 12 not in self._scale:
            above = 12
        pitch = root + above
        return pitch if pitch <= HIGHEST + 4 else pitch - 12

    def _approach(self, root: int, following: int) -> int:
        """Return a pitch one scale step or semitone from the next root."""
        near = min(
            (root // 12 * 12 + following + 12 * k for k in (-1, 0, 1)), key=lambda p: abs(p - root)
        )
        near = near if near >= LOWEST else near + 12
        sides = [near - 2, near + 2, near - 1, near + 1]
        fitting = [pitch for pitch in sides if pitch % 12 in self._scale and pitch >= LOWEST]
        return int(pick(self._rng, fitting or [near]))

    def _walk(self, bar: int) -> str:
        """Return a quarter-note line through chord tones to the next chord."""
        middle = pick(self._rng, ("3---5---", "5---3---", "3---6---", "8---5---", "5---7---"))
        skip = "a-.x" if self._rng.random() < 0.2 else "a---"
        return "1---" + middle + skip


def _from_kicks(kicks: Sequence[int], steps: int, long: bool) -> str:
    """Return the root on each kick, held until the next one or for an eighth note."""
    marks = ["-" if long else "."] * steps
    for step in kicks:
        marks[step] = "1"
        if not long and step + 1 < steps and step + 1 not in kicks:
            marks[step + 1] = "-"
    if not kicks:
        marks[0] = "1"
    return "".join(marks)
