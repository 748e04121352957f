"""Runs collected into the paper's table (arXiv 2603.09187), the paper's figures beside them.

A row of single-source networks takes a run for each source: its mean score is over the four, its
parameters and energies are their sums; with a source missing these stay empty. Runs that differ in
nothing but their seed give a mean and a spread, from the lowest to the highest. Runs that differ
in anything else that matters are never mixed: collecting them together is an error.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from ..bands import SOURCES
from ..errors import UserError
from .runs import PER_RUN_KEYS, Run, Value, check_alike

SCORES = (*SOURCES, "mean")
COSTS: Mapping[str, Callable[[Run], Value | None]] = {
    "parameters": Run.parameters,
    "codecarbon_kwh": Run.codecarbon_kwh,
    "green_algorithms_kwh": Run.green_algorithms_kwh,
}


@dataclass(frozen=True)
class Figure:
    """What the runs of a cell give.

    Attributes:
        mean: over the runs with different seeds.
        low: lowest of them.
        high: highest of them.
        n: number of seeds; 1 too where the sources of a row have different ones, which gives a
            mean and no spread.
        extrapolated: whether a run of them measured some epochs and was extrapolated.
        unfinished: whether a run of them has not come to its end.
        other_data: whether it was computed on other data than the paper's.
    """

    mean: float
    low: float
    high: float
    n: int
    extrapolated: bool = False
    unfinished: bool = False
    other_data: bool = False


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: of the row; None for work that is not a row of ours.
        title: the paper's words.
        paper: the paper's figure of every column, or None.
        here: what the runs give for every column, or None.
        folders: of the runs.
    """

    name: str | None
    title: str
    paper: Mapping[str, float | None]
    here: Mapping[str, Figure | None]
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Table:
    """The paper's table, ours beside it.

    Attributes:
        measure: what the scores are.
        decimals: of the paper's scores.
        columns: `SCORES`, and `COSTS` where the table has them: parameters in millions, energies
            in kWh.
        rows: in the paper's order, then rows that the paper does not have.
        differences: whether the written forms show the figures here minus the paper's too.
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
    per_run_keys: Sequence[str] = PER_RUN_KEYS,
) -> Table:
    """Collect runs.

    Args:
        run_folders: folders with a `ledger.json`; one that comes twice counts once.
        test_scores: None for the table of validation scores, parameters and energies. Else, for
            the table of test scores, from a run's folder to its cSDR in dB by source.
        per_run_keys: keys of the configuration, at any depth, in which runs of a cell may differ.

    Raises:
        UserError: if a ledger is missing or damaged, runs can't be in one row (they were
            configured or fed differently, have the same seed, or are partly of single sources), or
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
        check_alike(of_row, per_run_keys)
        figures = dict(zip(paper["columns"], paper["rows"].get(name, [name]), strict=False))
        rows.append(_row(name, figures, columns, of_row, scores))
    for figures in paper.get("other_work", []):
        rows.append(
            _row(None, dict(zip(paper["columns"], figures, strict=True)), columns, [], None)
        )
    return Table(paper["measure"], paper["decimals"], columns, tuple(rows))


def differences(row: Row, columns: Iterable[str]) -> dict[str, float | None]:
    """Return for every column the figure here minus the paper's, None where one is missing."""
    pairs = {column: (row.here[column], row.paper[column]) for column in columns}
    return {
        column: None if here is None or paper is None else here.mean - paper
        for column, (here, paper) in pairs.items()
    }


@functools.cache
def paper_figures() -> dict[str, Any]:
    """The paper's figures, `paper_table.json`."""
    return json.loads(Path(__file__).with_name("paper_table.json").read_text(encoding="utf-8"))


def _row(
    name: str | None,
    figures: Mapping[str, Any],
    columns: Sequence[str],
    runs: Sequence[Run],
    test_scores: Mapping[Path, Mapping[str, float]] | None,
) -> Row:
    """A row from the paper's figures and the runs."""

    def score(source: str) -> Callable[[Run], Value | None]:
        if test_scores is None:
            return lambda run: run.validation_score(source)
        return lambda run: run.value(test_scores.get(run.folder.resolve(), {}).get(source))

    by_source = {
        source: _by_seed([run for run in runs if run.source in (None, source)], score(source))
        for source in SOURCES
    }
    here = {source: _figure(values.values()) for source, values in by_source.items()}
    here["mean"] = _combined(list(by_source.values()), fmean)
    # One network for all sources has its costs once, networks of one source have them each.
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


def _by_seed(runs: Sequence[Run], value: Callable[[Run], Value | None]) -> dict[int | Path, Value]:
    """The value of each seed that has one; a whole run counts before one cut short."""
    values: dict[int | Path, Value] = {}
    for run in sorted(runs, key=lambda run: run.cut_short):
        found = value(run)
        if found is not None:
            values.setdefault(run.seed if run.seed is not None else run.folder, found)
    return values


def _combined(
    parts: Sequence[Mapping[int | Path, Value]], operation: Callable[[list[float]], float]
) -> Figure | None:
    """One figure from those of all parts, seed by seed; None where a part has none."""
    if not all(parts):
        return None
    if all(part.keys() == parts[0].keys() for part in parts):
        together = [[part[seed] for part in parts] for seed in parts[0]]
        return _figure([Value.merge(values, operation) for values in together])
    means = [Value.merge(list(part.values()), fmean) for part in parts]
    return _figure([Value.merge(means, operation)])


def _figure(values: Iterable[Value]) -> Figure | None:
    values = list(values)
    if not values:
        return None
    numbers = [value.number for value in values]
    return Figure(
        fmean(numbers),
        min(numbers),
        max(numbers),
        len(numbers),
        any(value.extrapolated for value in values),
        any(value.unfinished for value in values),
    )
