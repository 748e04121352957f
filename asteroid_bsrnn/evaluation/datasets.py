"""What is evaluated on: a part of a data set in MUSDB18-HQ's layout, or single folders of stems."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch

from ..data import SOURCES, Track, find_tracks, fingerprint
from ..data.tracks import MIXTURE, inspect_track, read_samples
from ..errors import UserError

SPLITS = ("test", "train", "valid", "all")


class EvaluationTracks:
    """Tracks to evaluate on, read one by one.

    Args:
        root: folder of the data.
        split: "test"; "train" or "valid", the train folder without or with nothing but the
            validation tracks; "all", both folders. Left alone where `root` is a folder of stems
            (`vocals.wav`, ...) or a folder of such folders.
        sources: names of the stems; None means vocals, bass, drums and other where the first
            track has them, and else all stems that it has.
        validation_tracks: names of the validation tracks; None means those of MUSDB18-HQ.

    Attributes:
        tracks: what was found.
        sources: names of the stems, in order.
        split: "test", ..., or "folders" for folders of stems.
        without_mixture: names of the tracks without a `mixture.wav`, for which the sum of the
            stems is taken.
        fingerprint: a hash that tells one state of the data from another.

    Raises:
        UserError: if there are no tracks, or a stem is missing, damaged or of another format.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        split: str = "test",
        *,
        sources: Sequence[str] | None = None,
        validation_tracks: Collection[str] | None = None,
    ):
        root = Path(root).expanduser()
        if split not in SPLITS:
            raise UserError(f"split {split!r} is unknown; the splits are {', '.join(SPLITS)}")
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; give a data set, or a folder of stems")
        in_layout = (root / "test").is_dir() or (root / "train").is_dir()
        self.split = split if in_layout else "folders"
        folders = _sample_folders(root, split) if in_layout else _stem_folders(root)
        self.sources = tuple(sources) if sources else _stems_of(folders[0])
        if in_layout:
            self.tracks = _tracks_in_layout(root, split, self.sources, validation_tracks)
        else:
            self.tracks = [_track(folder, self.sources) for folder in folders]
        self.without_mixture = [
            track.name for track in self.tracks if not track.path(MIXTURE).is_file()
        ]
        for track in self.tracks:
            if track.name not in self.without_mixture:
                _track(track.folder, self.sources, with_mixture=True)
        self.fingerprint = fingerprint(root, self.tracks)

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict:
        """A track.

        Returns:
            Its `name` and `sample_rate`, and as float32 tensors the `mixture` (C, L) and the
            `sources` (S, C, L).
        """
        track = self.tracks[index]
        stems = np.stack([read_samples(path, 0, track.frames) for path in track.stems()])
        references = torch.from_numpy(stems)
        if track.name in self.without_mixture:
            mixture = references.sum(dim=0)
        else:
            mixture = torch.from_numpy(read_samples(track.path(MIXTURE), 0, track.frames))
        return {
            "name": track.name,
            "sample_rate": track.sample_rate,
            "mixture": mixture,
            "sources": references,
        }


def _tracks_in_layout(
    root: Path, split: str, sources: Sequence[str], validation_tracks: Collection[str] | None
) -> list[Track]:
    """The tracks of a split of a data set."""
    parts = {
        "test": [("test", None)],
        "train": [("train", "train")],
        "valid": [("train", "valid")],
        "all": [("train", None), ("test", None)],
    }[split]
    options = {"sources": sources, "with_mixture": False, "validation_tracks": validation_tracks}
    return [track for subset, part in parts for track in find_tracks(root, subset, part, **options)]


def _sample_folders(root: Path, split: str) -> list[Path]:
    """Folders of tracks, by which to learn what the stems are called."""
    subset = root / ("test" if split == "test" else "train")
    folders = [f for f in sorted(subset.glob("*")) if f.is_dir() and not f.name.startswith(".")]
    if not folders:
        raise UserError(f"{subset}: no tracks; each must be a folder of wav files")
    return folders


def _stem_folders(root: Path) -> list[Path]:
    """`root` itself if it holds stems, or else the folders in it that do."""
    candidates = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    found = [folder for folder in candidates if _wav_names(folder)]
    if not found:
        raise UserError(
            f"{root}: holds neither train or test, nor folders of stems such as vocals.wav"
        )
    return [root] if found[0] == root else found


def _stems_of(folder: Path) -> tuple[str, ...]:
    names = _wav_names(folder)
    if set(SOURCES) <= set(names):
        return tuple(SOURCES)
    if not names:
        raise UserError(f"{folder}: holds no stems; a track is a folder of wav files")
    return tuple(names)


def _wav_names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.wav") if path.stem != MIXTURE)


def _track(folder: Path, sources: Sequence[str], with_mixture: bool = False) -> Track:
    track, problems = inspect_track(folder, sources, with_mixture)
    if track is None:
        raise UserError(problems[0])
    return track
