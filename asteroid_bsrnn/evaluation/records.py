"""The records of an evaluation, read again and checked."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from .candidates import LEDGER_OF_RUN, WEIGHTS_OF_RUN

SUMMARY = "final_metrics.json"


@dataclass(frozen=True)
class Record:
    """A model's results under one setting.

    Attributes:
        folder: where they lie.
        summary: what `final_metrics.json` holds.
        tracks: the records of all tracks, in order.
    """

    folder: Path
    summary: Mapping[str, Any]
    tracks: Sequence[Mapping[str, Any]]

    @property
    def path(self) -> Path:
        """The file that the figures are in."""
        return self.folder / SUMMARY

    @property
    def model(self) -> Mapping[str, Any]:
        """What was evaluated: `label`, `kind`, `name` or `path`, `sha256`, `ledger`, ..."""
        if "model" in self.summary:
            return self.summary["model"]
        # The recipe's own results lie in the folder of the run.
        folder = self.folder.resolve()
        of_run = folder.name.startswith("evaluation_")
        return {
            "kind": "model",
            "label": folder.parent.name.removeprefix("train_") if of_run else folder.name,
            "path": f"../{WEIGHTS_OF_RUN}",
            "sha256": self.summary["settings"].get("weights_sha256"),
            "ledger": f"../{LEDGER_OF_RUN}",
        }

    @property
    def label(self) -> str:
        """What the model is called."""
        return self.model["label"]

    @property
    def is_reference_point(self) -> bool:
        """Whether it is no model, but the mixture or an oracle."""
        return self.model["kind"] == "reference point"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tracks, in order."""
        return tuple(track["name"] for track in self.tracks)

    def sources(self, measure: str = "usdr") -> list[str]:
        """Names of the scored sources."""
        return list(self.tracks[0]["scores"].get(measure, {}))

    def scores(self, measure: str, source: str) -> np.ndarray:
        """(tracks,) in dB, NaN where a track has no score."""
        return np.array([float(track["scores"][measure][source]) for track in self.tracks])


def read_record(folder: str | os.PathLike) -> Record:
    """The results in a folder, checked for belonging together.

    Raises:
        UserError: if they are missing, damaged, unfinished or of different settings.
    """
    folder = Path(folder)
    summary = _read(folder / SUMMARY)
    paths = sorted((folder / "tracks").glob("[0-9]*.json"))
    tracks = [_read(path) for path in paths[: summary["n_tracks"]]]
    if len(tracks) < summary["n_tracks"]:
        raise UserError(f"{folder}: {summary['n_tracks'] - len(tracks)} tracks' records are gone")
    for path, track in zip(paths, tracks, strict=False):
        if track.get("settings") != summary["settings_hash"]:
            raise UserError(
                f"{path}: made with other settings than {SUMMARY}; evaluate again into one folder"
            )
    return Record(folder, summary, tracks)


def find_records(path: str | os.PathLike) -> list[Path]:
    """Folders of results: `path` itself, or all right below it; none where it is neither."""
    path = Path(path)
    if (path / SUMMARY).is_file():
        return [path]
    if path.name == SUMMARY and path.is_file():
        return [path.parent]
    return sorted(found.parent for found in path.glob(f"*/{SUMMARY}")) if path.is_dir() else []


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror}); evaluate first") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged, no valid JSON; evaluate again") from error
