"""Training examples of labelled stems and of the parts of unlabelled songs."""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import UserError
from .reading import read_segment
from .segments import RandomSegments
from .selection_summary import licences
from .song_windows import Piece, SongWindows


class SemiSupervisedSegments(Dataset):
    """Random segments, some of which come from the parts of unlabelled songs.

    An example has as many signals as there are sources. Each is a stem, a sum of stems, or empty,
    and the matrix `known` tells of which sources it is the sum. The mixture is the sum of the
    signals. There are three kinds of examples:

    - labelled: the example of `labelled` with the same index, with the identity as the matrix,
    - songs as they are: all parts of a segment of one song,
    - remixed: each source from a place of its own in a song or a labelled track, and at least one
      from a song. A part that is a sum provides all its sources.

    All windows that passed the filter are equally likely. As in `RandomSegments`, an example is a
    function of the seed and its index.

    Args:
        labelled: the labelled examples, which decide segment, seed, speed and sample rate.
        selection: from `read_selection`.
        folder: of the selection.
        ratio: share of examples that use songs.
        as_songs: share of these that are songs as they are; the others are remixed. Where the
            selection allows one kind only, all are of this kind.
        labelled_stems: share of labelled stems in remixed examples, where a part of a song fits
            too.
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
            UserError: a file is damaged or gone; names it.
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

    def __iter__(self) -> Iterator[dict]:
        """The first epoch; without this, iteration would never end."""
        return (self[index] for index in range(len(self)))

    def describe(self, index: int) -> dict:
        """Tell where an example comes from, without reading it, in plain types."""
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

    def get_infos(self) -> dict:
        """Return Asteroid's description of the data: `dataset`, `task` and `licenses`."""
        return copy.deepcopy(self._infos)

    def _pieces(self, index: int) -> list[Piece] | None:
        """What an example is made of; None for a labelled one."""
        index = operator.index(index)
        if index < 0:
            raise IndexError(f"index must be 0 or more, got {index}")
        # The labelled example of this index has a sequence of its own.
        sequence = np.random.SeedSequence(self.labelled.seed, spawn_key=(index, 1))
        random = np.random.default_rng(sequence)
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


def _infos(labelled: dict, selection: Mapping[str, Any]) -> dict:
    """The description of the labelled data, with the songs and what their teacher learnt from."""
    notices = [*labelled["licenses"]]
    notices += [notice for notice in licences(selection) if notice not in notices]
    name = f"{labelled['dataset']} and songs without stems"
    return {**labelled, "dataset": name, "licenses": notices}
