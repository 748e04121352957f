"""What stands in the tables of the page: texts, what to sort by, links to the records."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ..costs.paper_table import SCORES, Table
from ..costs.runs import Run, Value
from ..evaluation import oracles
from ..evaluation.comparison import MEASURES, Comparison, Row
from ..evaluation.comparison_table import UNFINISHED, Column, cost_columns, score_columns
from .paper import shown
from .training import Training

# Paths of copies of records: row's label -> "record", "costs" or "ledger" -> path in the report.
Links = Mapping[str, Mapping[str, str]]

_PAPER_TITLES = {
    "parameters": "M params",
    "codecarbon_kwh": "kWh, CodeCarbon",
    "green_algorithms_kwh": "kWh, Green Algorithms",
}
_LESS_IS_BETTER = ("RTF",)


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: what stands in it.
        detail: smaller, below it.
        link: to where the figure comes from.
        sort: what to sort by; None for an empty cell, which comes last.
        best: whether no other model has a better figure.
    """

    text: str
    detail: str = ""
    link: str = ""
    sort: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Heading:
    """A column's head.

    Attributes:
        title: of the column.
        group: "usdr", "csdr" or "cost".
    """

    title: str
    group: str


@dataclass(frozen=True)
class Line:
    """A row of a table.

    Attributes:
        title: of the row.
        cells: behind it.
        note: beside the title.
        is_reference_point: whether it is no model.
        colour: number of its series in charts; None for reference points.
    """

    title: str
    cells: Sequence[Cell]
    note: str = ""
    is_reference_point: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Sheet:
    """A table.

    Attributes:
        headings: of the columns behind the first.
        lines: its rows.
    """

    headings: Sequence[Heading]
    lines: Sequence[Line] = field(default_factory=list)


def comparison_sheet(comparison: Comparison, links: Links) -> Sheet:
    """The comparison, as `asteroid-bsrnn compare` prints it."""
    columns = [(m, column) for m in MEASURES for column in score_columns(comparison, m)]
    columns += [("cost", c) for c in cost_columns() if any(map(c.text, comparison.rows))]
    headings = [Heading(_short(column.title), group) for group, column in columns]
    models = [row for row in comparison.rows if not row.record.is_reference_point]
    best = [_best(column, models, group) for group, column in columns]
    lines = []
    for row in comparison.rows:
        reference = row.record.is_reference_point
        cells = [
            _cell(row, column, links[row.label], None if reference else top)
            for (_, column), top in zip(columns, best, strict=True)
        ]
        lines.append(
            Line(row.label, cells, _note(row), reference, None if reference else models.index(row))
        )
    return Sheet(headings, lines)


def paper_sheet(table: Table) -> Sheet:
    """One of the paper's tables: for every column a cell of the paper's, and one of ours."""
    headings = [
        Heading(_PAPER_TITLES.get(c, c), "score" if c in SCORES else "cost") for c in table.columns
    ]
    lines = []
    for row in table.rows:
        cells = []
        for column in table.columns:
            paper, here = row.paper[column], row.here[column]
            cells.append(Cell(shown(paper, column, table.decimals), sort=paper))
            detail = ""
            if here is not None and here.n > 1 and column != "parameters":
                low, high = (shown(v, column, table.decimals) for v in (here.low, here.high))
                detail = f"{low} to {high}, n={here.n}"
            mean = None if here is None else here.mean
            cells.append(Cell(shown(here, column, table.decimals), detail, sort=mean))
        lines.append(Line(row.title, cells, row.name or ""))
    return Sheet(headings, lines)


def trainings_sheet(
    trainings: Sequence[Training], sources: Sequence[str], links: Mapping[str, str]
) -> Sheet:
    """Runs on any data: what their best validation gave and what they took.

    Args:
        trainings: the runs.
        sources: that any of them separates.
        links: from a run's label to the copy of its ledger.
    """
    costs: dict[str, Callable[[Run], Value | float | None]] = {
        "M params": Run.parameters,
        "epochs": lambda run: run.record["totals"]["epochs"],
        "hours": lambda run: run.record["totals"]["hours"],
        "kWh, CodeCarbon": Run.codecarbon_kwh,
        "kWh, Green Algorithms": Run.green_algorithms_kwh,
    }
    headings = [Heading(source, "usdr") for source in sources]
    headings += [Heading(title, "cost") for title in costs]
    lines = []
    for index, training in enumerate(trainings):
        run, link = training.run, links[training.label]
        cells = [_value_cell(run.validation_score(source), ".2f", link) for source in sources]
        cells += [_value_cell(value(run), ".3g", link) for value in costs.values()]
        note = run.row if run.row != training.label else ""
        lines.append(Line(training.label, cells, note, colour=index))
    return Sheet(headings, lines)


def _cell(row: Row, column: Column, links: Mapping[str, str], best: float | None) -> Cell:
    text = column.text(row)
    if not text:
        return Cell("")
    number = _number(text)
    detail = _minus(column.interval(row))
    return Cell(_minus(text), detail, links.get(column.path, ""), number, number == best)


def _best(column: Column, models: Sequence[Row], group: str) -> float | None:
    """The best figure of all models; None where best has no meaning, or there is one only."""
    numbers = [_number(text) for row in models if (text := column.text(row))]
    if len(numbers) < 2:
        return None
    if group in MEASURES:
        return max(numbers)
    return min(numbers) if column.title in _LESS_IS_BETTER else None


def _value_cell(value: Value | float | None, form: str, link: str) -> Cell:
    if value is None:
        return Cell("")
    if not isinstance(value, Value):
        return Cell(f"{value:{form}}", link=link, sort=value)
    marks = ("≈" if value.extrapolated else ""), (UNFINISHED if value.unfinished else "")
    return Cell(f"{marks[0]}{value.number:{form}}{marks[1]}", link=link, sort=value.number)


def _note(row: Row) -> str:
    if row.record.is_reference_point and row.record.label in oracles.names():
        return oracles.description(row.record.label)
    return row.record.summary.get("model", {}).get("class") or ""


def _short(title: str) -> str:
    """A column's title without its measure, which stands above it."""
    return title.removeprefix("uSDR ").removeprefix("cSDR ")


def _minus(text: str) -> str:
    """Text with real minus signs, as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def _number(text: str) -> float:
    value = float(text.rstrip(UNFINISHED))
    return value if math.isfinite(value) else math.nan
