"""Composition of a whole song."""

from __future__ import annotations

import numpy as np

from ..music import Chord, Note, Part, Score, Section, by_start
from ..randomness import generator
from .grid import weighted
from .outline import Outline
from .players import Players
from .styles import STYLES


def compose(seconds: float, rng: np.random.Generator, style: str | None = None) -> Score:
    """Write a song.

    A song of 75 seconds or more has a complete form with intro and outro. A shorter one is a window
    of the verses and choruses of a longer song, where most instruments play.

    Args:
        seconds: length of the song, at least 1.
        rng: random generator; the same state gives the same song.
        style: a name in `styles.STYLES`; drawn at random if not given.

    Raises:
        ValueError: for a length below one second or an unknown style.
    """
    if not seconds >= 1:
        raise ValueError(f"a song must last at least one second, got {seconds}")
    if style is not None and style not in STYLES:
        raise ValueError(f"unknown style {style!r}; valid names: {', '.join(STYLES)}")
    seconds = float(seconds)
    name = style or weighted(rng, {key: entry.weight for key, entry in STYLES.items()})
    # Each player has a random stream of its own, so that a change of one leaves the others as they
    # are.
    seed = int(rng.integers(2**62))
    song = Outline.draw(name, seconds, generator(seed, "song"))
    players = Players(song, seed)
    parts = [players.drums(), players.bass(), *players.layers()]
    vocals = players.vocals()
    parts += [vocals, *players.leads(vocals)]
    parts = [_cropped(part, seconds) for part in parts]
    return Score(
        seconds=seconds,
        tempo=song.tempo,
        beats_per_bar=song.style.meter.beats,
        key=song.key,
        mode=song.mode,
        bars=tuple(line for line in song.grid.lines if line < seconds),
        chords=_chords(song, seconds),
        sections=_sections(song, seconds),
        parts=tuple(part for part in parts if part.notes),
        origin={
            "source": "composer",
            "seed": seed,
            "style": name,
            "swing": round(song.grid.swing, 3),
            "whole": song.whole,
            **players.choices,
        },
    )


def _cropped(part: Part, seconds: float) -> Part:
    """Return the part cut to the song's length, without notes that would be too short."""
    notes = [
        Note(note.start, min(note.end, seconds), note.pitch, note.velocity)
        for note in part.notes
        if note.start < seconds - 0.04
    ]
    return Part(part.role, part.program, by_start(notes), part.name)


def _chords(song: Outline, seconds: float) -> tuple[Chord, ...]:
    edges = song.grid.seconds([span.beat for span in song.spans]).tolist() + [seconds]
    if song.whole:
        edges[-1] = seconds
    return tuple(
        Chord(start, min(end, seconds), span.root, span.quality)
        for span, start, end in zip(song.spans, edges, edges[1:], strict=False)
        if start < seconds
    )


def _sections(song: Outline, seconds: float) -> tuple[Section, ...]:
    lines = song.grid.lines
    sections = []
    for plan_ in song.sections:
        start, end = lines[plan_.bar], min(lines[plan_.end], seconds)
        if plan_ is song.sections[-1]:
            end = seconds
        if start < seconds:
            sections.append(Section(plan_.name, start, end, plan_.energy))
    return tuple(sections)
