"""Charts of what a score costs, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.comparison import MEAN, Comparison, Row
from .drawing import INK, MARKERS, MUTED, NARROW, PALETTE, SURFACE, Chart, draw, label_points
from .drawing import new_figure as _figure
from .pareto import front


@dataclass(frozen=True)
class Point:
    """A model in a chart of score and cost.

    Attributes:
        label: its name.
        cost: what it costs.
        score: in dB.
        low: lower end of the score's interval; NaN where there is none.
        high: upper end.
        colour: of its mark.
        marker: shape of its mark, as matplotlib's.
        labelled: whether its name is written beside it even where it is not on the front.
    """

    label: str
    cost: float
    score: float
    low: float = float("nan")
    high: float = float("nan")
    colour: str = PALETTE[0]
    marker: str = "o"
    labelled: bool = True


def look(rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
    """Colour and marker of every row by its label: reference points are grey."""
    models = [row.label for row in rows if not row.record.is_reference_point]
    looks = {row.label: (MUTED, "o") for row in rows}
    for index, label in enumerate(models):
        looks[label] = (PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)])
    return looks


def cost_points(comparison: Comparison, cost: str) -> list[Point]:
    """The models of which both is known.

    Args:
        comparison: of models.
        cost: "kwh", of the training, or "real_time_factor".
    """
    looks = look(comparison.rows)
    points = []
    for row in comparison.rows:
        if cost == "kwh":
            value = (row.training or {}).get("kwh")
        else:
            value = row.costs["real_time_factor"]["median"] if row.costs else None
        figure = row.figures["usdr"][MEAN]
        if value and figure.value == figure.value:
            place = (row.label, value, figure.value, figure.low, figure.high)
            points.append(Point(*place, *looks[row.label]))
    return points


def draw_costs(folder: Path, name: str, points: Sequence[Point], cost: str, score: str) -> Chart:
    """Score against cost, with the Pareto front.

    Args:
        folder: for the files.
        name: of the files.
        points: one or more.
        cost: what it is, for the axis.
        score: what it is, for the axis.
    """
    on_front = front([p.cost for p in points], [p.score for p in points])

    def plot(width: float) -> tuple:
        figure = _figure(width, 4.6 if width > NARROW else 4.2)
        axes = figure.add_subplot()
        best = [points[index] for index in on_front]
        axes.step(
            [p.cost for p in best],
            [p.score for p in best],
            where="post",
            color=INK,
            linestyle=(0, (4, 3)),
            linewidth=1.1,
            label="Pareto front",
        )
        tooltips = {}
        for index, p in enumerate(points):
            if p.low == p.low:
                axes.plot([p.cost] * 2, [p.low, p.high], color=p.colour, alpha=0.45, linewidth=1.2)
            face = p.colour if index in on_front else SURFACE
            (mark,) = axes.plot(
                p.cost, p.score, p.marker, color=p.colour, markerfacecolor=face, markersize=8
            )
            mark.set_gid(f"point{index}")
            tooltips[f"point{index}"] = _words(p, index in on_front)
        if max(p.cost for p in points) > 8 * min(p.cost for p in points):
            log_scale(axes.xaxis)
        axes.margins(0.12, 0.15)
        axes.set_xlabel(cost)
        axes.set_ylabel(score)
        axes.legend(loc="lower right", labelcolor=MUTED)
        shown = [p for i, p in enumerate(points) if p.labelled or i in on_front]
        label_points(axes, [(p.cost, p.score, p.label) for p in shown], 9.5)
        return figure, tooltips

    names = ", ".join(points[index].label for index in on_front)
    return draw(folder, name, plot, f"{score} against {cost}. On the Pareto front: {names}.")


def log_scale(axis) -> None:
    """Make an axis of matplotlib's logarithmic, with plain figures."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _words(point: Point, on_front: bool) -> str:
    bounds = f" [{point.low:.2f}, {point.high:.2f}]" if point.low == point.low else ""
    place = ", on the Pareto front" if on_front else ""
    return f"{point.label}: {point.score:.2f} dB{bounds} at {point.cost:.3g}{place}"
