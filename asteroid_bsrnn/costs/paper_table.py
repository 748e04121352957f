"""The paper's tables (arXiv 2603.09187) with the same figures of runs, and their written forms.

A row of single-source networks has a run for each source. Its mean score is over the four sources,
and its parameters and energies are sums; they are empty if a source is missing. Runs that differ
only in their seed give a mean with the lowest and the highest value. Runs that differ in other
relevant settings are refused.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from .. import tables
from ..bands import SOURCES
from ..errors import UserError
from ..tables import MARKS, Cell, Column
from .runs import Run, check_alike

SCORES = (*SOURCES, "mean")
COSTS: Mapping[str, Callable[[Run], Cell | None]] = {
    "parameters": Run.parameters,
    "codecarbon_kwh": Run.codecarbon_kwh,
    "green_algorithms_kwh": Run.green_algorithms_kwh,
}


@dataclass(frozen=True)
class Row:
    """Row of the table.

    Attributes:
        name: name of the row; None for other work that the paper lists.
        title: title in the paper.
        paper: figure of the paper, or None, by column.
        here: mean over runs with different seeds, or None, by column; with the lowest and highest
            value, and the number of seeds, which is also 1 if the sources of a row have different
            seeds.
        folders: of the runs.
    """

    name: str | None
    title: str
    paper: Mapping[str, float | None]
    here: Mapping[str, Cell | None]
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Table:
    """Figures of the paper and of runs.

    Attributes:
        measure: of the scores.
        decimals: of the scores.
        columns: `SCORES`, and for validation `COSTS`: parameters in millions, energies in kWh.
        rows: rows in the paper's order, followed by others.
        differences: whether the written forms also have the runs' figures minus the paper's.
    """

    measure: str
    decimals: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    differences: bool = False


def collect(
    run_folders: Iterable[str | Path],
    *,
    test_scores: Mapping[str | Path, Mapping[str, float]] | None = None,
) -> Table:
    """Collect runs into the table.

    Args:
        run_folders: folders with a `ledger.json`; a repeated folder counts once.
        test_scores: for the table of test scores, cSDR in dB by source and by folder of the run;
            None for the table of validation scores, parameters and energies.

    Raises:
        UserError: if a ledger is missing or damaged, runs cannot share a row (they differ in
            configuration or data, have the same seed, or only some separate single sources), or
            there are test scores of another folder.
    """
    folders = {Path(folder).resolve(): Path(folder) for folder in run_folders}
    runs = [Run.load(folder) for folder in folders.values()]
    paper = paper_figures()["validation" if test_scores is None else "test"]
    columns = (*SCORES, *COSTS) if test_scores is None else SCORES
    names = [*paper["rows"], *sorted({run.row for run in runs} - set(paper["rows"]))]
    scores = None
    if test_scores is not None:
        scores = {Path(folder).resolve(): value for folder, value in test_scores.items()}
        for folder in scores.keys() - folders.keys():
            raise UserError(f"{folder}: has test scores but is not among the runs; add it")
    rows = []
    for name in names:
        of_row = [run for run in runs if run.row == name]
        check_alike(of_row)
        figures = dict(zip(paper["columns"], paper["rows"].get(name, [name]), strict=False))
        rows.append(_row(name, figures, columns, of_row, scores))
    for figures in paper.get("other_work", []):
        rows.append(
            _row(None, dict(zip(paper["columns"], figures, strict=True)), columns, [], None)
        )
    return Table(paper["measure"], paper["decimals"], columns, tuple(rows))


def differences(row: Row, columns: Iterable[str]) -> dict[str, float | None]:
    """Return the runs' figure minus the paper's for every column, None if one is missing."""
    pairs = {column: (row.here[column], row.paper[column]) for column in columns}
    return {
        column: None if here is None or paper is None else here.value - paper
        for column, (here, paper) in pairs.items()
    }


@functools.cache
def paper_figures() -> dict[str, Any]:
    """Return the paper's figures, `paper_table.json`."""
    return json.loads(Path(__file__).with_name("paper_table.json").read_text(encoding="utf-8"))


def to_markdown(table: Table) -> str:
    """Return the table as Markdown, with a legend of its marks."""
    shown = _shown(table)
    legend = [*_spread(table), *shown.legend()]
    lines = [f"Scores: {table.measure}.", "", tables.to_markdown(shown)]
    return "\n".join([*lines, *(["", *legend] if legend else [])]) + "\n"


def to_latex(table: Table) -> str:
    """Return the table as LaTeX's `tabular` for booktabs, with a legend as comments."""
    shown = _shown(table)
    comments = [table.measure, *_spread(table), *shown.legend(latex=True)]
    return tables.to_latex(shown, comments) + "\n"


def to_csv(table: Table) -> str:
    """Return the table as CSV, unrounded.

    Each column becomes several: `_paper`, the paper's figure; `_here`, the mean over `_n` runs with
    different seeds, from `_low` to `_high`; `_marks`, names of `tables.MARKS`; and `_difference`,
    `_here` minus `_paper`, in tables that have it. Parameters are in millions.
    """
    parts = ("paper", "here", "low", "high", "n", "marks")
    parts += ("difference",) if table.differences else ()
    rows = []
    for row in table.rows:
        cells: list[object] = [row.name, row.title]
        difference = differences(row, table.columns)
        for column in table.columns:
            here = row.here[column] or tables.EMPTY
            cells += [row.paper[column], here.value, here.low, here.high, here.n]
            cells.append(" ".join(here.marks))
            cells += [difference[column]] if table.differences else []
        rows.append(cells)
    headings = ["row", "title", *(f"{c}_{part}" for c in table.columns for part in parts)]
    return tables.to_csv(headings, rows)


FORMATS: dict[str, Callable[[Table], str]] = {".md": to_markdown, ".csv": to_csv, ".tex": to_latex}


def write(table: Table, path: str | Path) -> None:
    """Write the table to a file ending in .md, .csv or .tex; its folder is made if need be.

    Raises:
        UserError: for another suffix, or a file that cannot be written.
    """
    tables.write(path, FORMATS, table)


def columns_of(table: Table) -> list[Column]:
    """Return the columns with their units and decimals."""
    titles = {
        "parameters": Column("M params", group="cost"),
        "codecarbon_kwh": Column("CodeCarbon", "kWh", group="cost"),
        "green_algorithms_kwh": Column("Green Algorithms", "kWh", group="cost"),
    }
    score = {"decimals": table.decimals, "group": "score"}
    return [titles.get(c) or Column(c, **score) for c in table.columns]


def _shown(table: Table) -> tables.Table:
    """Return the lines of the written forms: the paper's, those of runs, and the differences."""
    columns = columns_of(table)
    rows: list[tuple[list[str], list[Cell]]] = []
    for row in table.rows:
        rows.append(([row.title, "Paper"], [Cell(row.paper[column]) for column in table.columns]))
        if row.name is None:
            continue
        label = f"`{row.name}`"
        rows.append(
            ([label, "Here"], [row.here[column] or tables.EMPTY for column in table.columns])
        )
        if table.differences:
            found = differences(row, table.columns).values()
            rows.append(([label, "Difference"], [Cell(value, signed=True) for value in found]))
    return tables.Table(["Row", ""], columns, rows)


def _spread(table: Table) -> list[str]:
    several = any(f.n > 1 for row in table.rows for f in row.here.values() if f is not None)
    return ["In brackets: lowest and highest of n runs with different seeds."] if several else []


def _row(
    name: str | None,
    figures: Mapping[str, Any],
    columns: Sequence[str],
    runs: Sequence[Run],
    test_scores: Mapping[Path, Mapping[str, float]] | None,
) -> Row:
    """Build a row from the paper's figures and the runs."""

    def score(source: str) -> Callable[[Run], Cell | None]:
        if test_scores is None:
            return lambda run: run.validation_score(source)
        return lambda run: run.value(test_scores.get(run.folder.resolve(), {}).get(source))

    by_source = {
        source: _by_seed([run for run in runs if run.source in (None, source)], score(source))
        for source in SOURCES
    }
    here = {source: _over_seeds([*values.values()]) for source, values in by_source.items()}
    here["mean"] = _combined(list(by_source.values()), fmean)
    # A network for all sources counts once; networks of one source add up.
    simo = any(run.source is None for run in runs)
    parts = [runs] if simo else [[r for r in runs if r.source == source] for source in SOURCES]
    for cost, value in COSTS.items():
        here[cost] = _combined([_by_seed(part, value) for part in parts], sum)
    return Row(
        name,
        figures["title"],
        {column: figures.get(column) for column in columns},
        {column: here[column] for column in columns},
        tuple(run.folder for run in runs),
    )


def _by_seed(runs: Sequence[Run], value: Callable[[Run], Cell | None]) -> dict[int | Path, Cell]:
    """Return the value by seed; complete runs take precedence over those cut short."""
    values: dict[int | Path, Cell] = {}
    for run in sorted(runs, key=lambda run: run.cut_short):
        found = value(run)
        if found is not None:
            values.setdefault(run.seed if run.seed is not None else run.folder, found)
    return values


def _combined(
    parts: Sequence[Mapping[int | Path, Cell]], operation: Callable[[list[float]], float]
) -> Cell | None:
    """Combine the values of all parts by seed; None if a part has none."""
    if not all(parts):
        return None
    if all(part.keys() == parts[0].keys() for part in parts):
        together = [[part[seed] for part in parts] for seed in parts[0]]
        return _over_seeds([_merged(values, operation) for values in together])
    means = [_merged(list(part.values()), fmean) for part in parts]
    return _over_seeds([_merged(means, operation)])


def _merged(cells: Sequence[Cell], operation: Callable[[list[float]], float]) -> Cell:
    """Return the result of an operation on values, with the marks of all of them."""
    used = {mark for cell in cells for mark in cell.marks}
    marks = tuple(mark for mark in MARKS if mark in used)
    return Cell(operation([cell.value for cell in cells]), marks=marks)


def _over_seeds(cells: Sequence[Cell]) -> Cell | None:
    """Return the mean of values with their lowest, highest and number; None without any."""
    if not cells:
        return None
    values = [cell.value for cell in cells]
    return replace(_merged(cells, fmean), low=min(values), high=max(values), n=len(values))
