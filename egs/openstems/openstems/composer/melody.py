"""The vocal melody: recurring motifs, phrases with breaths, chord tones on strong beats.

It needs only bar lines, chords and a form, so it works for composed songs and MIDI files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..music import Note
from .form import SectionPlan
from .grid import Grid, pick, weighted
from .harmony import ChordSpan, ladder, span_at

LOWEST, HIGHEST = 48, 84
"""C3 to C6."""

MOST_NOTES = 12
"""Largest number of notes in a phrase."""

_FORMS = ("A A B A", "A B A B", "A A A B", "A B A C", "A A B B")
_STEPS = {0: 20, 1: 24, -1: 26, 2: 9, -2: 9, 3: 4, -3: 3, 4: 2.5, -4: 1.5}


@dataclass(frozen=True)
class Motif:
    """Rhythm and contour of a phrase.

    Args:
        onsets: beats of the notes relative to the phrase's first bar line; negative for an upbeat.
        end: beat at which the last note ends.
        steps: scale steps from each note to the next, one fewer than `onsets`.
        anchor: position of the first note in the voice's range, 0 to 1.
    """

    onsets: tuple[float, ...]
    end: float
    steps: tuple[int, ...]
    anchor: float


@dataclass(frozen=True)
class Singer:
    """Preferences of a song's singer.

    Args:
        low: lowest pitch.
        high: highest pitch.
        pace: mean length of a note in the verse in seconds; notes of choruses are longer.
        syncopation: weight of the eighths between the beats, 0.3 to 1.
        melisma: probability that a long note is split into several.
        fullness: share of a phrase's time that is sung.
    """

    low: int
    high: int
    pace: float
    syncopation: float
    melisma: float
    fullness: float

    @staticmethod
    def draw(rng: np.random.Generator) -> Singer:
        """Return random preferences."""
        low = int(rng.integers(LOWEST, HIGHEST - 17))
        return Singer(
            low=low,
            high=low + int(rng.integers(13, 18)),
            pace=float(rng.uniform(0.26, 0.46)),
            syncopation=float(rng.uniform(0.3, 1.0)),
            melisma=float(rng.uniform(0.03, 0.2)),
            fullness=float(rng.uniform(0.66, 0.84)),
        )


def sing(
    grid: Grid,
    sections: Sequence[SectionPlan],
    spans: Sequence[ChordSpan],
    key: int,
    mode: str,
    singer: Singer,
    rng: np.random.Generator,
) -> tuple[Note, ...]:
    """Compose the vocal melody of a song.

    Args:
        grid: the bar lines.
        sections: the form; verses and choruses are sung, bridges often, other sections rarely.
        spans: the chords.
        key: pitch class of the tonic.
        mode: "major" or "minor".
        singer: preferences.
        rng: random generator.

    Returns:
        Notes of one voice; within a phrase each ends where the next one begins.
    """
    melodist = _Melodist(grid, spans, key, mode, singer, rng)
    notes: list[Note] = []
    for section in sections:
        chance = {"verse": 1.0, "chorus": 1.0, "bridge": 0.65, "break": 0.3, "outro": 0.35}
        if rng.random() >= chance.get(section.name, 0.15):
            continue
        for phrase in melodist.section(section):
            while notes and notes[-1].end > phrase[0].start - 0.15:
                shorter = phrase[0].start - 0.2
                last = notes.pop()
                if shorter - last.start > 0.12:
                    notes.append(Note(last.start, shorter, last.pitch, last.velocity))
                    break
            notes += phrase
    return tuple(notes)


class _Melodist:
    def __init__(self, grid, spans, key, mode, singer, rng):
        self._grid, self._spans, self._key, self._mode = grid, spans, key, mode
        self._singer, self._rng = singer, rng
        self._motifs: dict[tuple[str, str], Motif] = {}
        self._forms: dict[str, list[str]] = {}
        bar = (grid.lines[-1] - grid.lines[0]) / grid.bars
        self._beat = bar / grid.beats_per_bar
        # A phrase lasts three to six seconds at any tempo.
        self._phrase_bars = next((bars for bars in (1, 2, 4) if bars * bar >= 2.6), 4)

    def section(self, section: SectionPlan) -> list[list[Note]]:
        """Return the phrases of one section."""
        kind = "chorus" if section.name == "chorus" else section.name
        form = self._forms.setdefault(kind, pick(self._rng, _FORMS).split())
        phrases = []
        size = self._phrase_bars
        first = section.bar - section.skipped
        for number, bar in enumerate(range(first, section.end, size)):
            bars = min(size, section.end - bar)
            if bar < section.bar or bars < size / 2:
                continue
            name = form[number % len(form)]
            motif = self._motif(kind, name)
            if number >= len(form) and self._rng.random() < 0.5:
                motif = self._varied(motif)
            ending = bar + size >= section.end
            phrase = self._realised(motif, bar, bars, section, ending)
            if phrase:
                phrases.append(phrase)
        return phrases

    def _motif(self, kind: str, name: str) -> Motif:
        if (kind, name) not in self._motifs:
            self._motifs[kind, name] = self._invented(kind, name)
        return self._motifs[kind, name]

    def _invented(self, kind: str, name: str) -> Motif:
        rng, singer = self._rng, self._singer
        beats = self._phrase_bars * self._grid.beats_per_bar
        pace = singer.pace * (1.3 if kind == "chorus" else 1.0)
        seconds = beats * self._beat
        sung = seconds * singer.fullness
        count = int(np.clip(round(sung / pace * rng.uniform(0.85, 1.15)), 3, MOST_NOTES))
        first = pick(rng, (0, 0, 0.5, 0.5, 1)) if self._beat > 0.4 else pick(rng, (0, 0, 1))
        if kind != "bridge" and rng.random() < 0.25:
            first = -pick(rng, (0.5, 1))
        end = min(first + sung / self._beat, beats - 0.3 / self._beat)
        onsets = self._onsets(first, end, count)
        steps = self._contour(len(onsets) - 1)
        low, high = {"chorus": (0.5, 0.75), "bridge": (0.4, 0.7)}.get(kind, (0.15, 0.45))
        anchor = float(rng.uniform(low, high)) if name != "C" else float(rng.uniform(low, 0.8))
        return Motif(onsets, end, steps, anchor)

    def _onsets(self, first: float, end: float, count: int) -> tuple[float, ...]:
        """Return the onsets: mostly on the beats, the last one early."""
        unit = 0.5 if self._beat < 0.75 else 0.25
        if self._beat < 0.36:
            unit = 1.0
        if self._grid.beats_per_bar == 2:
            unit = 1 / 3
        room = max(end - max(0.35 / self._beat, unit), first + unit)
        slots = np.arange(first, room, unit)[1:]
        share = np.abs(slots - np.round(slots))
        weights = np.where(share < 0.01, 1.0, self._singer.syncopation)
        weights[np.abs(share - 0.25) < 0.01] *= 0.45
        half = len(slots) // 2
        count = min(count - 1, len(slots))
        if half and count >= 4 and self._rng.random() < 0.5:
            # The second half of the phrase repeats the rhythm of the first half.
            chosen = self._rng.choice(
                half, min(count // 2, half), False, weights[:half] / weights[:half].sum()
            )
            chosen = np.concatenate([chosen, chosen + half])
        else:
            chosen = self._rng.choice(len(slots), count, False, weights / weights.sum())
        return (float(first), *(float(slots[index]) for index in sorted(chosen)))

    def _contour(self, count: int) -> tuple[int, ...]:
        """Return the steps of a random walk with a direction; a step back follows a leap."""
        shape = pick(self._rng, ("arch", "down", "up", "wave", "level"))
        steps: list[int] = []
        for index in range(count):
            place = index / max(1, count - 1)
            lean = {"arch": 1 if place < 0.5 else -1, "down": -0.6, "up": 0.6, "level": 0.0}.get(
                shape, np.sign(np.sin(2 * np.pi * place * 1.5))
            )
            if steps and abs(steps[-1]) >= 3:
                steps.append(-int(np.sign(steps[-1])))
                continue
            odds = {step: w * np.exp(0.45 * lean * np.sign(step)) for step, w in _STEPS.items()}
            steps.append(int(weighted(self._rng, odds)))
        return tuple(steps)

    def _varied(self, motif: Motif) -> Motif:
        """Return the motif with another ending."""
        cut = max(1, len(motif.steps) * 2 // 3)
        steps = motif.steps[:cut] + self._contour(len(motif.steps) - cut)
        return Motif(motif.onsets, motif.end, steps, motif.anchor)

    def _realised(self, motif, bar, bars, section, ending) -> list[Note]:
        start = bar * self._grid.beats_per_bar
        limit = min(motif.end, bars * self._grid.beats_per_bar - 0.25 / self._beat)
        onsets = [onset for onset in motif.onsets if onset < limit - 0.2 and start + onset >= 0]
        if len(onsets) < 2:
            return []
        pitches = self._pitches(motif, onsets, limit, start, ending)
        beats = np.array([*onsets, limit]) + start
        beats, pitches = self._ornamented(beats, pitches)
        times = self._grid.seconds(beats)
        times[:-1] += np.clip(0.012 * self._rng.standard_normal(len(times) - 1), -0.03, 0.03)
        times = np.maximum.accumulate(np.maximum(times, 0) + 1e-6 * np.arange(len(times)))
        loud = 78 + 28 * section.energy + 6 * self._rng.standard_normal(len(pitches))
        return [
            Note(float(times[index]), float(times[index + 1]), pitch, int(np.clip(level, 40, 127)))
            for index, (pitch, level) in enumerate(zip(pitches, loud, strict=True))
        ]

    def _pitches(self, motif, onsets, limit, start, ending) -> list[int]:
        singer = self._singer
        current = singer.low + motif.anchor * (singer.high - singer.low)
        ends = [*onsets[1:], limit]
        pitches: list[int] = []
        for index, (onset, end) in enumerate(zip(onsets, ends, strict=True)):
            span = span_at(self._spans, start + max(onset, 0) + 1e-6)
            tones = ladder(self._key, self._mode, span.pitch_classes, singer.low, singer.high)
            place = int(np.argmin([abs(tone - current) for tone in tones]))
            step = motif.steps[index - 1] if index else 0
            if not 0 <= place + step < len(tones):
                step = -step
            target = tones[int(np.clip(place + step, 0, len(tones) - 1))]
            last = index == len(onsets) - 1
            strong = abs(onset - round(onset)) < 0.01 and round(onset) % 2 == 0
            if index == 0 or last or strong or end - onset >= 1.0:
                chord = span.pitch_classes[:2] if last and ending else span.pitch_classes
                fitting = [tone for tone in tones if tone % 12 in chord] or tones
                target = min(fitting, key=lambda tone: (abs(tone - target), tone))
            current = target
            pitches.append(int(target))
        return pitches

    def _ornamented(self, beats: np.ndarray, pitches: list[int]) -> tuple[np.ndarray, list[int]]:
        """Return the notes with some long ones split into three, the middle one a step away."""
        times, tones = [float(beats[0])], []
        for index, pitch in enumerate(pitches):
            length = beats[index + 1] - beats[index]
            room = len(pitches) + len(times) - index < MOST_NOTES
            if room and length * self._beat > 0.6 and self._rng.random() < self._singer.melisma * 2:
                turn = float(np.clip(0.16 / self._beat, 0.12, length / 4))
                span = span_at(self._spans, beats[index] + 1e-6)
                tones_here = ladder(self._key, self._mode, span.pitch_classes, LOWEST, HIGHEST)
                side = [tone for tone in tones_here if 0 < abs(tone - pitch) <= 2]
                split = beats[index + 1] - 2 * turn
                if side and split - beats[index] > turn:
                    times += [split, split + turn, float(beats[index + 1])]
                    tones += [pitch, int(pick(self._rng, side)), pitch]
                    continue
            times.append(float(beats[index + 1]))
            tones.append(pitch)
        return np.array(times), tones
