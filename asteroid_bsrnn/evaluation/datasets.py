"""Tracks to evaluate on: a split of a data set in MUSDB18-HQ's layout, or folders of stems."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch

from ..data import SOURCES, Track, find_tracks, fingerprint
from ..data.musdb18hq import track_folders
from ..data.tracks import MIXTURE, inspect_track, read_samples
from ..errors import UserError
from ..files import list_files, list_folders

# From a split to the folder and the part of it that `find_tracks` takes.
_PARTS: dict[str, list[tuple[str, str | None]]] = {
    "test": [("test", None)],
    "train": [("train", "train")],
    "valid": [("train", "valid")],
    "train+valid": [("train", None)],
    "all": [("train", None), ("test", None)],
}
SPLITS = tuple(_PARTS)
_SOUNDS = (".wav", ".flac", ".mp3", ".m4a", ".mp4", ".ogg", ".opus", ".aif", ".aiff", ".wave")


class EvaluationTracks:
    """Tracks to evaluate on, read one by one.

    Args:
        root: folder of the data.
        split: "test"; "train" or "valid", the train folder without or with only the validation
            tracks; "train+valid", the whole train folder; "all", both folders. Ignored where `root`
            is a folder of stems (`vocals.wav`, ...) or a folder of such folders.
        sources: names of the stems. None means vocals, bass, drums and other where the first track
            has them, and otherwise all stems that it has.
        validation_tracks: names of the validation tracks; None means those of MUSDB18-HQ.

    Attributes:
        tracks: the tracks, sorted by name.
        sources: names of the stems, in order.
        split: as given, or "folders" for folders of stems.
        without_mixture: names of the tracks without a `mixture.wav`, whose mixture is the sum of
            the stems.
        fingerprint: hash of the names, sizes and lengths of the files.

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
        folders = _track_folders(root, split) if in_layout else _stem_folders(root)
        self.sources = tuple(sources) if sources else _stems_of(folders[0])
        if in_layout:
            options = {"sources": self.sources, "validation_tracks": validation_tracks}
            self.tracks = [
                track
                for subset, part in _PARTS[split]
                for track in find_tracks(root, subset, part, with_mixture=False, **options)
            ]
        else:
            self.tracks = [_track(folder, self.sources) for folder in folders]
        self.without_mixture = [
            track.name for track in self.tracks if MIXTURE not in _sound_names(track.folder)
        ]
        for track in self.tracks:
            if track.name not in self.without_mixture:
                _track(track.folder, self.sources, with_mixture=True)
        self.fingerprint = fingerprint(root, self.tracks)

    @property
    def settings(self) -> dict:
        """What of the data decides which records belong together."""
        return {
            "data_fingerprint": self.fingerprint,
            "part": self.split,
            "data_sources": list(self.sources),
        }

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict:
        """Read a track.

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


def _track_folders(root: Path, split: str) -> list[Path]:
    """Return folders of tracks, the first of which shows the names of the stems."""
    subset = "test" if split == "test" else "train"
    return track_folders(root, subset)


def _stem_folders(root: Path) -> list[Path]:
    """Return `root` itself if it holds stems, and otherwise the folders in it that do."""
    found = [folder for folder in [root, *list_folders(root)] if _stem_names(folder)]
    if not found:
        raise UserError(
            f"{root}: holds neither train or test, nor folders of stems such as vocals.wav"
        )
    return [root] if found[0] == root else found


def _stems_of(folder: Path) -> tuple[str, ...]:
    names = _stem_names(folder)
    if set(SOURCES) <= set(names):
        return tuple(SOURCES)
    if not names:
        raise UserError(f"{folder}: holds no stems; a track is a folder of wav files")
    return tuple(names)


def _stem_names(folder: Path) -> list[str]:
    """Return the names of the stems in a folder, sorted."""
    return sorted(_sound_names(folder) - {MIXTURE})


def _sound_names(folder: Path) -> set[str]:
    """Return the names of the stems, and `mixture` if there is one.

    A stem of a known name counts in another format or spelling too (`Bass.WAV`, `vocals.flac`):
    leaving it out would change the scores silently. Reading it then says what to do.
    """
    known = {*SOURCES, MIXTURE}
    names = set()
    for path in list_files(folder, _SOUNDS):
        name = path.stem.lower() if path.stem.lower() in known else path.stem
        if path.suffix.lower() == ".wav" or name in known:
            names.add(name)
    return names


def _track(folder: Path, sources: Sequence[str], with_mixture: bool = False) -> Track:
    track, problems = inspect_track(folder, sources, with_mixture)
    if track is None:
        raise UserError(problems[0])
    return track
