"""The table of a comparison, and its written forms.

The forms name the file of each figure: Markdown and LaTeX have links, CSV has columns of paths, and
the terminal lists the files below the table.
"""

from __future__ import annotations

import functools
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import tables
from ..files import relative_path
from ..tables import EMPTY, MARKS, Cell, Table, rounded
from .comparison import LEVEL, MEAN, MEASURES, Comparison, Row

JSON_FORMAT = "asteroid-bsrnn comparison"
NAMES = {"usdr": "uSDR", "csdr": "cSDR"}
_SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Column(tables.Column):
    """Column of the table.

    Attributes:
        path: key in `Row.paths` of the file with the values.
        cell: function from a row to the cell.
        best: `max` if the highest value is the best, `min` for the lowest; None for neither.
    """

    path: str = "record"
    cell: Callable[[Row], Cell] = lambda row: EMPTY
    best: Callable | None = None


def columns_of(comparison: Comparison) -> list[Column]:
    """Return the columns, without costs that no row has."""
    scores = [
        Column(
            f"{NAMES[measure]} {source}",
            decimals=2,
            group=measure,
            cell=functools.partial(_score, measure, source),
            best=max,
        )
        for measure in MEASURES
        for source in [*comparison.sources, MEAN]
    ]
    costs = [
        Column("M params", group="cost", cell=_parameters),
        Column(
            "GMAC/s",
            group="cost",
            path="costs",
            cell=functools.partial(_cost, "macs_per_second", 1e9),
        ),
        Column("RTF", group="cost", path="costs", cell=_speed, best=min),
        Column("GiB", group="cost", path="costs", cell=functools.partial(_cost, "memory_gb", 1)),
        Column("train h", group="cost", path="ledger", cell=functools.partial(_training, "hours")),
        Column("train kWh", group="cost", path="ledger", cell=functools.partial(_training, "kwh")),
    ]
    known = [c for c in costs if any(c.cell(row).value is not None for row in comparison.rows)]
    return scores + known


def _table_of(
    comparison: Comparison, columns: Sequence[Column], folder: str | os.PathLike | None = None
) -> Table:
    """Return the table of some columns, with links relative to `folder` if it is given."""

    def cell(row: Row, column: Column) -> Cell:
        found = column.cell(row)
        if folder is None or column.path not in row.paths:
            return found
        link = relative_path(row.paths[column.path], folder)
        return Cell(found.value, found.low, found.high, marks=found.marks, link=link)

    rows = [
        ([f"`{row.label}`"], [cell(row, column) for column in columns]) for row in comparison.rows
    ]
    return Table(["Model"], columns, rows)


def to_text(comparison: Comparison) -> str:
    """Return the table for a terminal, with a block for each measure, the costs and the tests."""
    columns = columns_of(comparison)
    parts = []
    for group in (*MEASURES, "cost"):
        block = [column for column in columns if column.group == group]
        if block:
            parts.append(tables.to_text(_table_of(comparison, block)))
    tests = _test_lines(comparison)
    if tests:
        parts.append("\n".join([tests_title(comparison), *(f"  {line}" for line in tests)]))
    parts.append("\n".join(legend(comparison)))
    paths = [f"  {row.label}: {path}" for row in comparison.rows for path in row.paths.values()]
    return "\n\n".join([*parts, "\n".join(["Records", *paths])]) + "\n"


def to_markdown(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """Return the table as Markdown; figures link to their records, relative to `folder`."""
    lines = [tables.to_markdown(_table_of(comparison, columns_of(comparison), folder))]
    tests = _test_lines(comparison)
    if tests:
        lines += ["", tests_title(comparison), "", *(f"- {line}" for line in tests)]
    return "\n".join([*lines, "", *(f"{line}\n" for line in legend(comparison))]).rstrip() + "\n"


def to_latex(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """Return the table as LaTeX's `tabular`, for the packages booktabs and hyperref."""
    tests = _test_lines(comparison)
    comments = [*legend(comparison), *([tests_title(comparison), *tests] if tests else [])]
    table = _table_of(comparison, columns_of(comparison), folder)
    return tables.to_latex(table, comments) + "\n"


def to_csv(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """Return the table as CSV, unrounded, with columns for the intervals and the records' paths.

    Speed is in seconds of computing per second of audio, memory in 2**30 bytes.
    """
    sources = [*comparison.sources, MEAN]
    scores = [f"{measure}_{source}" for measure in MEASURES for source in sources]
    titles = ["model", "kind", "n_tracks"]
    titles += [name + part for name in scores for part in ("", "_low", "_high")]
    titles += ["parameters", "macs_per_second"]
    titles += [f"real_time_factor{part}" for part in ("", "_low", "_high")]
    titles += ["memory_gb", "device", "training_hours", "training_kwh", "training_finished"]
    titles += ["record", "costs", "ledger"]
    rows = []
    for row in comparison.rows:
        cells: list[object] = [row.label, _kind(row), comparison.n_tracks]
        for measure in MEASURES:
            for source in sources:
                figure = row.figures[measure].get(source)
                cells += [None] * 3 if figure is None else figure[:3]
        costs, training = row.costs or {}, row.training or {}
        speed = costs.get("real_time_factor", {})
        cells += [row.parameters, costs.get("macs_per_second")]
        cells += [speed.get(part) for part in ("median", "low", "high")]
        cells += [costs.get("memory_gb"), costs.get("device")]
        cells += [training.get(part) for part in ("hours", "kwh", "finished")]
        paths = [row.paths.get(name) for name in ("record", "costs", "ledger")]
        cells += [None if path is None else relative_path(path, folder) for path in paths]
        rows.append(cells)
    return tables.to_csv(titles, rows)


def to_json(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """Return the comparison as JSON, with the tests of all sources; paths are relative to `folder`.

    Values that are unknown or not finite are null.
    """
    rows = [
        {
            "label": row.label,
            "kind": _kind(row),
            "settings_hash": row.record.summary["settings_hash"],
            "figures": {
                measure: {source: figure._asdict() for source, figure in by_source.items()}
                for measure, by_source in row.figures.items()
            },
            "parameters": row.parameters,
            "costs": row.costs,
            "training": row.training,
            "paths": {name: relative_path(path, folder) for name, path in row.paths.items()},
        }
        for row in comparison.rows
    ]
    plain = {
        "format": JSON_FORMAT,
        "version": 1,
        "tracks": list(comparison.rows[0].record.names),
        "sources": list(comparison.sources),
        "common_sources": list(comparison.common),
        "level": LEVEL,
        "test": comparison.test,
        "rows": rows,
        "tests": comparison.tests,
        "notes": list(comparison.notes),
    }
    return json.dumps(_without_nan(plain), indent=1, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[..., str]] = {
    ".md": to_markdown,
    ".csv": to_csv,
    ".tex": to_latex,
    ".json": to_json,
    ".txt": lambda comparison, folder: to_text(comparison),
}


def write(comparison: Comparison, path: str | os.PathLike) -> None:
    """Write the comparison to a file in the format of its suffix, one of `FORMATS`.

    Raises:
        UserError: for another suffix, or a file that cannot be written.
    """
    tables.write(path, FORMATS, comparison, Path(path).parent)


def tests_title(comparison: Comparison) -> str:
    """Return the heading of the tests."""
    name = {"wilcoxon": "Wilcoxon's signed ranks", "permutation": "sign permutations"}
    return (
        f"Paired tests over {comparison.n_tracks} tracks, mean of the sources "
        f"({name[comparison.test]}, Holm's correction over the pairs of a measure):"
    )


def _test_lines(comparison: Comparison) -> list[str]:
    """Return a line for each test on the mean over the common sources."""
    lines = []
    for measure in MEASURES:
        for pair in comparison.tests[measure][MEAN]:
            cell = difference(pair)
            column = tables.Column("", decimals=2)
            bounds = cell.detail(column)
            shown = p_value(pair["p_holm"])
            shown = shown if shown.startswith("<") else f"= {shown}" if shown else "undefined"
            lines.append(
                f"{NAMES[measure]}: {pair['first']} - {pair['second']} = {cell.text(column)} dB "
                f"{bounds}{' ' if bounds else ''}p {shown}: {verdict(pair)}"
            )
    return lines


def difference(pair: Mapping) -> Cell:
    """Return the difference of a paired test in dB, with its interval."""
    return Cell(pair["difference"], pair["low"], pair["high"], signed=True)


def p_value(p: float) -> str:
    """Return a p-value to three decimals; "" for NaN."""
    return "< 0.001" if p < 0.001 else rounded(p, 3)


def verdict(pair: Mapping) -> str:
    """Return the result of a paired test in words."""
    return "differ" if pair["p_holm"] < _SIGNIFICANT else "no difference shown"


def legend(comparison: Comparison) -> list[str]:
    """Return lines that explain the figures."""
    percent = f"{100 * LEVEL:g}"
    lines = [
        f"uSDR: mean over {comparison.n_tracks} tracks; cSDR: median; dB. In brackets: bootstrap "
        f"intervals of {percent} % over tracks."
    ]
    if any(row.costs for row in comparison.rows):
        lines.append(
            "GMAC/s: multiply-accumulates per second of audio, both channels, in 1e9. RTF: "
            "seconds of computing per second of audio, the median, lowest and highest. GiB: peak "
            "memory of the separation, weights included."
        )
    if any(row.training and not row.training["finished"] for row in comparison.rows):
        mark = MARKS["unfinished"]
        lines.append(f"{mark.text} {mark.meaning}.")
    return [*lines, *comparison.notes]


def _score(measure: str, source: str, row: Row) -> Cell:
    figure = row.figures[measure].get(source)
    if figure is None or math.isnan(figure.value):
        return EMPTY
    return Cell(figure.value, *((None, None) if math.isnan(figure.low) else figure[1:3]))


def _parameters(row: Row) -> Cell:
    return EMPTY if row.parameters is None else Cell(row.parameters / 1e6)


def _cost(name: str, unit: float, row: Row) -> Cell:
    value = (row.costs or {}).get(name)
    return EMPTY if value is None else Cell(value / unit)


def _speed(row: Row) -> Cell:
    if not row.costs:
        return EMPTY
    factor = row.costs["real_time_factor"]
    return Cell(factor["median"], factor["low"], factor["high"])


def _training(name: str, row: Row) -> Cell:
    value = (row.training or {}).get(name)
    if value is None:
        return EMPTY
    return Cell(value, marks=() if row.training["finished"] else ("unfinished",))


def _kind(row: Row) -> str:
    return "reference point" if row.record.is_reference_point else "model"


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
