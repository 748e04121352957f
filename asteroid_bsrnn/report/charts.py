"""Charts: score against cost with the Pareto front, scores over tracks, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..costs import paper_table
from ..evaluation.comparison import MEAN, Comparison, Row
from .drawing import (
    INK,
    MARKERS,
    MUTED,
    NARROW,
    PALETTE,
    SURFACE,
    Chart,
    draw,
    label_points,
    new_figure,
)
from .inputs import Training

_PAPER, _HERE = (MUTED, "o"), (PALETTE[1], "s")


@dataclass(frozen=True)
class Point:
    """A model in a chart of score and cost.

    Attributes:
        score: in dB, from `low` to `high`; these are NaN without an interval.
        marker: shape of the mark, as named by matplotlib.
        labelled: whether to show the name of a model that is not on the Pareto front.
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
    """Return the colour and marker of each row by label; reference points are grey."""
    models = [row.label for row in rows if not row.record.is_reference_point]
    looks = {row.label: (MUTED, "o") for row in rows}
    for index, label in enumerate(models):
        looks[label] = (PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)])
    return looks


def cost_points(comparison: Comparison, cost: str) -> list[Point]:
    """Return the models whose score and `cost`, "kwh" or "real_time_factor", are known."""
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


def paper_points(table: paper_table.Table) -> list[Point]:
    """Return the paper's rows and those of runs whose mean score and energy are known."""
    points = []
    for row in table.rows:
        cost, score = row.paper["codecarbon_kwh"], row.paper["mean"]
        if cost is not None and score is not None:
            look = {"colour": _PAPER[0], "marker": _PAPER[1], "labelled": False}
            points.append(Point(row.title, cost, score, **look))
        cost, score = row.here["codecarbon_kwh"], row.here["mean"]
        if cost is not None and score is not None:
            place = (f"{row.name} (here)", cost.value, score.value)
            points.append(Point(*place, colour=_HERE[0], marker=_HERE[1]))
    return points


def draw_costs(folder: Path, name: str, points: Sequence[Point], cost: str, score: str) -> Chart:
    """Draw score against cost, with the Pareto front of at least one point.

    Files get the name without a suffix. `cost` and `score` label the axes.
    """
    on_front = front([p.cost for p in points], [p.score for p in points])

    def plot(width: float) -> tuple:
        figure = new_figure(width, 4.6 if width > NARROW else 4.2)
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
        label_points(axes, [(p.cost, p.score, p.label) for p in shown])
        return figure, tooltips

    names = ", ".join(points[index].label for index in on_front)
    return draw(folder, name, plot, f"{score} against {cost}. On the Pareto front: {names}.")


def front(costs: Sequence[float], scores: Sequence[float]) -> list[int]:
    """Return the indices of the points on the Pareto front, in order of cost.

    A point is on the front unless another one is better in cost (lower) or score (higher) and no
    worse in the other.

    Example:
        >>> front([1, 2, 3, 4], [5.0, 4.0, 6.0, 6.0])
        [0, 2]
    """
    order = sorted(range(len(costs)), key=lambda index: (costs[index], -scores[index]))
    kept: list[int] = []
    for index in order:
        last = kept[-1] if kept else None
        same = last is not None and (costs[last], scores[last]) == (costs[index], scores[index])
        if last is None or scores[index] > scores[last] or same:
            kept.append(index)
    return kept


def draw_boxes(folder: Path, name: str, comparison: Comparison, measure: str, title: str) -> Chart:
    """Draw the scores of all tracks, with a panel for each source."""
    looks = look(comparison.rows)
    scores = {
        source: {
            row.label: values[np.isfinite(values)]
            for row in comparison.rows
            if source in row.record.sources(measure)
            for values in [row.record.scores(measure, source)]
        }
        for source in comparison.sources
    }
    labels = [row.label for row in comparison.rows]

    def plot(width: float) -> tuple:
        n_columns = 2 if width > NARROW and len(scores) > 1 else 1
        n_rows = -(-len(scores) // n_columns)
        height = n_rows * (0.75 + 0.27 * len(labels)) + 0.3
        figure = new_figure(width, height)
        grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
        for axes, (source, values) in zip(grid.flat, scores.items(), strict=False):
            axes.set_title(source)
            _draw_boxes(axes, values, labels, looks)
        for axes in grid.flat[len(scores) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel(title)
        return figure, {}

    words = [
        f"{source}: " + ", ".join(f"{k} {np.median(v):.1f}" for k, v in values.items() if len(v))
        for source, values in scores.items()
    ]
    return draw(folder, name, plot, f"{title}, medians over tracks. {'; '.join(words)}.")


def draw_trainings(folder: Path, name: str, trainings: Sequence[Training]) -> Chart:
    """Draw validation score and loss of all trainings over hours."""
    panels = {
        "validation uSDR in dB, mean of the sources": [(t, t.validation) for t in trainings],
        "training loss": [(t, t.loss) for t in trainings],
    }
    panels = {title: [p for p in curves if p[1]] for title, curves in panels.items()}
    panels = {title: curves for title, curves in panels.items() if curves}
    colours = {t.label: PALETTE[i % len(PALETTE)] for i, t in enumerate(trainings)}

    def plot(width: float) -> tuple:
        wide = width > NARROW
        height = 3.8 if wide else 2.6 * len(panels) + 0.2 * len(trainings)
        figure = new_figure(width, height)
        shape = (1, len(panels)) if wide else (len(panels), 1)
        grid = figure.subplots(*shape, squeeze=False)
        for axes, (title, curves) in zip(grid.flat, panels.items(), strict=True):
            axes.set_title(title)
            axes.set_xlabel("hours of training")
            for training, curve in curves:
                look = {"color": colours[training.label], "markersize": 3.5}
                look["marker"] = "o" if len(curve.values) < 30 else ""
                axes.plot(curve.hours, curve.values, label=training.label, **look)
            if title == "training loss":
                log_scale(axes.yaxis)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        n_columns = 4 if wide else 2
        figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, labelcolor=INK)
        return figure, {}

    best = [f"{t.label} {max(t.validation.values):.1f}" for t in trainings if t.validation]
    return draw(folder, name, plot, f"Learning curves; best validation uSDR: {'; '.join(best)}.")


def log_scale(axis) -> None:
    """Make an axis of matplotlib logarithmic, with plain numbers."""
    from matplotlib.ticker import LogLocator, NullLocator

    axis.axes.set(**{f"{axis.axis_name}scale": "log"})
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def _words(point: Point, on_front: bool) -> str:
    bounds = f" [{point.low:.2f}, {point.high:.2f}]" if point.low == point.low else ""
    place = ", on the Pareto front" if on_front else ""
    return f"{point.label}: {point.score:.2f} dB{bounds} at {point.cost:.3g}{place}"


def _draw_boxes(
    axes, values: Mapping[str, np.ndarray], labels: Sequence[str], looks: Mapping
) -> None:
    """Draw boxes, the first label on top, and a dot for each track."""
    heights = {label: len(labels) - index for index, label in enumerate(labels)}
    for label, scores in values.items():
        if not len(scores):
            continue
        colour, y = looks[label][0], heights[label]
        axes.boxplot(
            scores,
            positions=[y],
            orientation="horizontal",
            widths=0.6,
            showfliers=False,
            patch_artist=True,
            manage_ticks=False,
            boxprops={"facecolor": "none", "edgecolor": colour},
            medianprops={"color": colour, "linewidth": 2.4},
            whiskerprops={"color": colour, "linewidth": 1.0},
            capprops={"color": colour, "linewidth": 1.0},
        )
        # Dots are spread so that similar tracks do not hide each other; the seed is fixed.
        spread = np.random.default_rng(0).uniform(-0.2, 0.2, len(scores))
        axes.plot(scores, y + spread, "o", color=colour, alpha=0.45, markersize=3.2, mew=0)
    axes.set_yticks(list(heights.values()), labels=list(heights))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(0.4, len(labels) + 0.6)
    axes.grid(axis="y", visible=False)
