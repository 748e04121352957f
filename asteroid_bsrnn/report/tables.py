"""Tables of the page: values of comparisons, of training runs and of the paper."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..costs import paper_table
from ..costs.runs import Run, Value
from ..data.musdb18hq import MUSDB18HQ_COUNTS
from ..evaluation import comparison_table, oracles
from ..evaluation.comparison import Comparison, Row
from ..evaluation.records import SUMMARY
from ..tables import EMPTY, Cell, Column
from .learning_curves import Training

# Copies of records: row's label -> "record", "costs" or "ledger" -> path in the report.
Links = Mapping[str, Mapping[str, str]]

# Folder in a run's folder where the recipe writes the results on the test tracks.
TEST_RESULTS = "evaluation_test"


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        title: of the row.
        cells: values of the columns.
        best: indices of the cells that no other model exceeds.
        note: shown beside the title.
        is_reference_point: whether it is the mixture or an oracle rather than a model.
        colour: number of its series in charts; None for reference points.
    """

    title: str
    cells: Sequence[Cell]
    best: frozenset[int] = frozenset()
    note: str = ""
    is_reference_point: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        columns: behind the title.
        groups: "usdr", "csdr" or "cost" for each column.
        lines: its rows. Tables with the paper's figures have two cells a column.
    """

    columns: Sequence[Column]
    groups: Sequence[str]
    lines: Sequence[Line]


def comparison_sheet(comparison: Comparison, links: Links) -> Sheet:
    """Return the table that `asteroid-bsrnn compare` prints."""
    columns = comparison_table.columns_of(comparison)
    models = [row for row in comparison.rows if not row.record.is_reference_point]
    best = [_best(column, models) for column in columns]
    lines = []
    for row in comparison.rows:
        cells = [
            replace(column.cell(row), link=links[row.label].get(column.path, ""))
            for column in columns
        ]
        reference = row.record.is_reference_point
        reached = {
            index
            for index, (cell, top) in enumerate(zip(cells, best, strict=True))
            if top is not None and cell.value == top
        }
        lines.append(
            Line(
                row.label,
                cells,
                frozenset() if reference else frozenset(reached),
                _note(row),
                reference,
                None if reference else models.index(row),
            )
        )
    # The measure is shown above the table.
    names = tuple(f"{name} " for name in comparison_table.NAMES.values())
    titles = [c.title.removeprefix(names[0]).removeprefix(names[1]) for c in columns]
    short = [replace(column, title=title) for column, title in zip(columns, titles, strict=True)]
    return Sheet(short, [column.group for column in columns], lines)


def trainings_sheet(
    trainings: Sequence[Training], sources: Sequence[str], links: Mapping[str, str]
) -> Sheet:
    """Return the best validation scores and the costs of runs on any data.

    Args:
        trainings: the runs.
        sources: sources that any of them separates.
        links: from a run's label to the copy of its ledger.
    """
    costs: dict[Column, Callable[[Run], Value | float | None]] = {
        Column("M params"): Run.parameters,
        Column("epochs"): lambda run: run.record["totals"]["epochs"],
        Column("hours"): lambda run: run.record["totals"]["hours"],
        Column("CodeCarbon", "kWh"): Run.codecarbon_kwh,
        Column("Green Algorithms", "kWh"): Run.green_algorithms_kwh,
    }
    columns = [*(Column(source, decimals=2) for source in sources), *costs]
    groups = ["usdr"] * len(sources) + ["cost"] * len(costs)
    lines = []
    for index, training in enumerate(trainings):
        run, link = training.run, links[training.label]
        values = [run.validation_score(source) for source in sources]
        values += [value(run) for value in costs.values()]
        note = run.row if run.row != training.label else ""
        cells = [_cell(value, link) for value in values]
        lines.append(Line(training.label, cells, note=note, colour=index))
    return Sheet(columns, groups, lines)


def paper_sheet(table: paper_table.Table) -> Sheet:
    """Return one of the paper's tables: for each column the paper's figure and that of the runs."""
    lines = []
    for row in table.rows:
        cells = []
        for column in table.columns:
            cells += [Cell(row.paper[column]), paper_table.cell_of(row.here[column])]
        lines.append(Line(row.title, cells, note=row.name or ""))
    groups = ["score" if name in paper_table.SCORES else "cost" for name in table.columns]
    return Sheet(paper_table.columns_of(table), groups, lines)


def paper_tables(runs: Sequence[Run]) -> dict[str, paper_table.Table]:
    """Return the paper's tables of validation and test scores with the runs on MUSDB18-HQ.

    Args:
        runs: on any data; those on other data are left out.

    Raises:
        UserError: if runs cannot share a row.
    """
    folders = [run.folder for run in runs if on_musdb18hq(run)]
    scores = {folder: found for folder in folders if (found := _test_scores(folder))}
    return {
        "validation": paper_table.collect(folders),
        "test": paper_table.collect(list(scores), test_scores=scores),
    }


def on_musdb18hq(run: Run) -> bool:
    """Return whether a run was trained on MUSDB18-HQ, according to its configuration."""
    data = run.configuration.get("data")
    return isinstance(data, Mapping) and data.get("musdb18hq") is True


def _test_scores(folder: Path) -> dict[str, float] | None:
    """Return the cSDR by source of an evaluation on all test tracks."""
    try:
        summary = json.loads((folder / TEST_RESULTS / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if summary["n_tracks"] != MUSDB18HQ_COUNTS["test"]:
        return None
    return {source: score for source, score in summary["csdr"].items() if source != "mean"}


def _best(column: comparison_table.Column, models: Sequence[Row]) -> float | None:
    """Return the best value of all models; None for a single one, or where none is better."""
    values = [value for row in models if (value := column.cell(row).value) is not None]
    return column.best(values) if column.best and len(values) > 1 else None


def _cell(value: Value | float | None, link: str) -> Cell:
    if value is None:
        return EMPTY
    if not isinstance(value, Value):
        return Cell(value, link=link)
    if math.isnan(value.number):
        return EMPTY
    marks = [name for name in ("extrapolated", "unfinished") if getattr(value, name)]
    return Cell(value.number, marks=tuple(marks), link=link)


def _note(row: Row) -> str:
    if row.record.is_reference_point and row.record.label in oracles.names():
        return oracles.description(row.record.label)
    return row.record.summary.get("model", {}).get("class") or ""
