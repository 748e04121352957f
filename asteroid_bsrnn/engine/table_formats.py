"""The table as Markdown, CSV and LaTeX: the paper's figures on one line, ours on the next."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import UserError
from .table import Figure, Row, Table

_TITLES = {
    "parameters": "M params",
    "codecarbon_kwh": "kWh CodeCarbon",
    "green_algorithms_kwh": "kWh Green Algorithms",
}
_SPREAD = "In brackets: lowest and highest of n runs with different seeds."
_EXTRAPOLATED = "extrapolated from some epochs"
_UNFINISHED = "a run has not come to its end"


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
        first, second = _lines(row, table, _marked("≈", "†"))
        lines.append(_piped([row.title, *first]))
        if row.name is not None:
            lines.append(_piped([f"`{row.name}`", *second]))
    legend = _legend(table, "≈", "†")
    return "\n".join([*lines, *(["", *legend] if legend else [])]) + "\n"


def to_latex(table: Table) -> str:
    """The table as LaTeX's `tabular`, for the package booktabs, with a legend as comments."""
    titles = ["Row", "", *(_TITLES.get(column, column) for column in table.columns)]
    lines = [
        f"% {table.measure}",
        *(f"% {line}" for line in _legend(table, r"$\approx$", r"$^\dagger$")),
        rf"\begin{{tabular}}{{ll{'r' * len(table.columns)}}}",
        r"\toprule",
        _ampersanded(titles),
        r"\midrule",
    ]
    for row in table.rows:
        first, second = _lines(row, table, _marked(r"$\approx$", r"$^\dagger$"))
        lines.append(_ampersanded([_escaped(row.title), *first]))
        if row.name is not None:
            lines.append(_ampersanded([rf"\texttt{{{_escaped(row.name)}}}", *second]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_csv(table: Table) -> str:
    """The table as CSV, unrounded: of every column the paper's figure, and ours with its spread.

    `_here` is the mean over `_n` runs with different seeds, `_low` and `_high` the spread; `_marks`
    holds "extrapolated" and "unfinished" where they apply. Parameters are in millions.
    """
    parts = ("paper", "here", "low", "high", "n", "marks")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "title", *(f"{c}_{part}" for c in table.columns for part in parts)])
    for row in table.rows:
        cells: list[object] = [row.name or "", row.title]
        for column in table.columns:
            paper, here = row.paper[column], row.here[column]
            cells.append("" if paper is None else paper)
            cells += [""] * 5 if here is None else _csv_cells(here)
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
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: its name must end in one of {', '.join(FORMATS)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FORMATS[path.suffix](table), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from error


def _lines(
    row: Row, table: Table, marked: Callable[[str, Figure], str]
) -> tuple[list[str], list[str]]:
    """The cells behind the title: the paper's, and ours."""
    paper = [_number(row.paper[column], column, table.decimals) for column in table.columns]
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
        here.append(marked(text, figure))
    return ["Paper", *paper], ["Here", *here]


def _number(value: float | None, column: str, score_decimals: int) -> str:
    """A figure, as exact as the paper's; small energies and networks with three digits."""
    if value is None:
        return ""
    if column == "parameters":
        return f"{value:.1f}" if value >= 1 else f"{value:.3g}"
    if column.endswith("_kwh"):
        return f"{value:.0f}" if value >= 10 else f"{value:.3g}"
    return f"{value:.{score_decimals}f}"


def _marked(extrapolated: str, unfinished: str) -> Callable[[str, Figure], str]:
    def marked(text: str, figure: Figure) -> str:
        before = extrapolated if figure.extrapolated else ""
        return before + text + (unfinished if figure.unfinished else "")

    return marked


def _legend(table: Table, extrapolated: str, unfinished: str) -> list[str]:
    """One line for each mark that is in the table."""
    figures = [figure for row in table.rows for figure in row.here.values() if figure is not None]
    lines = []
    if any(figure.n > 1 for figure in figures):
        lines.append(_SPREAD)
    if any(figure.extrapolated for figure in figures):
        lines.append(f"{extrapolated} {_EXTRAPOLATED}.")
    if any(figure.unfinished for figure in figures):
        lines.append(f"{unfinished} {_UNFINISHED}.")
    return lines


def _csv_cells(figure: Figure) -> list[object]:
    marks = {"extrapolated": figure.extrapolated, "unfinished": figure.unfinished}
    text = " ".join(name for name, applies in marks.items() if applies)
    return [figure.mean, figure.low, figure.high, figure.n, text]


def _piped(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _ampersanded(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"


def _escaped(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    return "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
