"""What stands in a comparison's table: its columns, the tests in words, the legend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .comparison import MEAN, MEASURES, Comparison, Row
from .statistics import Interval

_NAMES = {"usdr": "uSDR", "csdr": "cSDR"}
UNFINISHED = "†"


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: with the unit.
        path: name of the path, in `Row.paths`, that its figures come from.
        text: the cell of a row; "" where there is no figure.
        interval: the cell's confidence interval; "" where there is none.
    """

    title: str
    path: str
    text: Callable[[Row], str]
    interval: Callable[[Row], str] = lambda row: ""


def all_columns(comparison: Comparison) -> list[Column]:
    """All columns of the table, but for costs that no row has."""
    columns = [c for measure in MEASURES for c in score_columns(comparison, measure)]
    return columns + [c for c in cost_columns() if any(map(c.text, comparison.rows))]


def score_columns(comparison: Comparison, measure: str) -> list[Column]:
    """A column for each source, and one for their mean."""

    def column(source: str) -> Column:
        def figure(row: Row) -> Interval | None:
            return row.figures[measure].get(source)

        return Column(
            f"{_NAMES[measure]} {source}",
            "record",
            lambda row: _value(figure(row)),
            lambda row: _bounds(figure(row)),
        )

    return [column(source) for source in [*comparison.sources, MEAN]]


def cost_columns() -> list[Column]:
    """Size, speed and energy."""

    def cost(name: str, scale: float) -> Callable[[Row], str]:
        def text(row: Row) -> str:
            value = (row.costs or {}).get(name)
            return "" if value is None else _short(value / scale)

        return text

    def training(name: str) -> Callable[[Row], str]:
        def text(row: Row) -> str:
            value = (row.training or {}).get(name)
            mark = "" if (row.training or {}).get("finished") else UNFINISHED
            return "" if value is None else _short(value) + mark

        return text

    def speed(row: Row) -> str:
        return _short(row.costs["real_time_factor"]["median"]) if row.costs else ""

    def spread(row: Row) -> str:
        if not row.costs:
            return ""
        factor = row.costs["real_time_factor"]
        return f"[{_short(factor['low'])}, {_short(factor['high'])}]"

    def parameters(row: Row) -> str:
        return "" if row.parameters is None else _short(row.parameters / 1e6)

    return [
        Column("M params", "record", parameters),
        Column("GMAC/s", "costs", cost("macs_per_second", 1e9)),
        Column("RTF", "costs", speed, spread),
        Column("GiB", "costs", cost("memory_gb", 1)),
        Column("train h", "ledger", training("hours")),
        Column("train kWh", "ledger", training("kwh")),
    ]


def shown_tests(comparison: Comparison) -> list[tuple[str, dict]]:
    """The tests on the mean over the sources, with the name of their measure."""
    return [(m, pair) for m in MEASURES for pair in comparison.tests[m][MEAN]]


def tests_title(comparison: Comparison) -> str:
    """What the tests are."""
    name = {"wilcoxon": "Wilcoxon's signed ranks", "permutation": "sign permutations"}
    return (
        f"Paired tests over {comparison.n_tracks} tracks, mean of the sources "
        f"({name[comparison.test]}, Holm's correction over the pairs of a measure):"
    )


def test_line(pair: dict, measure: str) -> str:
    """A test in words."""
    p = pair["p_holm"]
    shown = "undefined" if p != p else "< 0.001" if p < 0.001 else f"= {p:.3f}"
    bounds = _bounds(Interval(pair["difference"], pair["low"], pair["high"], pair["n"]), "+.2f")
    verdict = "differ" if p < 0.05 else "no difference shown"
    return (
        f"{_NAMES[measure]}: {pair['first']} - {pair['second']} = {pair['difference']:+.2f} dB "
        f"{bounds}{' ' if bounds else ''}p {shown}: {verdict}"
    )


def legend(comparison: Comparison) -> list[str]:
    """What the figures are."""
    percent = f"{100 * comparison.level:g}"
    lines = [
        f"uSDR: mean over {comparison.n_tracks} tracks; cSDR: median; dB. In brackets: bootstrap "
        f"intervals of {percent} % over tracks.",
    ]
    if any(row.costs for row in comparison.rows):
        lines.append(
            "GMAC/s: multiply-accumulates for a second of audio, both channels, in 1e9. RTF: "
            "seconds of computing for a second of audio, the median, lowest and highest. GiB: peak "
            "memory of the separation, weights included."
        )
    if any(row.training and not row.training["finished"] for row in comparison.rows):
        lines.append(f"{UNFINISHED} the training has not come to its end.")
    return [*lines, *comparison.notes]


def _value(figure: Interval | None) -> str:
    return "" if figure is None or figure.value != figure.value else f"{figure.value:.2f}"


def _bounds(figure: Interval | None, form: str = ".2f") -> str:
    if figure is None or figure.low != figure.low:
        return ""
    return f"[{figure.low:{form}}, {figure.high:{form}}]"


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
