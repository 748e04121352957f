"""Data sets of random segments for training, and of whole tracks for validation and test."""

from __future__ import annotations

import copy
import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ..errors import UserError
from .activity import window_frames
from .layout import MIXTURE
from .tracks import Track, common_format, read_header, read_stem


class Place(NamedTuple):
    """The origin of a stem of an example, and the speed at which it is played."""

    track: Track
    start: int
    speed: float


class _Candidate(NamedTuple):
    """A track to draw from: anywhere in it, or near one of the starts of its active windows."""

    track: Track
    starts: Sequence[int]


class DescribedDataset(Dataset):
    """Base class of data sets with Asteroid's description, `_infos`."""

    _infos: dict

    def __iter__(self) -> Iterator[dict]:
        """Iterate over the first epoch; without this method, iteration would never end."""
        return (self[index] for index in range(len(self)))

    def get_infos(self) -> dict:
        """Return Asteroid's description of the data: `dataset`, `task` and `licenses`."""
        return copy.deepcopy(self._infos)


class RandomSegments(DescribedDataset):
    """Random segments of random tracks, determined by a seed.

    The example with the index k is a function of the seed and k, whichever worker or rank reads it
    and whatever was read before. Every k from 0 on is an example; `EpochSampler` assigns indices
    to epochs and ranks. Tracks are drawn with equal probabilities, then one of the track's active
    windows, then the segment's place in the window. A segment longer than the window covers it.

    Args:
        tracks: of one sample rate, with the same sources and number of channels.
        segment: length in seconds. Shorter tracks are padded with silence at the end.
        samples_per_epoch: the length of the data set.
        seed: 0 or more.
        activity: the starts of the active windows by the path of the stem, from `detect_activity`;
            None draws segments from anywhere. A track in which a source is never active is not
            drawn for this source, unless there is no other; then any of its segments may be.
            Tracks without a stem are never drawn for it.
        mix_tracks: whether each source comes from a track and a time of its own. Otherwise all come
            from the same track and time; with activity, from a window where any source is active.
        speed: lowest and highest speed at which a stem is played, a factor drawn uniformly that
            changes pitch and tempo together; stems of one place share it. None changes nothing.
        sample_rate: the rate that the tracks must have, in hertz; None accepts theirs.
        infos: name and licences of the data for `get_infos`, such as `MUSDB18HQ_INFOS`; None
            takes the folder's name and no licences.

    Raises:
        UserError: no tracks, tracks that differ in format, a stem that no track has, or a value
            out of its range.
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
        # Networks refuse more channels than samples.
        self.segment_frames = max(self.channels, round(segment * self.sample_rate))
        self.samples_per_epoch = samples_per_epoch
        self.seed = seed
        self.mix_tracks = mix_tracks
        self.speed = None if speed is None else tuple(speed)
        self._infos = _dataset_infos(tracks, infos)
        groups = [[source] for source in self.sources] if mix_tracks else [list(self.sources)]
        self._candidates = [_candidates(tracks, group, activity) for group in groups]

    def __len__(self) -> int:
        return self.samples_per_epoch

    def __getitem__(self, index: int) -> dict:
        """Read an example.

        Args:
            index: 0 or more. It may exceed the length, as indices continue from epoch to epoch.

        Returns:
            `sources`, a float32 tensor `(S, C, L)`, and the `index`.

        Raises:
            UserError: a file is damaged or missing; names it.
        """
        places = zip(self.sources, self._places(index), strict=True)
        stems = [
            read_stem(track, source, start, self.segment_frames, speed)
            for source, (track, start, speed) in places
        ]
        return {"sources": torch.from_numpy(np.stack(stems)), "index": operator.index(index)}

    def describe(self, index: int) -> dict:
        """Return the origin of an example without reading it.

        Returns:
            Plain types: `index`, `seed`, `frames` (the length), and for each of `sources` the
            `track`, the `file` (or `files`, where there is not exactly one), its first sample
            `start`, and the `speed` where speeds vary.
        """
        places = zip(self.sources, self._places(index), strict=True)
        return {
            "index": operator.index(index),
            "seed": self.seed,
            "frames": self.segment_frames,
            "sources": {
                source: {
                    "track": place.track.name,
                    **_files(place.track, source),
                    "start": place.start,
                    **({} if self.speed is None else {"speed": place.speed}),
                }
                for source, place in places
            },
        }

    def draw_stem(self, source: str, random: np.random.Generator) -> Place:
        """Draw a place for one source."""
        group = self.sources.index(source) if self.mix_tracks else 0
        return self._at_a_speed(*self._draw(self._candidates[group], random), random)

    def _places(self, index: int) -> list[Place]:
        """Return the place of each source."""
        random = generator_of(self.seed, index)
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
        """Draw a speed, and move the place forward if the track would end too early."""
        if self.speed is None:
            return Place(track, start, 1.0)
        speed = float(random.uniform(*self.speed))
        last = max(0, track.frames - math.ceil(self.segment_frames * speed))
        return Place(track, min(start, last), speed)


class EpochSampler(Sampler[int]):
    """Sampler of consecutive indices, which continue from epoch to epoch and alternate over ranks.

    Epoch e consists of the indices from `e * samples_per_epoch` on; each rank takes every
    `world_size`-th of them. All ranks together read the same examples in the same steps for every
    number of ranks, if the batch size is divided by it. If `world_size` does not divide
    `samples_per_epoch`, the last few indices of an epoch are left out, as all ranks must take the
    same number of steps.

    Lightning calls `set_epoch`.

    Args:
        samples_per_epoch: number of examples in an epoch, over all ranks.
        rank: of this process, from 0 on.
        world_size: number of processes.

    Raises:
        UserError: a number is out of its range.
    """

    def __init__(self, samples_per_epoch: int, rank: int = 0, world_size: int = 1):
        if not (0 <= rank < world_size <= samples_per_epoch):
            raise UserError(
                "need 0 <= rank < world_size <= samples_per_epoch, got"
                f" rank={rank}, world_size={world_size}, samples_per_epoch={samples_per_epoch}"
            )
        self.samples_per_epoch = samples_per_epoch
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        self._resumed = (0, 0)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration."""
        self.epoch = epoch

    def resume(self, epoch: int, samples_done: int) -> None:
        """Skip the beginning of an interrupted epoch; other epochs stay whole.

        Args:
            epoch: the epoch, which is also chosen.
            samples_done: number of its examples that this rank has used: batches times batch size.
        """
        if samples_done < 0:
            raise UserError(f"samples_done must be 0 or more, got {samples_done}")
        self.epoch = epoch
        self._resumed = (epoch, samples_done)

    def __len__(self) -> int:
        """Return the number of the rank's examples in a whole epoch, even in a resumed one.

        Lightning includes the steps done before the interruption in the epoch's.
        """
        return self.samples_per_epoch // self.world_size

    def __iter__(self) -> Iterator[int]:
        resumed_epoch, samples_done = self._resumed
        start = samples_done if self.epoch == resumed_epoch else 0
        first = self.epoch * self.samples_per_epoch + self.rank
        return (first + i * self.world_size for i in range(start, len(self)))


class WholeTracks(DescribedDataset):
    """Tracks from their first sample to their last.

    Args:
        tracks: of one sample rate, with the same sources and number of channels.
        mixture: `"file"` reads the mixture's file; `"sum"` adds up the sources, which differs from
            the file if that was mastered, rounded or clipped.
        sample_rate: the rate that the tracks must have, in hertz; None accepts theirs.
        infos: as for `RandomSegments`.

    Raises:
        UserError: no tracks, tracks that differ in format, or a missing mixture.
    """

    def __init__(
        self,
        tracks: Sequence[Track],
        *,
        mixture: str = "file",
        sample_rate: int | None = None,
        infos: Mapping[str, object] | None = None,
    ):
        if mixture not in ("file", "sum"):
            raise UserError(f"mixture must be file or sum, got {mixture!r}")
        self.sample_rate, self.channels = common_format(tracks, sample_rate)
        self.sources = tracks[0].sources
        self.tracks = list(tracks)
        self.mixture = mixture
        self._infos = _dataset_infos(tracks, infos)
        if mixture == "file":
            for track in tracks:
                read_header(track.path(MIXTURE))

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict:
        """Read a track.

        Returns:
            Its `index` and `name`, and as float32 tensors the `mixture` `(C, L)` and the `sources`
            `(S, C, L)`.

        Raises:
            UserError: a file is damaged or missing; names it.
        """
        track = self.tracks[index]
        stems = np.stack([read_stem(track, source) for source in track.sources])
        sources = torch.from_numpy(stems)
        if self.mixture == "file":
            mixture = torch.from_numpy(read_stem(track, MIXTURE))
        else:
            mixture = sources.sum(dim=0)
        return {"index": index, "name": track.name, "mixture": mixture, "sources": sources}


def generator_of(seed: int, index: int, *more: int) -> np.random.Generator:
    """Return the random numbers of an example; `more` distinguishes generators of one index."""
    index = operator.index(index)
    if index < 0:
        raise IndexError(f"index must be 0 or more, got {index}")
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, *more)))


def _dataset_infos(tracks: Sequence[Track], infos: Mapping[str, object] | None) -> dict:
    """Return Asteroid's description of tracks in the layout `<root>/<subset>/<track>`."""
    root = Path(os.path.abspath(tracks[0].folder)).parent.parent
    given = {} if infos is None else copy.deepcopy(dict(infos))
    return {"dataset": root.name, "task": "separation", "licenses": [], **given}


def _is_speed_range(speed: object) -> bool:
    pair = isinstance(speed, Sequence) and len(speed) == 2
    numbers = pair and all(isinstance(factor, (int, float)) for factor in speed)
    return numbers and 0.5 <= speed[0] <= speed[1] <= 2


def _candidates(
    tracks: Sequence[Track], sources: Sequence[str], activity: Mapping[Path, Sequence[int]] | None
) -> list[_Candidate]:
    """Return the tracks in which any of the sources is active; all with a source if none is."""
    present = [track for track in tracks if any(track.parts(source) for source in sources)]
    if not present:
        raise UserError(
            f"none of the {len(tracks)} tracks has the stem {' or '.join(sources)}; check its name"
            " in the layout, or leave it out"
        )
    anywhere = [_Candidate(track, ()) for track in present]
    if activity is None:
        return anywhere
    active = []
    for track in present:
        files = [file for source in sources for file in track.parts(source)]
        unknown = [file.path for file in files if file.path not in activity]
        if unknown:
            raise UserError(f"{unknown[0]}: its activity is not known; detect it for all tracks")
        # The windows of a file of another rate start at the same times.
        rate = track.sample_rate
        starts = {
            start if file.sample_rate == rate else round(start * rate / file.sample_rate)
            for file in files
            for start in activity[file.path]
        }
        if starts:
            active.append(_Candidate(track, sorted(starts)))
    return active or anywhere


def _files(track: Track, source: str) -> dict[str, object]:
    """Return the files of a source for the description of an example."""
    paths = [str(file.path) for file in track.parts(source)]
    return {"file": paths[0]} if len(paths) == 1 else {"files": paths}
