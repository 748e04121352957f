"""Stems on disk: tracks to evaluate on, and estimates that other tools have written.

Tracks are a split of a data set in MUSDB18-HQ's layout, or folders of stems.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from ..audio import AudioFile
from ..audio.reader import READABLE_SUFFIXES
from ..data import SOURCES, Layout, fingerprint
from ..data.layout import MIXTURE
from ..data.musdb18 import folders_of, read_tracks
from ..data.tracks import SOUNDS, SUFFIXES, read_stem
from ..errors import UserError
from ..files import list_files, list_folders
from ..options import SPLITS
from ..weights.cache import sha256_of
from .records import safe_name
from .scores import Sums

# From a split to the subsets, and the parts of them, that `folders_of` takes.
_PARTS: dict[str, list[tuple[str, str | None]]] = {
    "test": [("test", None)],
    "train": [("train", "train")],
    "valid": [("train", "valid")],
    "train+valid": [("train", None)],
    "all": [("train", None), ("test", None)],
}

TOLERANCE = 0.1
"""Largest difference in seconds between the lengths of an estimate and its track."""


class EvaluationTracks:
    """Tracks to evaluate on, read on access.

    Args:
        root: folder of the data.
        split: "test"; "train" or "valid", the train folder without or with only the validation
            tracks; "train+valid", the whole train folder; "all", both folders. Ignored if `root` is
            a folder of stems (`vocals.wav`, ...) or a folder of such folders.
        sources: names of the stems to score. None means all stems and sums of the layout; without a
            layout, vocals, bass, drums and other if the first track has them, otherwise all its
            stems.
        validation_tracks: names of the validation tracks; None means those of MUSDB18-HQ.
        layout: description of the data; None means the layout of MUSDB18-HQ.

    Attributes:
        tracks: the tracks, sorted by name.
        sources: names of the stems and sums to score, in order.
        stems: names of the stems that are read.
        sums: stems of the sources that are sums.
        layout: layout of the data.
        split: as given, or "folders" for folders of stems.
        without_mixture: names of the tracks without a mixture file, whose mixture is the sum of the
            stems.
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
        layout: Layout | None = None,
    ):
        root = Path(root).expanduser()
        if split not in SPLITS:
            raise UserError(f"split {split!r} is unknown; the splits are {', '.join(SPLITS)}")
        if not root.is_dir():
            raise UserError(f"{root}: no such folder; give a data set, or a folder of stems")
        self.layout = layout or Layout()
        if any((root / name).is_dir() for name in self.layout.folders.values()):
            self.split = split
            folders = [
                folder
                for subset, part in _PARTS[split]
                for folder in folders_of(root, subset, part, validation_tracks, self.layout)
            ]
        else:
            self.split, folders = "folders", _stem_folders(root)
        if layout is None:
            self.sources = tuple(sources) if sources else _stems_of(folders[0])
            self.layout = Layout(stems=self.sources)
        else:
            self.sources = tuple(sources) if sources else layout.names
        self._given = None if layout is None else layout.settings()
        self.sums = {
            name: self.layout.parts(name)
            for name in self.sources
            if self.layout.parts(name) != (name,)
        }
        self.stems = tuple(self.layout.stems)
        self.tracks = read_tracks(folders, self.layout, with_mixture=None)
        self.without_mixture = [t.name for t in self.tracks if MIXTURE not in t.files]
        self.fingerprint = fingerprint(root, self.tracks)

    @property
    def settings(self) -> dict:
        """Settings of the data that records must share."""
        return {
            "data_fingerprint": self.fingerprint,
            "part": self.split,
            "data_sources": list(self.sources),
            **({} if self._given is None else {"data_layout": self._given}),
        }

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> dict:
        """Read a track.

        Returns:
            A dict with `name`, `sample_rate`, and float32 tensors `mixture` (C, L) and `sources`
            (S, C, L). If the sources are not the stems as they are read, also `stems`.
        """
        track = self.tracks[index]
        stems = torch.from_numpy(np.stack([read_stem(track, stem) for stem in self.stems]))
        if track.name in self.without_mixture:
            mixture = stems.sum(dim=0)
        else:
            mixture = torch.from_numpy(read_stem(track, MIXTURE))
        item = {
            "name": track.name,
            "sample_rate": track.sample_rate,
            "mixture": mixture,
            "sources": stems,
        }
        if self.sources == self.stems:
            return item
        place = {stem: index for index, stem in enumerate(self.stems)}
        parts = [[place[stem] for stem in self.layout.parts(name)] for name in self.sources]
        sources = torch.stack([stems[indices].sum(dim=0) for indices in parts])
        return {**item, "sources": sources, "stems": stems}


def subsets_of(split: str) -> list[str]:
    """Return the folders of a data set in which the tracks of a split are."""
    return [subset for subset, _ in _PARTS[split]]


def _stem_folders(root: Path) -> list[Path]:
    """Return `[root]` if it contains stems, otherwise the folders in it that do."""
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
    """Return the names of the stems in a folder, sorted.

    A stem of a known name counts in another format or spelling too (`Bass.WAV`, `vocals.mp3`),
    because leaving it out would change the scores silently. Reading it raises an error with advice.
    """
    known = {*SOURCES, MIXTURE}
    names = set()
    for path in list_files(folder, SOUNDS):
        name = path.stem.lower() if path.stem.lower() in known else path.stem
        if path.suffix.lower() in SUFFIXES or name in known:
            names.add(name)
    return sorted(names - {MIXTURE})


class Estimates:
    """Stems in files, as a separator for `evaluate`.

    The stem of a track is `<folder>/<track>/<stem>.<suffix>` or `<folder>/<track>-<stem>.<suffix>`,
    in any format that can be separated.

    Args:
        folder: folder of the stems.
        tracks: names of the tracks to find estimates of.
        stems: names of the stems to score. For a sum such as `bass+other`, its parts are used too.
        sums: parts of stems that are sums under another name.

    Attributes:
        folder: the folder.
        sources: names of the estimated stems, in order.
        settings: settings that the estimates depend on.
        sha256: checksum of the names and contents of all files.
        adjusted: difference in samples of each file that was cut or padded so far; positive if the
            estimate is longer than the track.

    Raises:
        UserError: if there are no estimates, or a track lacks one that others have.
    """

    settings: Mapping = {"estimates": "files"}

    def __init__(
        self,
        folder: str | os.PathLike,
        tracks: Sequence[str],
        stems: Sequence[str],
        sums: Sums = MappingProxyType({}),
    ):
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: no such folder; give the folder of the estimates")
        names = [name for stem in stems for name in (stem, *sums.get(stem, stem.split("+")))]
        wanted = list(dict.fromkeys(names))
        self._files = self._find(tracks, wanted)
        known = {stem for files in self._files.values() for stem in files}
        self.sources = tuple(stem for stem in wanted if stem in known)
        self._refuse_missing(wanted)
        self.adjusted: dict[Path, int] = {}
        lines = [
            f"{track} {stem} {sha256_of(files[stem])}\n"
            for track, files in sorted(self._files.items())
            for stem in self.sources
        ]
        text = "".join(lines).encode("utf-8", "surrogateescape")
        self.sha256 = hashlib.sha256(text).hexdigest()

    def _find(self, tracks: Sequence[str], stems: Sequence[str]) -> dict[str, dict[str, Path]]:
        """Return the files of every track by stem."""
        folders = {path.name: path for path in list_folders(self.folder)}
        flat = {path.stem: path for path in list_files(self.folder, READABLE_SUFFIXES)}
        found = {}
        for track in tracks:
            inside = list_files(folders[track], READABLE_SUFFIXES) if track in folders else []
            files = {path.stem: path for path in inside}
            places = {stem: files.get(stem, flat.get(f"{track}-{stem}")) for stem in stems}
            found[track] = {stem: path for stem, path in places.items() if path is not None}
        return found

    def _refuse_missing(self, wanted: Sequence[str]) -> None:
        without = [track for track, files in self._files.items() if not files]
        if without:
            raise UserError(
                f"{self.folder}: no estimates of {len(without)} of {len(self._files)} track(s): "
                f"{_listed(without)}; name them <track>/<stem>.wav or <track>-<stem>.wav, with a "
                f"stem of {', '.join(wanted)}"
            )
        gaps = [
            f"{track}: {stem}"
            for track, files in self._files.items()
            for stem in self.sources
            if stem not in files
        ]
        if gaps:
            raise UserError(
                f"{self.folder}: {len(gaps)} stem(s) missing that other tracks have: "
                f"{_listed(gaps)}; add them, or leave the stem out with --sources"
            )

    @property
    def label(self) -> str:
        """Default name in tables."""
        return safe_name(self.folder.resolve().name)

    def separate_track(self, track: Mapping) -> dict[str, torch.Tensor]:
        """Return the estimates of a track: source -> (channels, time).

        `track` has `name`, `sample_rate` and `mixture` (channels, time). Estimates are cut or
        padded with zeros to the length of the mixture.

        Raises:
            UserError: if a file cannot be read, or has another sample rate, number of channels or
                length than the track.
        """
        files = self._files[track["name"]]
        rate = track["sample_rate"]
        n_channels, length = track["mixture"].shape
        return {
            source: self._read(files[source], rate, n_channels, length) for source in self.sources
        }

    def _read(self, path: Path, rate: int, n_channels: int, length: int) -> torch.Tensor:
        audio = AudioFile(path)
        if audio.sample_rate != rate:
            raise UserError(
                f"{path}: has {audio.sample_rate} Hz and its track {rate} Hz; resample the "
                "estimates to the rate of the data"
            )
        if audio.channels != n_channels:
            raise UserError(
                f"{path}: has {audio.channels} channel(s) and its track {n_channels}; export the "
                "estimates with the channels of the data"
            )
        samples = torch.from_numpy(audio.read())
        difference = samples.shape[-1] - length
        if abs(difference) > TOLERANCE * rate:
            raise UserError(
                f"{path}: has {samples.shape[-1]} samples and its track {length}; only up to "
                f"{TOLERANCE:g} s, as codecs add, are cut or padded"
            )
        if difference:
            self.adjusted[path] = difference
        return torch.nn.functional.pad(samples, (0, -difference))


def _listed(names: Sequence[str]) -> str:
    """Return the first names and the number of further ones."""
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + rest
