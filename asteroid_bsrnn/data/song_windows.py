"""Windows of songs that a selection allows, and segments drawn from them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import UserError
from .parts import parse_part
from .segments import RandomSegments
from .selection_summary import windows_together

Part = tuple[str, ...]


class Piece(NamedTuple):
    """A stem of an example, or a sum of stems.

    Attributes:
        part: the sources that it is the sum of.
        title: of the track or song.
        files: whose sum it is; none for silence.
        start: first sample.
        frames: length of the files.
        speed: at which the samples are read: the playing speed, times the ratio of sample rates.
    """

    part: Part
    title: str
    files: tuple[Path, ...]
    start: int
    frames: int
    speed: float


class SongWindows:
    """The windows of a selection that a network can learn from; all are equally likely.

    Args:
        selection: from `read_selection`.
        folder: of the selection.
        like: labelled examples, with the sources, channels, sample rate, segment and speeds wanted.
        targets: sources that the network estimates. Parts that mix these with others are not used.

    Attributes:
        parts: from each part that can be remixed to the numbers of its songs and windows,
            (windows, 2).
        songs: windows that can be learnt as the songs that they are.

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
        """Draw a segment of a song as it is: pieces of all sources."""
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
        """Numbers of song and window, and groups of parts of which at least one is compared."""
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
        """First sample and speed of a segment in a window, which it covers if it is longer."""
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
        """The sum of some parts of a song."""
        entry = self._entries[number]
        files = tuple(self.folder / entry["parts"][name]["file"] for name in names)
        part = self._sources("+".join(names))
        return Piece(part, entry["song"]["title"], files, start, entry["frames"], speed)
