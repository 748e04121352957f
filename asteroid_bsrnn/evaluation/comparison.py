"""Models side by side: figures with their confidence, paired tests, costs; no word of layout."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..costs.record import read as read_ledger
from ..errors import UserError
from . import oracles
from .records import Record
from .statistics import Interval, compare_pairs, interval
from .tracks import is_mean

MEASURES = ("usdr", "csdr")
MEAN = "mean"
COSTS_FILE = "costs.json"


@dataclass(frozen=True)
class Row:
    """A model's or a reference point's row.

    Attributes:
        label: what it is called, unlike all others.
        record: its results.
        figures: measure -> source, or "mean" over the sources -> figure with its interval.
        costs: as `costs.measure` gives them; None where they were not measured.
        training: `hours` and `kwh` of the run's ledger, whether it is `finished`; None without.
        paths: where figures come from: `record`, and `costs` and `ledger` where there are such.
    """

    label: str
    record: Record
    figures: Mapping[str, Mapping[str, Interval]]
    costs: Mapping[str, Any] | None
    training: Mapping[str, Any] | None
    paths: Mapping[str, Path]

    @property
    def parameters(self) -> int | None:
        """Number of parameters."""
        known = self.record.model.get("parameters")
        return self.costs["parameters"] if self.costs else known


@dataclass(frozen=True)
class Comparison:
    """Rows on the same tracks.

    Attributes:
        sources: names of all sources that a row scores, in order.
        rows: reference points of the mixture first, oracles last.
        tests: measure -> source or "mean" -> what `statistics.compare_pairs` gives for the models.
        test: name of the paired test.
        level: of the intervals.
        n_tracks: number of tracks.
        notes: what a reader must know.
    """

    sources: Sequence[str]
    rows: Sequence[Row]
    tests: Mapping[str, Mapping[str, Sequence[Mapping]]]
    test: str
    level: float
    n_tracks: int
    notes: Sequence[str]


def compare(
    records: Sequence[Record],
    *,
    costs: Mapping[Path, Mapping] | None = None,
    test: str = "wilcoxon",
    level: float = 0.95,
) -> Comparison:
    """Bring results together.

    Args:
        records: of models and reference points, on the same tracks of the same data.
        costs: from a record's folder to what `costs.measure` gave.
        test: as in `statistics.paired_test`.
        level: of the confidence intervals.

    Raises:
        UserError: if there is none, or two are of different data or tracks.
    """
    if not records:
        raise UserError("there is nothing to compare; give folders of results, or models")
    _check_same_data(records)
    ordered = sorted(records, key=_place)
    labels = _labels(ordered)
    rows = [
        _row(label, record, (costs or {}).get(record.folder), level)
        for label, record in zip(labels, ordered, strict=True)
    ]
    sources = list(dict.fromkeys(s for row in rows for s in row.record.sources()))
    tests = {
        measure: {source: _tests(rows, measure, source, test) for source in [*sources, MEAN]}
        for measure in MEASURES
    }
    n_tracks = len(records[0].tracks)
    return Comparison(sources, rows, tests, test, level, n_tracks, _notes(rows, n_tracks))


def read_costs(record: Record) -> dict | None:
    """Costs that were measured before; None where there are none."""
    try:
        return json.loads((record.folder / COSTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _row(label: str, record: Record, costs: Mapping | None, level: float) -> Row:
    figures: dict[str, dict[str, Interval]] = {}
    for measure in MEASURES:
        sources = record.sources(measure)
        table = np.stack([record.scores(measure, source) for source in sources], axis=1)
        how = {"mean": is_mean(measure), "level": level}
        figures[measure] = {
            source: interval(table[:, index], **how) for index, source in enumerate(sources)
        }
        figures[measure][MEAN] = interval(table, **how)
    paths = {"record": record.path}
    if costs is not None and (record.folder / COSTS_FILE).is_file():
        paths["costs"] = record.folder / COSTS_FILE
    training, ledger = _training(record)
    if ledger is not None:
        paths["ledger"] = ledger
    return Row(label, record, figures, costs, training, paths)


def _training(record: Record) -> tuple[dict | None, Path | None]:
    """What the run's ledger tells, if there is one."""
    given = record.model.get("ledger")
    if given is None:
        return None, None
    path = Path(os.path.normpath(record.folder / given))
    try:
        ledger = read_ledger(path)
    except UserError:
        return None, None
    totals, sessions = ledger["totals"], ledger["sessions"]
    whole = totals["epochs"] == totals["energy_epochs"] and totals["kwh"] is not None
    return {
        "hours": totals["hours"],
        "kwh": totals["kwh"] if whole else None,
        "finished": bool(sessions) and sessions[-1]["state"] == "finished",
    }, path


def _tests(rows: Sequence[Row], measure: str, source: str, test: str) -> list[dict]:
    """Paired tests of all models that score a source."""
    scores = {}
    for row in rows:
        record = row.record
        if record.is_reference_point:
            continue
        if source == MEAN:
            names = record.sources(measure)
        else:
            names = [source] if source in record.sources(measure) else []
        if names:
            table = np.stack([record.scores(measure, name) for name in names], axis=1)
            finite = np.where(np.isfinite(table), table, np.nan)
            silent = np.isnan(finite).all(axis=1)
            finite[silent] = 0
            scores[row.label] = np.where(silent, np.nan, np.nanmean(finite, axis=1))
    return compare_pairs(scores, mean=is_mean(measure), test=test)


def _check_same_data(records: Sequence[Record]) -> None:
    first = records[0]
    for other in records[1:]:
        one, two = (r.summary["settings"] for r in (first, other))
        for key in ("data_fingerprint", "part"):
            if one.get(key) != two.get(key):
                raise UserError(
                    f"{first.folder} and {other.folder}: evaluated on different data ({key}); "
                    "compare them apart"
                )
        if first.names != other.names:
            raise UserError(
                f"{first.folder} and {other.folder}: evaluated on different tracks; compare them "
                "apart"
            )
    folders = [record.folder.resolve() for record in records]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UserError(f"{folder}: given twice; give it once")


def _place(record: Record) -> tuple[int, int]:
    """Mixtures first, then models as they were given, then oracles."""
    if not record.is_reference_point or record.label not in oracles.names():
        return 1, 0
    return 2 * record.label.startswith("oracle"), oracles.names().index(record.label)


def _labels(records: Sequence[Record]) -> list[str]:
    """Labels; those that are there twice get the hash of their settings."""
    labels = [record.label for record in records]
    return [
        label if labels.count(label) == 1 else f"{label} [{r.summary['settings_hash'][:8]}]"
        for label, r in zip(labels, records, strict=True)
    ]


def _notes(rows: Sequence[Row], n_tracks: int) -> list[str]:
    notes = []
    models = [row for row in rows if not row.record.is_reference_point]
    for name, key in (("separation", "separator"), ("versions", "versions")):
        values = {json.dumps(row.record.summary["settings"].get(key)) for row in models}
        if len(values) > 1:
            notes.append(f"The models differ in {name}; see the records' settings.")
    devices = sorted({_device(row.costs) for row in models if row.costs})
    if devices:
        notes.append(f"Speed and memory: {'; '.join(devices)}.")
    summed = [row for row in rows if row.record.summary.get("data", {}).get("without_mixture")]
    if summed:
        notes.append("Tracks without a mixture.wav: their mixture is the sum of the stems.")
    if n_tracks < 6:
        notes.append(f"{n_tracks} track(s) are too few for a test to show a difference.")
    return notes


def _device(costs: Mapping) -> str:
    threads = costs.get("threads")
    return f"{costs['device']}, {threads} thread(s)" if threads else costs["device"]
