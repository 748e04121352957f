"""Training examples of labelled stems and of parts of songs without stems."""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import UserError
from .segments import DescribedDataset, RandomSegments, generator_of
from .selection import licences, windows_together
from .songs import parse_part
from .tracks import read_segment

Part = tuple[str, ...]


class Piece(NamedTuple):
    """A stem of an example, or a sum of stems.

    Attributes:
        part: the sources whose sum it is.
        title: of the track or song.
        files: the files whose sum it is; none for silence.
        frames: length of the files.
        speed: at which the samples are read: the playing speed, times the ratio of sample rates.
    """

    part: Part
    title: str
    files: tuple[Path, ...]
    start: int
    frames: int
    speed: float


class SemiSupervisedSegments(DescribedDataset):
    """Random segments, some of which come from parts of songs without stems.

    An example has as many signals as there are sources. Each is a stem, a sum of stems, or empty;
    the matrix `known` states which sources it sums. The mixture is the sum of the signals. There
    are three kinds of examples:

    - labelled: the example of `labelled` with the same index; the matrix is the identity,
    - whole songs: all parts of a segment of one song,
    - remixed: each source from a place of its own in a song or a labelled track, and at least one
      from a song. A part that is a sum provides all its sources.

    All windows that passed the filter are equally likely. As in `RandomSegments`, an example is a
    function of the seed and its index.

    Args:
        labelled: the labelled examples, whose segment, seed, speed and sample rate apply to all.
        selection: from `read_selection`.
        folder: of the selection.
        ratio: share of examples that use songs.
        as_songs: share of these that are whole songs; the others are remixed. If the selection
            allows one kind only, all are of this kind.
        labelled_stems: share of labelled stems among the stems of remixed examples that could
            also be parts of songs.
        targets: sources that the network estimates; None for all. Parts that mix these with others
            are not used.

    Raises:
        UserError: a share is out of its range, a song does not fit the labelled data, a file is
            missing, or nothing of the selection can be used.
    """

    def __init__(
        self,
        labelled: RandomSegments,
        selection: Mapping[str, Any],
        folder: Path,
        *,
        ratio: float = 0.5,
        as_songs: float = 0.5,
        labelled_stems: float = 0.5,
        targets: Sequence[str] | None = None,
    ):
        shares = {"ratio": ratio, "as_songs": as_songs, "labelled_stems": labelled_stems}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UserError(f"unlabelled.{name} must be from 0 to 1, got {share}")
        self.labelled, self.sources = labelled, labelled.sources
        self.ratio, self.as_songs, self.labelled_stems = ratio, as_songs, labelled_stems
        targets = labelled.sources if targets is None else targets
        self.windows = SongWindows(selection, folder, labelled, targets)
        if not self.windows.parts and not self.windows.songs:
            raise UserError(
                f"the selection holds nothing that a network of {', '.join(targets)} can learn"
                " from; change the filter or add songs"
            )
        self._infos = _infos(labelled.get_infos(), selection)

    def __len__(self) -> int:
        return len(self.labelled)

    def __getitem__(self, index: int) -> dict:
        """Read an example.

        Args:
            index: 0 or more, as for `RandomSegments`.

        Returns:
            `sources`, float32 `(S, C, L)`; `known`, float32 `(S, S)`, whose rows are the signals
            and whose columns are the sources; and the `index`.

        Raises:
            UserError: a file is damaged or missing; names it.
        """
        pieces = self._pieces(index)
        if pieces is None:
            return {**self.labelled[index], "known": torch.eye(len(self.sources))}
        shape = (len(self.sources), self.labelled.channels, self.labelled.segment_frames)
        signals, known = np.zeros(shape, np.float32), torch.zeros(shape[0], shape[0])
        for piece in pieces:
            columns = [self.sources.index(source) for source in piece.part]
            known[columns[0], columns] = 1
            for file in piece.files:
                # Added to all channels if the file is mono.
                signals[columns[0]] += read_segment(
                    file, piece.start, piece.frames, shape[-1], piece.speed
                )
        return {
            "sources": torch.from_numpy(signals),
            "known": known,
            "index": operator.index(index),
        }

    def describe(self, index: int) -> dict:
        """Return the origin of an example without reading it, in plain types."""
        pieces = self._pieces(index)
        if pieces is None:
            return self.labelled.describe(index)
        return {
            "index": operator.index(index),
            "seed": self.labelled.seed,
            "frames": self.labelled.segment_frames,
            "sources": {
                "+".join(piece.part): {
                    "track": piece.title,
                    "files": [str(file) for file in piece.files],
                    "start": piece.start,
                    "speed": piece.speed,
                }
                for piece in pieces
            },
        }

    def _pieces(self, index: int) -> list[Piece] | None:
        """Return the pieces of an example; None for a labelled one."""
        # The labelled example of this index has a generator of its own.
        random = generator_of(self.labelled.seed, index, 1)
        if random.random() >= self.ratio:
            return None
        as_song = random.random() < self.as_songs
        if not self.windows.parts or (as_song and self.windows.songs):
            return self.windows.draw_song(random)
        return self._remixed(random)

    def _remixed(self, random: np.random.Generator) -> list[Piece]:
        pieces, missing, from_songs = [], set(self.sources), 0
        for source in map(str, random.permutation(self.sources)):
            if source not in missing:
                continue
            parts = [p for p in self.windows.parts if source in p and missing.issuperset(p)]
            if parts and (not from_songs or random.random() >= self.labelled_stems):
                pieces.append(self.windows.draw_part(parts, random))
                from_songs += 1
            else:
                pieces.append(self._labelled_stem(source, random))
            missing.difference_update(pieces[-1].part)
        return pieces

    def _labelled_stem(self, source: str, random: np.random.Generator) -> Piece:
        track, start, speed = self.labelled.draw_stem(source, random)
        return Piece((source,), track.name, (track.path(source),), start, track.frames, speed)


class SongWindows:
    """The windows of a selection that a network can learn from; all are equally likely.

    Attributes:
        parts: the numbers of songs and windows, (windows, 2), of each part that can be remixed.
        songs: windows that can be learnt as whole songs.

    Raises:
        UserError: a song does not fit the labelled examples, or a file is missing.
    """

    def __init__(
        self,
        selection: Mapping[str, Any],
        folder: Path,
        like: RandomSegments,
        targets: Collection[str],
    ):
        self.folder, self.like = folder, like
        self._targets = set(targets)
        self._entries = [entry for entry in selection["songs"] if entry["parts"]]
        self._check(selection["sources"])
        self.parts = self._windows_by_part()
        self.songs = self._windows_of_songs()

    def draw_song(self, random: np.random.Generator) -> list[Piece]:
        """Draw a segment of a whole song: pieces of all sources."""
        number, window, groups = self.songs[random.integers(len(self.songs))]
        start, speed = self._place(number, window, random)
        silent = self._entries[number]["song"]["silent"]
        title = self._entries[number]["song"]["title"]
        return [
            *(self._piece(number, group, start, speed) for group in groups),
            *(Piece((source,), title, (), 0, 0, 1.0) for source in silent),
        ]

    def draw_part(self, parts: Sequence[Part], random: np.random.Generator) -> Piece:
        """Draw a segment of one of these parts, which are keys of `parts`."""
        chosen = int(random.integers(sum(len(self.parts[part]) for part in parts)))
        for part in parts:
            windows = self.parts[part]
            if chosen < len(windows):
                break
            chosen -= len(windows)
        number, window = map(int, windows[chosen])
        names = {self._sources(name): name for name in self._entries[number]["parts"]}
        return self._piece(number, (names[part],), *self._place(number, window, random))

    def _check(self, sources: Sequence[str]) -> None:
        if tuple(sources) != tuple(self.like.sources):
            raise UserError(
                f"the selection is of {', '.join(sources)}, the data of"
                f" {', '.join(self.like.sources)}; select again"
            )
        for entry in self._entries:
            if entry["channels"] not in (1, self.like.channels):
                raise UserError(
                    f"{entry['song']['title']}: {entry['channels']} channels, but the labelled data"
                    f" have {self.like.channels}; select again with --channels"
                )
            for part in entry["parts"].values():
                if not (self.folder / part["file"]).is_file():
                    raise UserError(
                        f"{self.folder / part['file']}: missing; separate and select again"
                    )

    def _windows_by_part(self) -> dict[Part, np.ndarray]:
        found: dict[Part, list[tuple[int, int]]] = defaultdict(list)
        for number, entry in enumerate(self._entries):
            for name, part in entry["parts"].items():
                sources = self._sources(name)
                if self._targets.isdisjoint(sources) or self._targets.issuperset(sources):
                    windows = part["decisions"].get("used", ())
                    found[sources] += [(number, window) for window in windows]
        return {part: np.array(windows) for part, windows in found.items() if windows}

    def _windows_of_songs(self) -> list[tuple[int, int, tuple[tuple[str, ...], ...]]]:
        """Return song, window and groups of parts of which at least one contributes to the loss."""
        found = []
        for number, entry in enumerate(self._entries):
            if not entry["complete"]:
                continue
            silent = not self._targets.isdisjoint(entry["song"]["silent"])
            for window, groups in windows_together(entry).items():
                sums = [self._sources("+".join(group)) for group in groups]
                if silent or any(self._targets.issuperset(sources) for sources in sums):
                    found.append((number, window, tuple(map(tuple, groups))))
        return found

    def _sources(self, name: str) -> Part:
        return parse_part(name, self.like.sources)

    def _place(self, number: int, window: int, random: np.random.Generator) -> tuple[int, float]:
        """Draw first sample and speed of a segment in a window; a longer segment covers it."""
        entry = self._entries[number]
        speed = entry["sample_rate"] / self.like.sample_rate
        if self.like.speed is not None:
            speed *= float(random.uniform(*self.like.speed))
        needed = math.ceil(self.like.segment_frames * speed)
        first = window * entry["window"]
        bounds = sorted((first, first + entry["window"] - needed))
        low, high = np.clip(bounds, 0, max(0, entry["frames"] - needed))
        return int(random.integers(low, high, endpoint=True)), speed

    def _piece(self, number: int, names: Sequence[str], start: int, speed: float) -> Piece:
        """Return the sum of some parts of a song."""
        entry = self._entries[number]
        files = tuple(self.folder / entry["parts"][name]["file"] for name in names)
        part = self._sources("+".join(names))
        return Piece(part, entry["song"]["title"], files, start, entry["frames"], speed)


def _infos(labelled: dict, selection: Mapping[str, Any]) -> dict:
    """Add notices of the songs and their teacher to the description of the labelled data."""
    notices = [*labelled["licenses"]]
    notices += [notice for notice in licences(selection) if notice not in notices]
    name = f"{labelled['dataset']} and songs without stems"
    return {**labelled, "dataset": name, "licenses": notices}
