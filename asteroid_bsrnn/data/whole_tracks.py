"""Whole tracks, for validation and test."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from ..errors import UserError
from .infos import dataset_infos
from .reading import read_samples
from .tracks import MIXTURE, Track, common_format, read_header


class WholeTracks(Dataset):
    """Tracks from their first sample to their last.

    Args:
        tracks: of one sample rate, with the same sources and number of channels.
        mixture: `"file"` reads `mixture.wav`; `"sum"` adds up the sources, which differs from the
            file where that was mastered, rounded or clipped.
        sample_rate: the rate that the tracks must have, in hertz; None takes theirs.
        infos: as for `RandomSegments`.

    Raises:
        UserError: no tracks, tracks that differ in format, or a missing `mixture.wav`.
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
        self._infos = dataset_infos(tracks, infos)
        if mixture == "file":
            for track in tracks:
                read_header(track.path(MIXTURE))

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict:
        """Reads a track.

        Returns:
            Its `index` and `name`, and as float32 tensors the `mixture` `(C, L)` and the `sources`
            `(S, C, L)`.

        Raises:
            UserError: a file is damaged or gone; names it.
        """
        track = self.tracks[index]
        stems = np.stack([read_samples(path, 0, track.frames) for path in track.stems()])
        sources = torch.from_numpy(stems)
        if self.mixture == "file":
            mixture = torch.from_numpy(read_samples(track.path(MIXTURE), 0, track.frames))
        else:
            mixture = sources.sum(dim=0)
        return {"index": index, "name": track.name, "mixture": mixture, "sources": sources}

    def get_infos(self) -> dict:
        """Asteroid's description of the data: `dataset`, `task` and `licenses`."""
        return copy.deepcopy(self._infos)
