"""Comparison of models with each other, and of the published weights with the paper's test rows.

Figures have confidence intervals, paired tests and costs. The paper (arXiv 2603.09187) reports cSDR
on the test tracks of MUSDB18-HQ: museval's SDR, the median over frames of one second and then over
tracks. Only the same measure on the same tracks is compared with it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bands import SOURCES
from ..costs import paper_table
from ..costs.record import read as read_ledger
from ..data import TEST_TRACKS
from ..data.musdb18 import MUSDB18HQ_SAMPLE_RATE
from ..errors import UserError
from ..tables import Cell
from . import oracles
from .datasets import EvaluationTracks
from .records import Record
from .scores import is_mean
from .statistics import Interval, compare_pairs, interval

MEASURES = ("usdr", "csdr")
MEAN = "mean"
LEVEL = 0.95
"""Confidence level of the intervals."""
COSTS_FILE = "costs.json"
_PAPER_MEASURE = "museval_sdr"
# The test tracks last 3.5 hours; musdb also offers excerpts of 7 s under the same names.
_LEAST_SECONDS = 3 * 3600
_NO_FIGURE = Interval(float("nan"), float("nan"), float("nan"), 0)


@dataclass(frozen=True)
class Row:
    """Row of a model or a reference point.

    Attributes:
        label: unique name of the row.
        figures: figures with their intervals, by measure and source; "mean" is over the common
            sources.
        costs: result of `speed.measure`; None if costs were not measured.
        training: `hours`, `kwh` and `finished` by the run's ledger; None without a ledger.
        paths: files with the figures: `record`, and `costs` and `ledger` if they exist.
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
        sources: names of all sources that are scored in a row, in order.
        common: names of the sources that all models estimate, for means and tests.
        rows: the mixture first, then models, then oracles.
        tests: results of `statistics.compare_pairs` for the models, by measure and source or
            "mean".
        test: name of the paired test.
        notes: notes for the reader.
    """

    sources: Sequence[str]
    common: Sequence[str]
    rows: Sequence[Row]
    tests: Mapping[str, Mapping[str, Sequence[Mapping]]]
    test: str
    n_tracks: int
    notes: Sequence[str]


def compare(
    records: Sequence[Record],
    *,
    costs: Mapping[Path, Mapping] | None = None,
    test: str = "wilcoxon",
) -> Comparison:
    """Compare the results of models and reference points.

    Args:
        records: results on the same tracks of the same data.
        costs: results of `speed.measure` by the folder of the record.
        test: as in `statistics.paired_test`.

    Raises:
        UserError: if there are no records, or two are of different data or tracks.
    """
    if not records:
        raise UserError("there is nothing to compare; give folders of results, or models")
    _check_same_data(records)
    records = sorted(records, key=_place)
    sources = list(dict.fromkeys(s for record in records for s in record.sources()))
    models = [record for record in records if not record.is_reference_point] or records
    common = [s for s in sources if all(s in record.sources() for record in models)]
    rows = [
        _row(label, record, common, (costs or {}).get(record.folder))
        for label, record in zip(_labels(records), records, strict=True)
    ]
    tests = {
        measure: {
            **{source: _tests(rows, measure, [source], test) for source in sources},
            MEAN: _tests(rows, measure, common, test),
        }
        for measure in MEASURES
    }
    n_tracks = len(records[0].tracks)
    notes = [*_notes_on_sources(sources, common, models), *_notes(rows, n_tracks)]
    return Comparison(sources, common, rows, tests, test, n_tracks, notes)


def read_costs(record: Record) -> dict | None:
    """Return the costs stored beside a record; None if there are none."""
    try:
        return json.loads((record.folder / COSTS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _row(label: str, record: Record, common: Sequence[str], costs: Mapping | None) -> Row:
    figures: dict[str, dict[str, Interval]] = {}
    for measure in MEASURES:
        how = {"mean": is_mean(measure), "level": LEVEL}
        figures[measure] = {
            source: interval(record.scores(measure, source), **how)
            for source in record.sources(measure)
        }
        figures[measure][MEAN] = (
            interval(record.table(measure, common), **how) if common else _NO_FIGURE
        )
    paths = {"record": record.path}
    if costs is not None and (record.folder / COSTS_FILE).is_file():
        paths["costs"] = record.folder / COSTS_FILE
    training, ledger = _training(record)
    if ledger is not None:
        paths["ledger"] = ledger
    return Row(label, record, figures, costs, training, paths)


def _training(record: Record) -> tuple[dict | None, Path | None]:
    """Return facts of the run's ledger and its path; None without a ledger."""
    given = record.model.get("ledger")
    if given is None:
        return None, None
    path = Path(os.path.normpath(record.folder / given))
    try:
        ledger = read_ledger(path)
    except UserError:
        return None, None
    totals, sessions = ledger["totals"], ledger["sessions"]
    complete = totals["epochs"] == totals["energy_epochs"] and totals["kwh"] is not None
    return {
        "hours": totals["hours"],
        "kwh": totals["kwh"] if complete else None,
        "finished": bool(sessions) and sessions[-1]["state"] == "finished",
    }, path


def _tests(
    rows: Sequence[Row], measure: str, sources: Sequence[str], test: str
) -> Sequence[Mapping]:
    """Test all pairs of models by the mean over the sources of each track."""
    scores = {}
    for row in rows:
        record = row.record
        known = set(sources) <= set(record.sources(measure))
        if record.is_reference_point or not sources or not known:
            continue
        table = np.ma.masked_invalid(record.table(measure, sources))
        scores[row.label] = table.mean(axis=1).filled(np.nan)
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
    """Return the sorting key: mixtures first, then models as given, then oracles."""
    if not record.is_reference_point or record.label not in oracles.names():
        return 1, 0
    return 2 * record.label.startswith("oracle"), oracles.names().index(record.label)


def _labels(records: Sequence[Record]) -> list[str]:
    """Return unique labels: repeated ones get the hash of the settings."""
    labels = [record.label for record in records]
    return [
        label if labels.count(label) == 1 else f"{label} [{r.summary['settings_hash'][:8]}]"
        for label, r in zip(labels, records, strict=True)
    ]


def _notes_on_sources(
    sources: Sequence[str], common: Sequence[str], models: Sequence[Record]
) -> list[str]:
    if list(common) == list(sources):
        return []
    if not common:
        return ["No mean and no test of it: the models have no source in common."]
    whose = "that all models estimate" if len(models) > 1 else "that the model estimates"
    return [f"Means and tests are over the sources {whose}: {', '.join(common)}."]


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


def paper_rows() -> dict[str, dict]:
    """Return the paper's test rows: name of the weights -> `title` and cSDR in dB by source."""
    paper = paper_table.paper_figures()["test"]
    return {
        name: dict(zip(paper["columns"], figures, strict=True))
        for name, figures in paper["rows"].items()
    }


def paper_obstacle(data: EvaluationTracks) -> str | None:
    """Return the reason why figures on these data are not comparable with the paper's, or None."""
    names = {track.name for track in data.tracks}
    found = len(names & set(TEST_TRACKS))
    if data.split != "test" or names != set(TEST_TRACKS):
        return (
            f"the tracks are not the {len(TEST_TRACKS)} test tracks of MUSDB18-HQ, but {found} of "
            f"those and {len(names) - found} other(s)"
        )
    if not set(SOURCES) <= set(data.sources):
        return f"the stems are {', '.join(data.sources)}, not {', '.join(SOURCES)}"
    if data.without_mixture:
        return f"{len(data.without_mixture)} track(s) have no mixture.wav"
    if any(track.sample_rate != MUSDB18HQ_SAMPLE_RATE for track in data.tracks):
        return f"not all tracks have a sample rate of {MUSDB18HQ_SAMPLE_RATE} Hz"
    seconds = sum(track.frames / track.sample_rate for track in data.tracks)
    if seconds < _LEAST_SECONDS:
        return f"the tracks last {seconds / 60:.0f} minutes in all, those of MUSDB18-HQ 3.5 hours"
    return None


def compare_with_paper(
    records: Sequence[Record], *, other_data: bool = False
) -> paper_table.Table | None:
    """Return the paper's test rows beside results of the published weights, with differences.

    Records of other models and those without museval's scores are left out; the result is None if
    none is left. `other_data` marks the figures as those of other data than the paper's.
    """
    paper = paper_table.paper_figures()["test"]
    by_name = {
        record.model.get("name"): record for record in records if _PAPER_MEASURE in record.summary
    }
    found = tuple(
        paper_table.Row(
            name,
            figures["title"],
            {column: figures[column] for column in paper_table.SCORES},
            _paper_figures_here(by_name[name].summary[_PAPER_MEASURE], other_data),
            (by_name[name].folder,),
        )
        for name, figures in paper_rows().items()
        if name in by_name
    )
    if not found:
        return None
    return paper_table.Table(
        paper["measure"], paper["decimals"], paper_table.SCORES, found, differences=True
    )


def _paper_figures_here(scores: Mapping[str, float], other_data: bool) -> dict[str, Cell | None]:
    """Return the figures by source, and their mean if there are four."""
    values = {source: float(scores.get(source, math.nan)) for source in SOURCES}
    values["mean"] = sum(values.values()) / len(SOURCES)
    marks = ("other_data",) if other_data else ()
    return {
        column: Cell(value, value, value, 1, marks) if math.isfinite(value) else None
        for column, value in values.items()
    }
