"""The outline that all players of a song share: tempo, key, form, chords and bar lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .form import FULL_FORM_SECONDS, SectionPlan, plan
from .grid import Grid, even_grid, pick
from .harmony import ChordSpan, Colours, progression
from .styles import STYLES, Style

_RING = 1.5
"""Seconds for which the last chord of a whole song rings."""


@dataclass(frozen=True)
class Outline:
    """Tempo, key, form, chords and bar lines of a song."""

    style: Style
    tempo: float
    key: int
    mode: str
    whole: bool
    sections: tuple[SectionPlan, ...]
    spans: tuple[ChordSpan, ...]
    grid: Grid

    @staticmethod
    def draw(name: str, seconds: float, rng: np.random.Generator) -> Outline:
        style = STYLES[name]
        whole = seconds >= FULL_FORM_SECONDS
        tempo = round(float(rng.uniform(*style.tempo)), 1)
        beats = style.meter.beats
        bar = 60 * beats / tempo
        kind = pick(rng, style.harmony)
        minor = rng.random() < style.minor
        mode = "minor" if minor or kind == "riff" else "major"
        unit = 12 if kind == "blues" else 2 if bar < 1.2 else 1
        bars = int((seconds - _RING) / bar) if whole else int(np.ceil(seconds / bar - 1e-9)) + 1
        sections = plan(bars, whole, unit, rng)
        if whole:
            # The last bar ends with the song, minus the time for which its chord rings.
            tempo = 60 * beats * bars / (seconds - _RING)
        drift = 0.0 if style.electronic else _drift(bars, rng)
        if whole and not style.electronic:
            drift -= drift.mean()
        swing = float(rng.uniform(*style.swing))
        grid = even_grid(bars, beats, tempo, swing, style.pair, drift)
        key = int(rng.integers(12))
        spans = _harmony(style, kind, key, mode, sections, rng)
        return Outline(style, tempo, key, mode, whole, sections, spans, grid)


def _drift(bars: int, rng: np.random.Generator) -> np.ndarray:
    """Return slow deviations of the tempo, of about half a percent."""
    walk = np.convolve(rng.standard_normal(bars + 7), np.ones(8) / 8, "valid")
    return 0.012 * walk[:bars]


def _harmony(style, kind, key, mode, sections, rng) -> tuple[ChordSpan, ...]:
    """Return the chords of the whole form; sections of one name share a progression."""
    colours = Colours(float(rng.uniform(*style.richness)), rng)
    tables: dict[str, list[list[str]]] = {}
    spans: list[ChordSpan] = []
    beats = style.meter.beats
    for section in sections:
        length = section.skipped + section.bars
        name = "verse" if section.name == "intro" and rng.random() < 0.7 else section.name
        if name not in tables:
            closing = "open" if name in ("verse", "bridge", "break") else "loop"
            tables[name] = progression(kind, mode, max(length, 8), closing, rng)
        table = tables[name]
        ending = section.name == "outro" and section.following == ""
        for bar in range(section.bars):
            symbols = table[(section.skipped + bar) % len(table)]
            if ending and bar == section.bars - 1:
                symbols = ["i" if mode == "minor" else "I"]
            for number, symbol in enumerate(symbols):
                offset, quality = colours(symbol)
                length = beats / len(symbols)
                start = (section.bar + bar) * beats + number * length
                spans.append(ChordSpan(start, length, (key + offset) % 12, quality))
    return tuple(_merged(spans))


def _merged(spans: list[ChordSpan]) -> list[ChordSpan]:
    """Return the chords with equal halves of a bar merged; bars are not merged."""
    merged = spans[:1]
    for span in spans[1:]:
        last = merged[-1]
        if (last.root, last.quality) == span[2:] and last.length < span.length + 1e-6 < 2:
            merged[-1] = last._replace(length=last.length + span.length)
        else:
            merged.append(span)
    return merged
