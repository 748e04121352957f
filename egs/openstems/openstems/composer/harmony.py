"""Chord progressions: a grammar, common loops, cadences, chord qualities and voice leading."""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..music import CHORD_INTERVALS
from .grid import pick, weighted

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

LOOPS = {
    "major": (
        "I V vi IV",
        "vi IV I V",
        "I vi IV V",
        "I IV vi V",
        "IV I V vi",
        "I iii IV V",
        "I IV I V",
        "I V IV IV",
        "ii V I vi",
        "I bVII IV I",
        "I V ii IV",
        "I ii IV V",
        "I I IV iv",
        "I III7 vi IV",
        "IV V iii vi",
        "I vi ii V",
        "vi V IV V",
        "I V bVII IV",
        "I II7 IV I",
        "IV iv I VI7",
    ),
    "minor": (
        "i bVI bIII bVII",
        "i bVII bVI bVII",
        "i iv bVII bIII",
        "i bVI iv V",
        "i iv i V7",
        "i bVII bVI V7",
        "i i iv V",
        "i bIII bVII IV",
        "i IV i IV",
        "i v bVI bVII",
        "bVI bVII i i",
        "i bVI bVII i",
        "iv bVII bIII bVI",
        "i bIII iv bVI",
    ),
    "riff": (
        "i i bVI bVII",
        "i i i bVII",
        "i bII i bVII",
        "i i bIII bII",
        "i bVII i bIII",
        "i i iv bIII",
    ),
    "vamp major": ("I7 IV7", "I7 I7 bVII7 IV7", "I7 I7 IV7 IV7", "ii7 V7", "I IV7"),
    "vamp minor": ("i7 IV7", "i7 i7 IV7 IV7", "i7 i7", "i7 iv7", "i7 i7 bVI7 V7", "i7 bVII"),
    "jazz major": (
        "ii7 V7 Imaj7 vi7",
        "Imaj7 VI7 ii7 V7",
        "Imaj7 Imaj7 II7 II7 ii7 V7 Imaj7 V7",
        "iii7 VI7 ii7 V7",
        "Imaj7 iv7 Imaj7 V7",
        "Imaj7 IVmaj7 iii7 vi7 ii7 V7 Imaj7 Imaj7",
    ),
    "jazz minor": (
        "i7 iv7 iimin7b5 V7",
        "i7 bVImaj7 iimin7b5 V7",
        "iv7 bVII7 bIIImaj7 bVImaj7 iimin7b5 V7 i7 i7",
        "i7 i7 iv7 iv7 iimin7b5 V7 i7 V7",
    ),
    "blues major": (
        "I7 I7 I7 I7 IV7 IV7 I7 I7 V7 IV7 I7 V7",
        "I7 IV7 I7 I7 IV7 IV7 I7 VI7 ii7 V7 I7 V7",
    ),
    "blues minor": ("i7 i7 i7 i7 iv7 iv7 i7 i7 bVI7 V7 i7 V7",),
}
"""Common progressions, one chord per bar; some kinds belong to certain styles."""

MOVES = {
    "major": {
        "I": {"IV": 4, "V": 4, "vi": 4, "ii": 2, "iii": 1.5, "bVII": 0.7, "III7": 0.5, "I": 1},
        "ii": {"V": 5, "IV": 1, "vi": 1, "II7": 0.4},
        "iii": {"vi": 4, "IV": 3},
        "IV": {"I": 3, "V": 4, "ii": 1, "iv": 0.7, "vi": 1, "bVII": 0.4},
        "V": {"I": 4, "vi": 3, "IV": 2},
        "vi": {"IV": 4, "ii": 2, "V": 2, "iii": 0.6, "bVI": 0.3},
        "iv": {"I": 4, "V": 1},
        "bVII": {"IV": 3, "I": 2, "V": 1},
        "bVI": {"bVII": 3, "V": 1},
        "III7": {"vi": 5, "IV": 1},
        "II7": {"V": 5},
    },
    "minor": {
        "i": {"bVI": 4, "bVII": 4, "iv": 4, "bIII": 2, "v": 1, "V": 1, "IV": 0.6, "bII": 0.3},
        "bIII": {"bVII": 4, "bVI": 3, "iv": 2},
        "iv": {"i": 2, "V": 3, "bVII": 3, "bVI": 1},
        "IV": {"i": 3, "bVII": 2},
        "v": {"bVI": 3, "i": 2, "iv": 1},
        "V": {"i": 5, "bVI": 2},
        "bVI": {"bVII": 4, "bIII": 2, "V": 2, "iv": 1, "i": 1},
        "bVII": {"i": 3, "bVI": 2, "bIII": 3},
        "bII": {"V": 2, "i": 2},
    },
}
"""Weights of the successors of each chord; borrowed chords and secondary dominants are rare."""

HALF_CADENCES = {
    "major": ("IV V", "ii V", "V", "Vsus4 V", "IV bVII", "II7 V7", "iv V"),
    "minor": ("iv V", "bVI V7", "V7", "bVII", "bVI bVII", "Vsus4 V"),
}
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
        table[-1] = pick(rng, HALF_CADENCES[mode]).split()
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
