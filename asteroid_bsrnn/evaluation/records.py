"""Models to evaluate, and records of evaluations: written track by track, read and checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..files import list_files, list_folders, relative_path, write_json, write_text, writing_to
from ..tables import to_csv
from ..weights.bag import facts_of, files_of, sha256_of, sha256_of_members
from ..weights.find import BEST_OF_RUN, find_weights
from .scores import is_mean

SUMMARY = "final_metrics.json"
SCORES = "all_metrics.csv"
# Name of the ledger in the folder of a run, as in the recipe.
_LEDGER_OF_RUN = "ledger.json"


@dataclass(frozen=True)
class Candidate:
    """Model to evaluate.

    Attributes:
        label: name in tables.
        name: name in the registry, `hf:` reference or URL; None for a file.
        path: file of its weights, folder of such files with a network each, or bag file.
        sha256: checksum of that file, or of the names and checksums of all.
        ledger: ledger of the training run; None if there is none beside the weights.
        members: model, weights and checksum of each model of a bag; empty for other models.
    """

    label: str
    name: str | None
    path: Path
    sha256: str
    ledger: Path | None = None
    members: list[dict] = field(default_factory=list)

    def facts(self, folder: str | os.PathLike) -> dict:
        """Return plain types for records in `folder`, with paths relative to it."""
        return {
            "label": self.label,
            "name": self.name,
            "path": None if self.name else _relative(self.path, folder),
            "sha256": self.sha256,
            "ledger": None if self.ledger is None else _relative(self.ledger, folder),
            **({"members": self.members} if self.members else {}),
        }


def candidate(given: str | os.PathLike) -> Candidate:
    """Return the model that a user names.

    Args:
        given: as in `weights.find.find_weights`; `LABEL=` before it sets the name in tables.

    Raises:
        UserError: there is no such model, or its weights are not available.
    """
    label, name = split_label(os.fspath(given))
    weights = find_weights(name)
    files_of(weights.path)  # refuses a folder without weights
    members = facts_of(weights.path)
    ledger = None if weights.run is None else weights.run / _LEDGER_OF_RUN
    return Candidate(
        safe_name(label or weights.label),
        weights.name,
        weights.path,
        sha256_of_members(members) if members else sha256_of(weights.path),
        ledger if ledger is not None and ledger.is_file() else None,
        members,
    )


def weights_of(facts: Mapping, folder: str | os.PathLike) -> Path | None:
    """Return the weights of a record in `folder`; None if they are missing or changed."""
    if facts.get("name"):
        path = find_weights(facts["name"]).path
    else:
        path = Path(folder) / facts["path"] if facts.get("path") else None
    if path is None or not path.exists() or sha256_of(path) != facts["sha256"]:
        return None
    return path


def _relative(path: Path, folder: str | os.PathLike) -> str:
    return relative_path(path.resolve(), Path(folder).resolve())


def safe_name(text: str) -> str:
    """Return `text` as part of a file's name."""
    return re.sub(r"[^\w.+-]+", "_", text).strip("._") or "model"


def split_label(given: str) -> tuple[str | None, str]:
    """Return label and name of `LABEL=NAME`, the label None without one; files may be named so."""
    match = re.match(r"([\w.+-]+)=(.+)", given)
    if match is None or os.path.exists(given):
        return None, given
    return match.group(1), match.group(2)


@dataclass(frozen=True)
class Record:
    """Results of a model under one setting.

    Attributes:
        folder: folder of the results.
        summary: contents of `final_metrics.json`.
        tracks: records of all tracks, in order.
    """

    folder: Path
    summary: Mapping[str, Any]
    tracks: Sequence[Mapping[str, Any]]

    @property
    def path(self) -> Path:
        """The file with the figures."""
        return self.folder / SUMMARY

    @property
    def model(self) -> Mapping[str, Any]:
        """The evaluated model: `label`, `kind`, `name` or `path`, `sha256`, `ledger`, ..."""
        if "model" in self.summary:
            return self.summary["model"]
        # Old records of the recipe do not name the model; they are in the run's folder.
        folder = self.folder.resolve()
        of_run = folder.name.startswith("evaluation_")
        return {
            "kind": "model",
            "label": folder.parent.name.removeprefix("train_") if of_run else folder.name,
            "path": f"../{BEST_OF_RUN}",
            "sha256": self.summary["settings"].get("weights_sha256"),
            "ledger": f"../{_LEDGER_OF_RUN}",
        }

    @property
    def label(self) -> str:
        """Name of the model in tables."""
        return self.model["label"]

    @property
    def is_reference_point(self) -> bool:
        """Whether the record is of the mixture or an oracle instead of a model."""
        return self.model["kind"] == "reference point"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the tracks, in order."""
        return tuple(track["name"] for track in self.tracks)

    def sources(self, measure: str = "usdr") -> list[str]:
        """Return the names of the scored sources."""
        return list(self.tracks[0]["scores"].get(measure, {}))

    def scores(self, measure: str, source: str) -> np.ndarray:
        """Return (tracks,) in dB, NaN for tracks without a score."""
        return np.array([float(track["scores"][measure][source]) for track in self.tracks])

    def table(self, measure: str, sources: Sequence[str]) -> np.ndarray:
        """Return (tracks, sources) in dB, NaN for tracks without a score."""
        return np.stack([self.scores(measure, source) for source in sources], axis=1)


def read_record(folder: str | os.PathLike) -> Record:
    """Read the results in a folder and check that they have the same settings.

    Raises:
        UserError: if they are missing, damaged, incomplete or of different settings.
    """
    folder = Path(folder)
    summary = _read(folder / SUMMARY, "n_tracks", "settings_hash", "settings")
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


def find_records(path: str | os.PathLike, *, recursive: bool = False) -> list[Path]:
    """Find folders of results.

    Args:
        path: a folder of results, its `final_metrics.json`, or a folder of such folders.
        recursive: whether to search all folders below `path`, instead of only those in it.

    Returns:
        The folders, sorted; hidden ones are left out.
    """
    path = Path(path)
    if path.name == SUMMARY and path.is_file():
        return [path.parent]
    if not path.is_dir():
        return []
    if recursive:
        files = list_files(path, [SUMMARY], recursive=True)
        return [file.parent for file in files if file.name == SUMMARY]
    if (path / SUMMARY).is_file():
        return [path]
    return [folder for folder in list_folders(path) if (folder / SUMMARY).is_file()]


def finished_track(folder: Path, settings_hash: str, number: int) -> dict | None:
    """Return a track's record if it is complete and of these settings."""
    try:
        record = json.loads(_track_path(folder, number).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = isinstance(record, dict) and record.get("settings") == settings_hash
    return record if complete else None


def write_track(folder: Path, record: Mapping) -> None:
    """Write the record of a track, which has its `number`."""
    path = _track_path(folder, record["number"])
    with writing_to(path):
        write_json(path, record)


def write_summary(folder: Path, summary: Mapping, records: Sequence[Mapping]) -> None:
    """Write the figures over all tracks, and the scores of each track as a line of CSV."""
    columns = [
        (measure, source) for measure, values in records[0]["scores"].items() for source in values
    ]
    names = [f"{measure}_{source}" for measure, source in columns]
    rows = []
    for record in records:
        values = [record["scores"][measure][source] for measure, source in columns]
        rows.append([record["name"], *values, record["seconds"], record["wall_seconds"]])
    with writing_to(folder / SUMMARY):
        write_text(folder / SCORES, to_csv(["track", *names, "seconds", "wall_seconds"], rows))
        write_json(folder / SUMMARY, summary)


def aggregate(records: Sequence[Mapping]) -> dict:
    """Return figures over all tracks: the mean of uSDR and SI-SDR, the median of the others.

    Returns:
        For each measure a dict from source to dB, with their mean under "mean"; NaN if no track has
        a score. Also `n_tracks`, and `seconds_per_second`, the audio processed per second of
        computing.
    """
    summary: dict = {"n_tracks": len(records)}
    for measure in records[0]["scores"]:
        how = np.mean if is_mean(measure) else np.median
        values = {}
        for source in records[0]["scores"][measure]:
            scores = np.array([float(record["scores"][measure][source]) for record in records])
            scores = scores[np.isfinite(scores)]
            values[source] = float(how(scores)) if len(scores) else float("nan")
        values["mean"] = float(np.mean(list(values.values())))
        summary[measure] = values
    seconds = sum(record["seconds"] for record in records)
    wall = sum(record["wall_seconds"] for record in records)
    summary["seconds_per_second"] = seconds / wall
    return summary


def _track_path(folder: Path, number: int) -> Path:
    return folder / "tracks" / f"{number:04d}.json"


def _read(path: Path, *keys: str) -> dict:
    """Read a JSON object, which must have the keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); evaluate first") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged, no valid JSON; evaluate again") from error
    if not isinstance(content, dict) or not set(keys) <= set(content):
        raise UserError(f"{path}: damaged, no record of an evaluation; evaluate again")
    return content
