"""From beats to seconds: bar lines, swing and the small inaccuracies of players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..music import Note, by_start


class Event(NamedTuple):
    """A note in musical time: `beat` and `length` in beats, `beat` counted from the first bar."""

    beat: float
    length: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Meter:
    """How a bar is divided: 4/4 is `Meter(4, 4)`, 3/4 `Meter(3, 4)`, 6/8 `Meter(2, 6)`.

    Args:
        beats: beats in a bar.
        steps: sixteenth notes in a beat.
    """

    beats: int
    steps: int

    @property
    def steps_per_bar(self) -> int:
        """Return sixteenth notes in a bar."""
        return self.beats * self.steps


@dataclass(frozen=True)
class Grid:
    """The bar lines of a song.

    Args:
        lines: seconds of every bar's start and of the last bar's end.
        beats_per_bar: beats between two lines.
        swing: where the second half of a swung pair begins, as a share of the pair: 0.5 is even,
            2/3 a triplet feel.
        pair: length of a swung pair in beats: 1 swings eighth notes, 0.5 sixteenths.
    """

    lines: tuple[float, ...]
    beats_per_bar: int
    swing: float = 0.5
    pair: float = 1.0

    @property
    def bars(self) -> int:
        """Return number of bars."""
        return len(self.lines) - 1

    @property
    def beats(self) -> int:
        """Return number of beats."""
        return self.bars * self.beats_per_bar

    def seconds(self, beats: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Return times in seconds of positions in beats; beyond the last line its tempo goes on."""
        beats = np.asarray(beats, dtype=np.float64)
        whole = np.floor(beats / self.pair + 1e-9)
        share = beats / self.pair - whole
        late = self.swing + (share - 0.5) * (1 - self.swing) / 0.5
        share = np.where(share < 0.5, share * self.swing / 0.5, late)
        bars = (whole + share) * self.pair / self.beats_per_bar
        lines = np.asarray(self.lines)
        beyond = np.maximum(bars - self.bars, 0) * (lines[-1] - lines[-2])
        before = np.minimum(bars, 0) * (lines[1] - lines[0])
        return np.interp(bars, np.arange(len(lines)), lines) + beyond + before


def even_grid(bars: int, beats: int, tempo: float, swing: float, pair: float, drift) -> Grid:
    """Return bar lines of a tempo, which breathes a little.

    Args:
        bars: number of bars.
        beats: beats in a bar.
        tempo: beats a minute.
        swing: see `Grid`.
        pair: see `Grid`.
        drift: relative deviation of each bar's length, shape (bars,), or 0.
    """
    lengths = np.full(bars, 60 * beats / tempo) * (1 + np.asarray(drift))
    lines = np.concatenate([[0.0], np.cumsum(lengths)])
    return Grid(tuple(float(line) for line in lines), beats, swing, pair)


@dataclass(frozen=True)
class Feel:
    """How exactly a player plays.

    Args:
        timing: standard deviation of each note's start in seconds.
        lag: seconds by which everything comes late (laid back) or, negative, early.
        velocity: standard deviation of each note's velocity.
    """

    timing: float = 0.006
    lag: float = 0.0
    velocity: float = 5.0


def perform(
    events: Iterable[Event], grid: Grid, feel: Feel, rng: np.random.Generator
) -> tuple[Note, ...]:
    """Play events: swung, placed on the bar lines and as inexact as `feel` says.

    Notes that start together (a chord) are moved together, apart from a fifth of the deviation.
    """
    events = sorted(events)
    if not events:
        return ()
    beats = np.array([event.beat for event in events])
    ends = beats + np.array([event.length for event in events])
    _, group = np.unique(np.round(beats * 48), return_inverse=True)
    shift = feel.lag + feel.timing * rng.standard_normal(group.max() + 1)[group]
    shift += 0.2 * feel.timing * rng.standard_normal(len(events))
    starts = grid.seconds(beats) + np.clip(shift, -0.03, 0.03)
    stops = np.maximum(grid.seconds(ends), starts + 0.03)
    loud = np.array([event.velocity for event in events])
    loud = np.clip(loud + feel.velocity * rng.standard_normal(len(events)), 1, 127)
    return by_start(
        Note(max(0.0, float(start)), float(stop), int(event.pitch), int(round(velocity)))
        for event, start, stop, velocity in zip(events, starts, stops, loud, strict=True)
    )


def weighted(rng: np.random.Generator, choices: dict) -> object:
    """Return one key of `choices`, drawn by the weights that are its values."""
    keys = list(choices)
    weights = np.array([choices[key] for key in keys], dtype=np.float64)
    return keys[int(rng.choice(len(keys), p=weights / weights.sum()))]


def pick(rng: np.random.Generator, choices: Sequence) -> object:
    """Return one element of `choices`, all equally likely."""
    return choices[int(rng.integers(len(choices)))]
