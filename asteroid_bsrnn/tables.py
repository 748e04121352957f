"""Tables of values: one rounding, and writers for the terminal, Markdown, CSV and LaTeX.

pandas would need tabulate for Markdown and jinja2 for LaTeX, and it cannot mix escaped text with
links and marks in a cell; these writers need nothing.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .errors import UserError
from .files import write_text


class Mark(NamedTuple):
    """A mark of a value: its sign in text and in LaTeX, its explanation, and its place."""

    text: str
    latex: str
    meaning: str
    before: bool = False


MARKS: Mapping[str, Mark] = {
    "extrapolated": Mark("≈", r"$\approx$", "extrapolated from some epochs", before=True),
    "unfinished": Mark("†", r"$^\dagger$", "the training has not come to its end"),
    "other_data": Mark("‡", r"$^\ddagger$", "on other data than the paper's: not comparable"),
}


def rounded(value: float | None, decimals: int | None = None, signed: bool = False) -> str:
    """Return a value as all tables show it.

    Args:
        value: None and NaN give "".
        decimals: number of decimals. None shows three significant digits, and all digits of a
            whole part that has more.
        signed: whether a positive value gets a sign.
    """
    if value is None or math.isnan(value):
        return ""
    if decimals is not None:
        text = f"{value:.{decimals}f}"
    else:
        text = f"{value:.0f}" if abs(value) >= 99.95 else f"{value:.3g}"
    if float(text) == 0:
        return text.removeprefix("-")
    return f"+{text}" if signed and value > 0 else text


@dataclass(frozen=True)
class Column:
    """A column of values.

    Attributes:
        title: of the column.
        unit: of the values, shown behind the title; "" where there is none.
        decimals: as for `rounded`.
        group: name of a group of columns, such as "cost".
    """

    title: str
    unit: str = ""
    decimals: int | None = None
    group: str = ""

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


@dataclass(frozen=True)
class Cell:
    """A value of a table, unrounded.

    Attributes:
        value: in the column's unit; None where there is none.
        low: lower end of its interval or spread; None where there is none.
        high: upper end.
        n: number of runs that the value is the mean of; None where low and high are the ends of a
            confidence interval.
        marks: names in `MARKS`.
        link: where the value comes from, relative to the table's file.
        signed: whether a positive value is shown with its sign.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    marks: tuple[str, ...] = ()
    link: str = ""
    signed: bool = False

    def text(self, column: Column) -> str:
        """Return the rounded value without marks."""
        return rounded(self.value, column.decimals, self.signed)

    def marked(self, column: Column) -> str:
        """Return the rounded value with its marks."""
        return self._marked(self.text(column), lambda mark: mark.text)

    def detail(self, column: Column) -> str:
        """Return the interval or the spread; "" where there is none."""
        low = rounded(self.low, column.decimals, self.signed)
        high = rounded(self.high, column.decimals, self.signed)
        no_spread = self.n is not None and self.low == self.high
        if no_spread or not (self.text(column) and low and high):
            return ""
        return f"[{low}, {high}]" if self.n is None else f"({low} to {high}, n={self.n})"

    def latex(self, column: Column) -> str:
        """Return the rounded value with its marks for LaTeX."""
        return self._marked(self.text(column), lambda mark: mark.latex)

    def _marked(self, text: str, sign: Callable[[Mark], str]) -> str:
        if not text:
            return ""
        marks = [MARKS[name] for name in self.marks]
        before = [sign(mark) for mark in marks if mark.before]
        after = [sign(mark) for mark in marks if not mark.before]
        return "".join([*before, text, *after])


EMPTY = Cell()


@dataclass(frozen=True)
class Table:
    """A table: labels, and behind them values.

    Attributes:
        labels: headings of the labels.
        columns: of the values.
        rows: pairs of labels and cells. A label in backquotes is set as code.
    """

    labels: Sequence[str]
    columns: Sequence[Column]
    rows: Sequence[tuple[Sequence[str], Sequence[Cell]]]

    @property
    def headings(self) -> list[str]:
        """Headings of all columns."""
        return [*self.labels, *(column.heading for column in self.columns)]

    def legend(self, latex: bool = False) -> list[str]:
        """Return a line for each mark in the table."""
        used = {name for _, cells in self.rows for cell in cells for name in cell.marks}
        return [
            f"{mark.latex if latex else mark.text} {mark.meaning}."
            for name, mark in MARKS.items()
            if name in used
        ]


def to_text(table: Table) -> str:
    """Return aligned columns for a terminal; intervals have a line of their own below the values.

    Rows without any value are left out.
    """
    lines = [table.headings]
    for labels, cells in table.rows:
        values = [cell.marked(column) for cell, column in zip(cells, table.columns, strict=True)]
        if not any(values):
            continue
        lines.append([*(label.strip("`") for label in labels), *(v or "-" for v in values)])
        details = [cell.detail(column) for cell, column in zip(cells, table.columns, strict=True)]
        if any(details):
            lines.append([*("" for _ in labels), *details])
    return "\n".join(aligned(lines, len(table.labels)))


def aligned(rows: Sequence[Sequence[str]], n_labels: int = 1) -> list[str]:
    """Return a line for each row, with the first `n_labels` columns to the left, others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < n_labels else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def to_markdown(table: Table) -> str:
    """Return a Markdown table; values with a link point to it."""

    def shown(cell: Cell, column: Column) -> str:
        text = cell.marked(column)
        if text and cell.link:
            text = f"[{text}](<{cell.link}>)"
        return f"{text} {cell.detail(column)}".rstrip()

    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    lines = [
        line(table.headings),
        line(["---"] * len(table.labels) + ["---:"] * len(table.columns)),
    ]
    for labels, cells in table.rows:
        lines.append(line([*labels, *map(shown, cells, table.columns)]))
    return "\n".join(lines)


def to_latex(table: Table, comments: Iterable[str] = ()) -> str:
    """Return LaTeX's `tabular` for booktabs, and for hyperref where values have links.

    `comments` are lines above it.
    """

    def shown(cell: Cell, column: Column) -> str:
        text = cell.latex(column)
        if text and cell.link:
            address = cell.link.replace("%", r"\%").replace("#", r"\#")
            text = rf"\href{{run:{address}}}{{{text}}}"
        detail = cell.detail(column)
        return rf"{text} {{\scriptsize {detail}}}" if detail else text

    def label(text: str) -> str:
        plain = text.strip("`")
        return rf"\texttt{{{escape_latex(plain)}}}" if plain != text else escape_latex(text)

    def line(cells: Iterable[str]) -> str:
        return " & ".join(cells) + r" \\"

    lines = [
        *(f"% {comment}" for comment in comments),
        rf"\begin{{tabular}}{{{'l' * len(table.labels)}{'r' * len(table.columns)}}}",
        r"\toprule",
        line(map(escape_latex, table.headings)),
        r"\midrule",
    ]
    for labels, cells in table.rows:
        lines.append(line([*map(label, labels), *map(shown, cells, table.columns)]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def to_csv(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV with unrounded values; None and NaN leave a cell empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headings)
    for row in rows:
        writer.writerow(["" if cell is None or cell != cell else cell for cell in row])
    return text.getvalue()


def escape_latex(text: str) -> str:
    """Return text with LaTeX's own characters escaped."""
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)


def check_format(path: str | os.PathLike, formats: Iterable[str]) -> None:
    """Refuse a file name whose suffix is not one of `formats`, with a UserError."""
    if Path(path).suffix not in formats:
        raise UserError(f"{path}: its name must end in one of {', '.join(formats)}")


def write(path: str | os.PathLike, formats: Mapping[str, Callable[..., str]], *arguments) -> None:
    """Write a table to a file in the format of the file's suffix; its folder is made if need be.

    `formats` has, by suffix, functions that return the file's text for the arguments.

    Raises:
        UserError: for another suffix, or a file that cannot be written.
    """
    path = Path(path)
    check_format(path, formats)
    text = formats[path.suffix](*arguments)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
