"""Training examples: short pieces of the stems of random tracks."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import UserError
from .activity import window_frames
from .infos import dataset_infos
from .reading import read_segment
from .tracks import Track, common_format


class Place(NamedTuple):
    """Where a stem of an example comes from, and how many times as fast it is played."""

    track: Track
    start: int
    speed: float


class _Candidate(NamedTuple):
    """A track to draw from: anywhere in it, or near one of the starts of its active windows."""

    track: Track
    starts: Sequence[int]


class RandomSegments(Dataset):
    """Random segments of random tracks, the same ones for the same seed.

    The example with the index k is a function of the seed and k, whichever worker or rank reads it
    and whatever was read before. Any k from 0 on is an example; `EpochSampler` gives each epoch and
    rank its own. Tracks are drawn with equal probabilities, then one of the track's active windows,
    then the segment's place in the window. A segment longer than the window covers it.

    Args:
        tracks: of one sample rate, with the same sources and number of channels.
        segment: length in seconds. Shorter tracks are followed by silence.
        samples_per_epoch: what the data set gives as its length.
        seed: 0 or more.
        activity: the starts of the active windows by the path of the stem, from `detect_activity`;
            None draws segments from anywhere. A track where a source is never active is not drawn
            for this source, unless there is no other; then any of its segments may be.
        mix_tracks: whether each source comes from a track and a time of its own. Otherwise all are
            of the same track and time, with activity: a window where any source is active.
        speed: lowest and highest speed at which a stem is played, a factor drawn uniformly that
            changes pitch and tempo together; stems of one place share it. None changes nothing.
        sample_rate: the rate that the tracks must have, in hertz; None takes theirs.
        infos: what `get_infos` tells of the data's name and licences, such as `MUSDB18HQ_INFOS`;
            None names the folder.

    Raises:
        UserError: no tracks, tracks that differ in format, or a value out of its range.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        *,
        segment: float = 3.0,
        samples_per_epoch: int = 20000,
        seed: int = 0,
        activity: Mapping[Path, Sequence[int]] | None = None,
        mix_tracks: bool = True,
        speed: Sequence[float] | None = None,
        sample_rate: int | None = None,
        infos: Mapping[str, object] | None = None,
    ):
        self.sample_rate, self.channels = common_format(tracks, sample_rate)
        self.sources = tracks[0].sources
        if not 0 < segment < math.inf or samples_per_epoch < 1 or seed < 0:
            raise UserError(
                "segment and samples_per_epoch must be above 0 and seed not below it, got"
                f" {segment}, {samples_per_epoch} and {seed}"
            )
        if speed is not None and not _is_speed_range(speed):
            raise UserError(
                f"speed must be a lowest and a highest factor, from 0.5 to 2, got {speed!r}"
            )
        self.segment_frames = max(1, round(segment * self.sample_rate))
        self.samples_per_epoch = samples_per_epoch
        self.seed = seed
        self.mix_tracks = mix_tracks
        self.speed = None if speed is None else tuple(speed)
        self._infos = dataset_infos(tracks, infos)
        groups = [[source] for source in self.sources] if mix_tracks else [list(self.sources)]
        self._candidates = [_candidates(tracks, group, activity) for group in groups]

    def __len__(self) -> int:
        return self.samples_per_epoch

    def __getitem__(self, index: int) -> dict:
        """Reads an example.

        Args:
            index: 0 or more, also beyond the length: indices go on from epoch to epoch.

        Returns:
            `sources`, a float32 tensor `(S, C, L)`, and the `index`.

        Raises:
            UserError: a file is damaged or gone; names it.
        """
        places = zip(self.sources, self._places(index), strict=True)
        stems = [
            read_segment(track.path(source), start, track.frames, self.segment_frames, speed)
            for source, (track, start, speed) in places
        ]
        return {"sources": torch.from_numpy(np.stack(stems)), "index": operator.index(index)}

    def __iter__(self) -> Iterator[dict]:
        """The first epoch; without this, iteration would never end."""
        return (self[index] for index in range(len(self)))

    def describe(self, index: int) -> dict:
        """Tells where an example comes from, without reading it.

        Args:
            index: as for reading it.

        Returns:
            Plain types: `index`, `seed`, `frames` (the length), and under `sources` by name the
            `track`, the `file`, its first sample, `start`, and where speeds vary the `speed`.
        """
        places = zip(self.sources, self._places(index), strict=True)
        return {
            "index": operator.index(index),
            "seed": self.seed,
            "frames": self.segment_frames,
            "sources": {
                source: {
                    "track": place.track.name,
                    "file": str(place.track.path(source)),
                    "start": place.start,
                    **({} if self.speed is None else {"speed": place.speed}),
                }
                for source, place in places
            },
        }

    def get_infos(self) -> dict:
        """Asteroid's description of the data: `dataset`, `task` and `licenses`."""
        return copy.deepcopy(self._infos)

    def draw_stem(self, source: str, random: np.random.Generator) -> Place:
        """Draw a place for one source.

        Args:
            source: name of the source.
            random: to draw with.
        """
        group = self.sources.index(source) if self.mix_tracks else 0
        return self._at_a_speed(*self._draw(self._candidates[group], random), random)

    def _places(self, index: int) -> list[Place]:
        """Where each source comes from."""
        index = operator.index(index)
        if index < 0:
            raise IndexError(f"index must be 0 or more, got {index}")
        sequence = np.random.SeedSequence(self.seed, spawn_key=(index,))
        random = np.random.default_rng(sequence)
        drawn = [self._draw(candidates, random) for candidates in self._candidates]
        places = [self._at_a_speed(*place, random) for place in drawn]
        return places if self.mix_tracks else places * len(self.sources)

    def _draw(
        self, candidates: Sequence[_Candidate], random: np.random.Generator
    ) -> tuple[Track, int]:
        track, starts = candidates[random.integers(len(candidates))]
        last = max(0, track.frames - self.segment_frames)
        bounds = (0, last)
        if starts:
            window = starts[random.integers(len(starts))]
            spare = window_frames(self.sample_rate, track.frames) - self.segment_frames
            bounds = np.clip(sorted((window, window + spare)), 0, last)
        return track, int(random.integers(*bounds, endpoint=True))

    def _at_a_speed(self, track: Track, start: int, random: np.random.Generator) -> Place:
        """The place at a speed of its own, moved where the track would end too early."""
        if self.speed is None:
            return Place(track, start, 1.0)
        speed = float(random.uniform(*self.speed))
        last = max(0, track.frames - math.ceil(self.segment_frames * speed))
        return Place(track, min(start, last), speed)


def _is_speed_range(speed: object) -> bool:
    pair = isinstance(speed, Sequence) and len(speed) == 2
    numbers = pair and all(isinstance(factor, (int, float)) for factor in speed)
    return numbers and 0.5 <= speed[0] <= speed[1] <= 2


def _candidates(
    tracks: Sequence[Track],
    sources: Sequence[str],
    activity: Mapping[Path, Sequence[int]] | None,
) -> list[_Candidate]:
    """The tracks in which any of the sources is active, or else all tracks."""
    anywhere = [_Candidate(track, ()) for track in tracks]
    if activity is None:
        return anywhere
    active = []
    for track in tracks:
        paths = [track.path(source) for source in sources]
        unknown = [path for path in paths if path not in activity]
        if unknown:
            raise UserError(f"{unknown[0]}: its activity is not known; detect it for all tracks")
        starts = sorted({start for path in paths for start in activity[path]})
        if starts:
            active.append(_Candidate(track, starts))
    return active or anywhere
