"""Excerpts of MIDI pieces as scores: transposed, at another tempo, with a vocal melody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..composer.form import SectionPlan, section_times
from ..composer.grid import Grid
from ..composer.harmony import ChordSpan, chord_times
from ..composer.melody import Singer, sing
from ..music import Chord, Note, Part, Score, by_start, chord_at
from .analysis import chords, chroma, key
from .midi import MidiSong
from .roles import assign, doubles, singable, vocal_part

TRANSPOSITION = 4
"""Largest transposition in semitones."""

STRETCH = (0.9, 1.12)
"""Slowest and fastest tempo as a multiple of the piece's own."""

_SECTION_BARS = 8


@dataclass(frozen=True)
class _Window:
    """Position of an excerpt: `start` in seconds of the piece, `bar`, and time factor `stretch`."""

    start: float
    bar: int
    stretch: float


def excerpt_of(
    song: MidiSong,
    seconds: float,
    rng: np.random.Generator,
    origin: dict,
    known: Sequence[Chord] = (),
) -> Score:
    """Return an excerpt of a piece as a score.

    Args:
        song: the piece.
        seconds: length of the score; shorter pieces are repeated.
        rng: random generator.
        origin: entries of the score's origin that identify the piece.
        known: chords, in seconds of the piece, of a generated accompaniment, which keeps its key
            and tempo and gets a composed melody.
    """
    shift = 0 if known else int(rng.integers(-TRANSPOSITION, TRANSPOSITION + 1))
    stretch = 1.0 if known else round(float(rng.uniform(*STRETCH)), 4)
    parts, dropped = assign(song.tracks)
    lines = np.asarray(song.bars)
    parts, lines = _looped(parts, lines, seconds * stretch + 1)
    window = _chosen(parts, lines, seconds * stretch, stretch, rng)
    parts = [_cut(part, window, seconds, shift) for part in parts]
    parts = [_low(part) for part in parts if part.notes]
    grid = _grid(lines, window, seconds, song.beats_per_bar)
    all_tones = chroma(parts, grid.lines)
    tonic, mode = key(all_tones)
    spans = _spans(grid, all_tones, parts)
    if known:
        spans = _known_spans(grid, known, window, shift)
    plans = _sections(grid, parts)
    candidate = None if known else vocal_part(parts, seconds)
    vocals, taken, melody = _vocals(candidate, parts, seconds, grid, plans, spans, tonic, mode, rng)
    kept = [part for part in parts if part not in taken]
    return Score(
        seconds=seconds,
        tempo=round(60 * song.beats_per_bar / float(np.median(np.diff(grid.lines))), 3),
        beats_per_bar=song.beats_per_bar,
        key=tonic,
        mode=mode,
        bars=tuple(line for line in grid.lines if line < seconds),
        chords=chord_times(grid, spans, seconds),
        sections=section_times(grid, plans, seconds),
        parts=tuple([*kept, vocals] if vocals.notes else kept),
        origin={
            **origin,
            "window": [round(window.start, 4), round(window.start + seconds * stretch, 4)],
            "transposition": shift,
            "stretch": stretch,
            "melody": melody,
            "dropped": dropped,
        },
    )


def _looped(parts: list[Part], lines: np.ndarray, needed: float) -> tuple[list[Part], np.ndarray]:
    """Return the piece, repeated to last `needed` seconds."""
    period = lines[-1] - lines[0]
    times = int(np.ceil(needed / period))
    if times <= 1:
        return parts, lines
    looped = []
    for part in parts:
        notes = [
            replace(note, start=note.start + turn * period, end=note.end + turn * period)
            for turn in range(times)
            for note in part.notes
            if note.start < lines[-1]
        ]
        looped.append(replace(part, notes=by_start(notes)))
    again = [lines[1:] + turn * period for turn in range(times)]
    return looped, np.concatenate([lines[:1], *again])


def _chosen(parts, lines, length, stretch, rng) -> _Window:
    """Return a window from a bar line on in which drums, bass and others mostly play."""
    active = {
        name: _activity([part for part in parts if test(part.role)], lines)
        for name, test in (
            ("drums", lambda role: role == "drums"),
            ("bass", lambda role: role == "bass"),
            ("other", lambda role: role not in ("drums", "bass")),
        )
    }
    wanted = {"drums": 0.8, "bass": 0.75, "other": 0.75}
    starts = [bar for bar in range(len(lines) - 1) if lines[bar] + length <= lines[-1] + 0.01] or [
        0
    ]
    fits = []
    for bar in starts:
        stop = max(bar + 1, int(np.searchsorted(lines, lines[bar] + length)) - 1)
        shares = {name: active[name][bar:stop].mean() for name in wanted}
        fits.append(sum(min(shares[name], wanted[name]) for name in wanted))
    good = [bar for bar, fit in zip(starts, fits, strict=True) if fit >= max(fits) - 1e-6]
    bar = int(good[int(rng.integers(len(good)))])
    return _Window(float(lines[bar]), bar, stretch)


def _activity(parts: Sequence[Part], lines: np.ndarray) -> np.ndarray:
    """Return 1 for each bar with a sounding note, else 0."""
    active = np.zeros(len(lines) - 1)
    for part in parts:
        for note in part.notes:
            first = max(0, int(np.searchsorted(lines, note.start + 0.02, side="right")) - 1)
            last = int(np.searchsorted(lines, note.end - 0.02, side="left"))
            active[first : max(first + 1, last)] = 1
    return active


def _cut(part: Part, window: _Window, seconds: float, shift: int) -> Part:
    """Return the notes of a part in the window, in the score's time and key.

    Notes that began earlier start with the window if enough of them is left, except drums.
    """
    notes = []
    for note in part.notes:
        start = (note.start - window.start) / window.stretch
        end = min((note.end - window.start) / window.stretch, seconds)
        # Notes may begin slightly before the bar line.
        if start < 0 and (end < 0.3 or part.role == "drums") and start < -0.03:
            continue
        start = max(0.0, start)
        if start > seconds - 0.04 or end - start < 0.01:
            continue
        pitch = note.pitch if part.role == "drums" else note.pitch + shift
        if 0 <= pitch <= 127:
            notes.append(Note(start, end, pitch, note.velocity))
    return replace(part, notes=by_start(notes))


def _low(part: Part) -> Part:
    """Return a bass part moved by octaves into the range of a bass."""
    if part.role != "bass":
        return part
    median = float(np.median([note.pitch for note in part.notes]))
    octaves = 0
    while median + 12 * octaves > 46:
        octaves -= 1
    while median + 12 * octaves < 28:
        octaves += 1
    notes = [replace(note, pitch=max(0, note.pitch + 12 * octaves)) for note in part.notes]
    return replace(part, notes=tuple(notes))


def _grid(lines: np.ndarray, window: _Window, seconds: float, beats: int) -> Grid:
    """Return the bar lines from the window's start to at least its end."""
    times = (lines[window.bar :] - window.start) / window.stretch
    stop = int(np.searchsorted(times, seconds - 1e-6)) + 1
    times = times[: max(stop, 2)].tolist()
    while times[-1] < seconds:
        times.append(times[-1] + (times[-1] - times[-2]))
    return Grid(tuple(times), beats)


def _spans(grid: Grid, all_tones: np.ndarray, parts: Sequence[Part]) -> list[ChordSpan]:
    low_tones = chroma([part for part in parts if part.role == "bass"], grid.lines)
    beats = grid.beats_per_bar
    return [
        ChordSpan(bar * beats, beats, root, quality)
        for bar, (root, quality) in enumerate(chords(all_tones, low_tones))
    ]


def _known_spans(grid, known: Sequence[Chord], window: _Window, shift: int) -> list[ChordSpan]:
    beats = grid.beats_per_bar
    spans = []
    for bar in range(grid.bars):
        middle = (grid.lines[bar] + grid.lines[bar + 1]) / 2 * window.stretch + window.start
        chord = chord_at(known, middle) or known[-1]
        spans.append(ChordSpan(bar * beats, beats, (chord.root + shift) % 12, chord.quality))
    return spans


def _sections(grid: Grid, parts: Sequence[Part]) -> list[SectionPlan]:
    """Return sections of eight bars; the denser half of them are choruses."""
    onsets = np.array([note.start for part in parts for note in part.notes])
    plans = []
    edges = [*range(0, grid.bars, _SECTION_BARS), grid.bars]
    spans = [(a, b) for a, b in zip(edges, edges[1:], strict=False) if b > a]
    density = np.array(
        [
            np.sum((onsets >= grid.lines[a]) & (onsets < grid.lines[b]))
            / (grid.lines[b] - grid.lines[a])
            for a, b in spans
        ]
    )
    for (first, last), here in zip(spans, density, strict=True):
        loud = len(spans) > 1 and here > np.median(density)
        energy = float(np.clip(0.8 * here / max(density.max(), 1e-6) + 0.2, 0.2, 1.0))
        plans.append(SectionPlan("chorus" if loud else "verse", first, last - first, energy))
    return plans


def _vocals(candidate, parts, seconds, grid, plans, spans, tonic, mode, rng):
    """Return the melody, the parts that it was taken from, and how it was made."""
    if candidate is not None:
        notes = singable(candidate, seconds)
        taken = [part for part in parts if part is candidate or doubles(part, candidate)]
        left = [p for p in parts if p not in taken and p.role not in ("drums", "bass")]
        if left and sum(note.duration for note in notes) > 0.3 * seconds:
            return Part("vocals", 52, notes, "melody"), taken, f"track: {candidate.name}".strip()
    notes = sing(grid, plans, spans, tonic, mode, Singer.draw(rng), rng)
    notes = [replace(note, end=min(note.end, seconds)) for note in notes]
    notes = [note for note in notes if note.end - note.start > 0.04]
    return Part("vocals", 52, tuple(notes), "melody"), [], "composed"
