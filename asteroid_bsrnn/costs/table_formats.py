"""The table as Markdown, CSV and LaTeX: the paper's figures, ours below, then the differences."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ..errors import UserError
from .table import Figure, Row, Table, differences

_TITLES = {
    "parameters": "M params",
    "codecarbon_kwh": "kWh CodeCarbon",
    "green_algorithms_kwh": "kWh Green Algorithms",
}
_SPREAD = "In brackets: lowest and highest of n runs with different seeds."
# By the attribute of a figure: the words of the legend, and the mark in Markdown and in LaTeX.
_MARKS = {
    "extrapolated": ("extrapolated from some epochs", "≈", r"$\approx$"),
    "unfinished": ("a run has not come to its end", "†", r"$^\dagger$"),
    "other_data": ("other data than the paper's, on which nothing compares", "‡", r"$^\ddagger$"),
}
_MARKDOWN = {name: mark for name, (_, mark, _) in _MARKS.items()}
_LATEX = {name: mark for name, (_, _, mark) in _MARKS.items()}


def to_markdown(table: Table) -> str:
    """The table as Markdown, with a legend of the marks in it."""
    titles = ["Row", "", *(_TITLES.get(column, column) for column in table.columns)]
    lines = [
        f"Scores: {table.measure}.",
        "",
        _piped(titles),
        _piped(["---", "---", *["---:"] * len(table.columns)]),
    ]
    for row in table.rows:
        first, *others = _lines(row, table, _MARKDOWN)
        lines.append(_piped([row.title, *first]))
        lines += [_piped([f"`{row.name}`", *cells]) for cells in others]
    legend = _legend(table, _MARKDOWN)
    return "\n".join([*lines, *(["", *legend] if legend else [])]) + "\n"


def to_latex(table: Table) -> str:
    """The table as LaTeX's `tabular`, for the package booktabs, with a legend as comments."""
    titles = ["Row", "", *(_TITLES.get(column, column) for column in table.columns)]
    lines = [
        f"% {table.measure}",
        *(f"% {line}" for line in _legend(table, _LATEX)),
        rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
        r"\toprule",
        _ampersanded(titles),
        r"\midrule",
    ]
    for row in table.rows:
        first, *others = _lines(row, table, _LATEX)
        lines.append(_ampersanded([_escaped(row.title), *first]))
        name = rf"\texttt{{{_escaped(row.name or '')}}}"
        lines += [_ampersanded([name, *cells]) for cells in others]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_csv(table: Table) -> str:
    """The table as CSV, unrounded: of every column the paper's figure, and ours with its spread.

    `_here` is the mean over `_n` runs with different seeds, `_low` and `_high` the spread; `_marks`
    holds "extrapolated", "unfinished" and "other_data" where they apply; `_difference`, in tables
    that have it, is `_here` minus `_paper`. Parameters are in millions.
    """
    parts = ("paper", "here", "low", "high", "n", "marks")
    parts += ("difference",) if table.differences else ()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "title", *(f"{c}_{part}" for c in table.columns for part in parts)])
    for row in table.rows:
        cells: list[object] = [row.name or "", row.title]
        difference = differences(row, table.columns)
        for column in table.columns:
            paper, here = row.paper[column], row.here[column]
            cells.append("" if paper is None else paper)
            cells += [""] * 5 if here is None else _csv_cells(here)
            cells += [difference[column]] if table.differences else []
        writer.writerow(cells)
    return text.getvalue()


FORMATS: dict[str, Callable[[Table], str]] = {
    ".md": to_markdown,
    ".csv": to_csv,
    ".tex": to_latex,
}


def write(table: Table, path: str | Path) -> None:
    """Write the table to a file, in the form that its name asks for.

    Args:
        table: to write.
        path: ending in .md, .csv or .tex; its folder is made if need be.

    Raises:
        UserError: for another ending, or a file that can't be written.
    """
    path = Path(path)
    check_format(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FORMATS[path.suffix](table), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from error


def check_format(path: str | Path) -> None:
    """Refuse a file's name that no form belongs to.

    Raises:
        UserError: if so.
    """
    if Path(path).suffix not in FORMATS:
        raise UserError(f"{path}: its name must end in one of {', '.join(FORMATS)}")


def _lines(row: Row, table: Table, marks: Mapping[str, str]) -> list[list[str]]:
    """The cells behind the title, line by line: the paper's, ours, the differences.

    Work that is not a row of ours has the first line alone.
    """
    numbers = [_number(row.paper[column], column, table.decimals) for column in table.columns]
    lines = [["Paper", *numbers]]
    if row.name is None:
        return lines
    here = []
    for column in table.columns:
        figure = row.here[column]
        if figure is None:
            here.append("")
            continue
        text = _number(figure.mean, column, table.decimals)
        if figure.n > 1 and column != "parameters":
            low = _number(figure.low, column, table.decimals)
            high = _number(figure.high, column, table.decimals)
            text += f" ({low} to {high}, n={figure.n})"
        here.append(_marked(text, figure, marks))
    lines.append(["Here", *here])
    if table.differences:
        found = differences(row, table.columns)
        lines.append(
            ["Difference", *(_signed(_number(v, c, table.decimals)) for c, v in found.items())]
        )
    return lines


def _signed(number: str) -> str:
    """A rounded difference with its sign; none for zero."""
    if not number or float(number) == 0:
        return number.removeprefix("-")
    return number if number.startswith("-") else f"+{number}"


def _number(value: float | None, column: str, score_decimals: int) -> str:
    """A figure, as exact as the paper's; small energies and networks with three digits."""
    if value is None:
        return ""
    if column == "parameters":
        return f"{value:.1f}" if value >= 1 else f"{value:.3g}"
    if column.endswith("_kwh"):
        return f"{value:.0f}" if value >= 10 else f"{value:.3g}"
    return f"{value:.{score_decimals}f}"


def _marked(text: str, figure: Figure, marks: Mapping[str, str]) -> str:
    before = marks["extrapolated"] if figure.extrapolated else ""
    after = [marks[name] for name in ("unfinished", "other_data") if getattr(figure, name)]
    return before + text + "".join(after)


def _legend(table: Table, marks: Mapping[str, str]) -> list[str]:
    """One line for each mark that is in the table."""
    figures = [figure for row in table.rows for figure in row.here.values() if figure is not None]
    lines = [_SPREAD] if any(figure.n > 1 for figure in figures) else []
    for name, (words, *_) in _MARKS.items():
        if any(getattr(figure, name) for figure in figures):
            lines.append(f"{marks[name]} {words}.")
    return lines


def _csv_cells(figure: Figure) -> list[object]:
    text = " ".join(name for name in _MARKS if getattr(figure, name))
    return [figure.mean, figure.low, figure.high, figure.n, text]


def _piped(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _ampersanded(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
