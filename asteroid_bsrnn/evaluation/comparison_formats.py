"""A comparison for the terminal, as Markdown, CSV, LaTeX and JSON.

Every figure tells which file it comes from: Markdown and LaTeX link to it, CSV has columns for it,
the terminal's table lists the files below.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import UserError
from .comparison import MEAN, MEASURES, Comparison, Row
from .comparison_json import relative_path, to_json
from .comparison_table import (
    UNFINISHED,
    Column,
    all_columns,
    cost_columns,
    legend,
    score_columns,
    shown_tests,
    test_line,
    tests_title,
)


def to_text(comparison: Comparison) -> str:
    """The table for a terminal: a block for each measure, one for the costs, one for the tests."""
    blocks = [score_columns(comparison, measure) for measure in MEASURES]
    costs = [column for column in cost_columns() if any(map(column.text, comparison.rows))]
    parts = [_text_block(comparison.rows, columns) for columns in [*blocks, costs] if columns]
    tests = [test_line(pair, measure) for measure, pair in shown_tests(comparison)]
    if tests:
        parts.append("\n".join([tests_title(comparison), *(f"  {line}" for line in tests)]))
    parts.append("\n".join(legend(comparison)))
    paths = [f"  {row.label}: {path}" for row in comparison.rows for path in row.paths.values()]
    return "\n\n".join([*parts, "\n".join(["Records", *paths])]) + "\n"


def to_markdown(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """The table as Markdown, each figure a link to its record, relative to `folder`."""
    columns = all_columns(comparison)

    def cell(row: Row, column: Column) -> str:
        text = column.text(row)
        if not text:
            return ""
        link = f"[{text}](<{relative_path(row.paths[column.path], folder)}>)"
        bounds = column.interval(row)
        return f"{link} {bounds}" if bounds else link

    lines = [
        _piped(["Model", *(column.title for column in columns)]),
        _piped(["---", *["---:"] * len(columns)]),
    ]
    for row in comparison.rows:
        lines.append(_piped([f"`{row.label}`", *(cell(row, column) for column in columns)]))
    tests = [test_line(pair, measure) for measure, pair in shown_tests(comparison)]
    if tests:
        lines += ["", tests_title(comparison), "", *(f"- {line}" for line in tests)]
    return "\n".join([*lines, "", *(f"{line}\n" for line in legend(comparison))]).rstrip() + "\n"


def to_latex(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """The table as LaTeX's `tabular`, for the packages booktabs and hyperref."""
    columns = all_columns(comparison)

    def cell(row: Row, column: Column) -> str:
        text = _escaped(column.text(row))
        if not text:
            return ""
        path = relative_path(row.paths[column.path], folder)
        address = path.replace("%", r"\%").replace("#", r"\#")
        linked = rf"\href{{run:{address}}}{{{text}}}"
        bounds = column.interval(row)
        return rf"{linked} {{\scriptsize {_escaped(bounds)}}}" if bounds else linked

    tests = [test_line(pair, measure) for measure, pair in shown_tests(comparison)]
    comments = [*legend(comparison), *([tests_title(comparison), *tests] if tests else [])]
    lines = [
        *(f"% {line}" for line in comments),
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(["Model", *(_escaped(column.title) for column in columns)]) + r" \\",
        r"\midrule",
    ]
    for row in comparison.rows:
        cells = [rf"\texttt{{{_escaped(row.label)}}}", *(cell(row, c) for c in columns)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def to_csv(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """The table as CSV, unrounded; intervals and the records' paths have columns of their own.

    Speed is in seconds a second of audio, memory in 2**30 bytes.
    """
    sources = [*comparison.sources, MEAN]
    titles = ["model", "kind", "n_tracks"]
    for measure in MEASURES:
        for source in sources:
            name = f"{measure}_{source}"
            titles += [name, f"{name}_low", f"{name}_high"]
    titles += ["parameters", "macs_per_second"]
    titles += [f"real_time_factor{part}" for part in ("", "_low", "_high")]
    titles += ["memory_gb", "device", "training_hours", "training_kwh", "training_finished"]
    titles += ["record", "costs", "ledger"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(titles)
    for row in comparison.rows:
        kind = "reference point" if row.record.is_reference_point else "model"
        cells: list[object] = [row.label, kind, comparison.n_tracks]
        for measure in MEASURES:
            for source in sources:
                figure = row.figures[measure].get(source)
                cells += ["", "", ""] if figure is None else [figure.value, figure.low, figure.high]
        costs, training = row.costs or {}, row.training or {}
        speed = costs.get("real_time_factor", {})
        cells += [row.parameters, costs.get("macs_per_second")]
        cells += [speed.get(part) for part in ("median", "low", "high")]
        cells += [costs.get("memory_gb"), costs.get("device")]
        cells += [training.get(part) for part in ("hours", "kwh", "finished")]
        paths = [row.paths.get(name) for name in ("record", "costs", "ledger")]
        cells += ["" if path is None else relative_path(path, folder) for path in paths]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()


FORMATS: dict[str, Callable] = {
    ".md": to_markdown,
    ".csv": to_csv,
    ".tex": to_latex,
    ".json": to_json,
    ".txt": lambda comparison, folder: to_text(comparison),
}


def write(comparison: Comparison, path: str | os.PathLike) -> None:
    """Write the comparison to a file, in the form that its name asks for.

    Args:
        comparison: to write.
        path: ending in .md, .csv, .tex, .json or .txt; its folder is made if need be.

    Raises:
        UserError: for another ending, or a file that can't be written.
    """
    path = Path(path)
    check_format(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FORMATS[path.suffix](comparison, path.parent), encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: can't be written ({error.strerror})") from error


def check_format(path: str | os.PathLike) -> None:
    """Refuse a file's name that no form belongs to.

    Raises:
        UserError: if so.
    """
    if Path(path).suffix not in FORMATS:
        raise UserError(f"{path}: its name must end in one of {', '.join(FORMATS)}")


def _text_block(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Aligned columns, the intervals on a line of their own below the figures."""
    lines = [["Model", *(column.title for column in columns)]]
    for row in rows:
        if not any(column.text(row) for column in columns):
            continue
        lines.append([row.label, *(column.text(row) or "-" for column in columns)])
        intervals = [column.interval(row) for column in columns]
        if any(intervals):
            lines.append(["", *intervals])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Text with LaTeX's own characters escaped."""
    text = "".join(f"\\{letter}" if letter in "&%$#_{}" else letter for letter in text)
    return text.replace(UNFINISHED, r"$^\dagger$")
