"""Conversion of beats to seconds: bar lines, swing, and random timing of players."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..music import Note, by_start


class Event(NamedTuple):
    """Note in musical time: `beat` and `length` in beats, counted from the first bar line."""

    beat: float
    length: float
    pitch: int
    velocity: float


@dataclass(frozen=True)
class Meter:
    """Metre: 4/4 is `Meter(4, 4)`, 3/4 `Meter(3, 4)`, 6/8 `Meter(2, 6)`.

    Args:
        beats: beats in a bar.
        steps: sixteenth notes per beat.
    """

    beats: int
    steps: int

    @property
    def steps_per_bar(self) -> int:
        """Return the number of sixteenth notes in a bar."""
        return self.beats * self.steps


@dataclass(frozen=True)
class Grid:
    """Bar lines and swing of a song.

    Args:
        lines: start of every bar and end of the last one, in seconds.
        beats_per_bar: beats per bar.
        swing: position of the second note of a swung pair as a share of the pair: 0.5 is even, 2/3
            a triplet feel.
        pair: length of a swung pair in beats: 1 swings eighth notes, 0.5 sixteenths.
    """

    lines: tuple[float, ...]
    beats_per_bar: int
    swing: float = 0.5
    pair: float = 1.0

    @property
    def bars(self) -> int:
        """Return the number of bars."""
        return len(self.lines) - 1

    @property
    def beats(self) -> int:
        """Return the number of beats."""
        return self.bars * self.beats_per_bar

    def seconds(self, beats: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """Convert positions in beats to seconds; the last tempo holds beyond the last bar line."""
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
    """Return the bar lines of a tempo with small deviations.

    Args:
        bars: number of bars.
        beats: beats in a bar.
        tempo: beats per minute.
        swing: see `Grid`.
        pair: see `Grid`.
        drift: relative deviation of each bar's length, shape (bars,), or 0.
    """
    lengths = np.full(bars, 60 * beats / tempo) * (1 + np.asarray(drift))
    lines = np.concatenate([[0.0], np.cumsum(lengths)])
    return Grid(tuple(float(line) for line in lines), beats, swing, pair)


@dataclass(frozen=True)
class Feel:
    """Timing and dynamics of a player.

    Args:
        timing: standard deviation of each note's start in seconds.
        lag: delay of all notes in seconds; negative values are early.
        velocity: standard deviation of each note's velocity.
    """

    timing: float = 0.006
    lag: float = 0.0
    velocity: float = 5.0


def perform(
    events: Iterable[Event], grid: Grid, feel: Feel, rng: np.random.Generator
) -> tuple[Note, ...]:
    """Convert events to notes in seconds, with swing and with the deviations of `feel`.

    Notes that start together (a chord) share four fifths of the deviation.
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
    """Return a random key of `choices`, whose values are weights."""
    keys = list(choices)
    weights = np.array([choices[key] for key in keys], dtype=np.float64)
    return keys[int(rng.choice(len(keys), p=weights / weights.sum()))]


def pick(rng: np.random.Generator, choices: Sequence) -> object:
    """Return a random element of `choices`, with equal probabilities."""
    return choices[int(rng.integers(len(choices)))]
