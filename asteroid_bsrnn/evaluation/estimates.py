"""Estimates that other tools have written, as a replacement of a separator."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import torch

from ..audio import AudioFile
from ..audio.reader import READABLE_SUFFIXES
from ..errors import UserError
from ..files import list_files, list_folders
from ..weights.cache import sha256_of
from .records import safe_name
from .scores import Sums

TOLERANCE = 0.1
"""Largest difference in seconds between the lengths of an estimate and its track."""


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
        self.sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()

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
