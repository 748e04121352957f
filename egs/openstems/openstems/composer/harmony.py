"""Chord progressions: a grammar, common loops, cadences, chord qualities and voice leading."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import tables
from ..music import CHORD_INTERVALS, Chord
from .grid import Grid, pick, weighted

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

_TABLE = tables.load(__file__, "harmony.yml")
LOOPS: dict[str, list[str]] = _TABLE["loops"]
"""Common progressions by kind, one chord per bar."""
MOVES: dict[str, dict[str, dict[str, float]]] = _TABLE["moves"]
"""Weights of the successors of each chord by mode."""
CLOSES = {"major": "I", "minor": "i"}

_DEGREES = {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9, "vii": 11}
_ROMAN = re.compile(r"(b?)([iv]+|[IV]+)(.*)")


class ChordSpan(NamedTuple):
    """Chord in musical time: `beat` and `length` in beats."""

    beat: float
    length: float
    root: int
    quality: str

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """Return the pitch classes of the chord, the root first."""
        return tuple((self.root + step) % 12 for step in CHORD_INTERVALS[self.quality])


def span_at(spans: Sequence[ChordSpan], beat: float) -> ChordSpan:
    """Return the chord that sounds at a beat; outside of all chords the nearest one."""
    place = bisect.bisect_right(spans, beat + 1e-6, key=lambda span: span.beat) - 1
    return spans[max(place, 0)]


def chord_times(grid: Grid, spans: Sequence[ChordSpan], seconds: float) -> tuple[Chord, ...]:
    """Return chords in seconds; the last one ends with the song of a length in seconds."""
    times = grid.seconds([span.beat for span in spans]).tolist() + [seconds]
    return tuple(
        Chord(start, min(end, seconds), span.root, span.quality)
        for span, start, end in zip(spans, times, times[1:], strict=False)
        if start < seconds
    )


def parse(symbol: str) -> tuple[int, str]:
    """Return the semitones above the tonic and the quality of a symbol such as "bVII" or "ii7"."""
    flat, numeral, suffix = _ROMAN.fullmatch(symbol).groups()
    minor = numeral.islower()
    quality = {"": "min" if minor else "maj", "7": "min7" if minor else "7", "o": "dim"}.get(
        suffix, suffix
    )
    return (_DEGREES[numeral.lower()] - len(flat)) % 12, quality


def progression(
    kind: str, mode: str, bars: int, closing: str, rng: np.random.Generator
) -> list[list[str]]:
    """Return the chord symbols of one section, bar by bar.

    Args:
        kind: "pop" for the mode's own loops and grammar, "slow" for the same with chords of two or
            four bars, or "riff", "vamp", "jazz", "blues".
        mode: "major" or "minor".
        bars: length of the section.
        closing: "open" ends with a half cadence, "closed" on the tonic, "loop" is unchanged.
        rng: random generator.
    """
    if kind in ("pop", "slow"):
        phrase = _walk(mode, rng) if rng.random() < 0.4 else pick(rng, LOOPS[mode]).split()
        slow, fast = (0.12, 0.12)
    else:
        phrase = pick(rng, LOOPS.get(kind) or LOOPS[f"{kind} {mode}"]).split()
        slow, fast = (0.0, 0.0) if kind == "blues" else (0.25, 0.0)
    draw = rng.random()
    if kind == "slow":
        lasting = 2 if draw < 0.6 else 4
        table = [[symbol] for symbol in phrase for _ in range(lasting)]
    elif draw < slow:
        table = [[symbol] for symbol in phrase for _ in range(2)]
    elif draw > 1 - fast and len(phrase) % 2 == 0:
        table = [phrase[index : index + 2] for index in range(0, len(phrase), 2)]
    else:
        table = [[symbol] for symbol in phrase]
    table = [table[bar % len(table)] for bar in range(bars)]
    if kind == "pop" and closing == "open" and bars >= 4:
        table[-1] = pick(rng, _TABLE["half_cadences"][mode]).split()
    elif closing == "closed":
        table[-1] = [CLOSES[mode]]
    return table


def _walk(mode: str, rng: np.random.Generator) -> list[str]:
    """Return four or eight chords of the grammar that lead back to the first one."""
    moves = MOVES[mode]
    tonic = CLOSES[mode]
    start = tonic if rng.random() < 0.75 else weighted(rng, moves[tonic])
    while True:
        chords = [start]
        while len(chords) < 4:
            chords.append(weighted(rng, moves[chords[-1]]))
        leads_back = start in moves[chords[-1]] and chords[-1] != start
        if leads_back and len(set(chords)) >= 3:
            break
    if rng.random() < 0.4:
        return chords
    answer = chords[:2] + [weighted(rng, moves[chords[1]])]
    return chords + answer + [weighted(rng, moves[answer[-1]])]


class Colours:
    """Qualities of the chords of a song.

    Args:
        richness: 0 keeps triads; 1 turns nearly all of them into seventh and ninth chords.
        rng: random generator.
    """

    _RICHER = {
        "maj": {"add9": 3, "maj7": 4, "6": 1, "sus2": 1},
        "min": {"min7": 6, "min6": 0.5},
        "7": {"9": 3, "7sus4": 1, "7": 3},
    }

    def __init__(self, richness: float, rng: np.random.Generator):
        self._richness = richness
        self._rng = rng
        self._known: dict[str, tuple[int, str]] = {}

    def __call__(self, symbol: str) -> tuple[int, str]:
        """Return the semitones above the tonic and the quality of a symbol, consistently."""
        if symbol not in self._known:
            offset, quality = parse(symbol)
            richer = self._RICHER.get(quality)
            if richer and symbol != "V" and self._rng.random() < self._richness:
                quality = weighted(self._rng, richer)
            elif symbol == "V" and self._rng.random() < self._richness:
                quality = weighted(self._rng, {"7": 4, "9": 1, "7sus4": 2})
            self._known[symbol] = offset, quality
        return self._known[symbol]


def ladder(key: int, mode: str, chord: Sequence[int], low: int, high: int) -> list[int]:
    """Return the pitches for a melody over a chord: the scale, altered by the chord's tones.

    Args:
        key: pitch class of the tonic.
        mode: "major" or "minor".
        chord: pitch classes of the chord.
        low: lowest pitch.
        high: highest pitch.
    """
    scale = {(key + step) % 12 for step in SCALES[mode]}
    for tone in set(chord) - scale:
        # A major third raises a step of the scale (a leading note); other foreign tones lower one.
        raised = (tone - chord[0]) % 12 == 4
        bent = (tone - 1 if raised else tone + 1) % 12
        scale = (scale - ({bent} - set(chord))) | {tone}
    return [pitch for pitch in range(low, high + 1) if pitch % 12 in scale]


def voicing(
    chord: Sequence[int], previous: Sequence[int], low: int, high: int, voices: int
) -> tuple[int, ...]:
    """Return the pitches of a chord that move least from the previous ones.

    Args:
        chord: pitch classes, the root first. The fifth is left out of too many; too few are doubled
            at the octave.
        previous: pitches of the previous chord; empty at the beginning.
        low: lowest pitch allowed.
        high: highest pitch allowed, at least an octave and a fifth above `low`.
        voices: number of pitches.
    """
    if len(chord) > voices:
        # The fifth and the root, which the bass plays, are dropped first.
        chord = [tone for index, tone in enumerate(chord) if index != 2][:voices]
    tones = sorted(chord, key=lambda tone: (tone - chord[0]) % 12)
    centre = (low + high) / 2
    best: tuple[float, tuple[int, ...]] = (np.inf, ())
    for rotation in range(len(tones)):
        order = [tones[(rotation + index) % len(tones)] for index in range(voices)]
        for first in range(low + (order[0] - low) % 12, low + 24, 12):
            pitches = [first]
            for tone in order[1:]:
                pitches.append(pitches[-1] + ((tone - pitches[-1]) % 12 or 12))
            if pitches[-1] > high:
                continue
            cost = 0.15 * abs(sum(pitches) / len(pitches) - centre)
            if previous:
                cost += sum(min(abs(pitch - old) for old in previous) for pitch in pitches)
            best = min(best, (cost, tuple(pitches)))
    return best[1] or tuple(low + (tone - low) % 12 for tone in sorted(set(tones)))
