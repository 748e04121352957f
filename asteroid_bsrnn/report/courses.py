"""Charts of how scores spread over tracks, and of how trainings came to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..evaluation.comparison import Comparison
from .charts import log_scale, look
from .drawing import INK, NARROW, PALETTE, Chart, draw
from .drawing import new_figure as _figure
from .training import Curve, Training


def draw_boxes(folder: Path, name: str, comparison: Comparison, measure: str, title: str) -> Chart:
    """The scores of all tracks, a panel for each source."""
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
        figure = _figure(width, height)
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
    """Validation score and loss of all trainings over hours."""
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
        figure = _figure(width, height)
        shape = (1, len(panels)) if wide else (len(panels), 1)
        grid = figure.subplots(*shape, squeeze=False)
        for axes, (title, curves) in zip(grid.flat, panels.items(), strict=True):
            axes.set_title(title)
            axes.set_xlabel("hours of training")
            for training, curve in curves:
                _draw_curve(axes, curve, colours[training.label], training.label)
            if title == "training loss":
                log_scale(axes.yaxis)
        handles, labels = grid.flat[0].get_legend_handles_labels()
        n_columns = 4 if wide else 2
        figure.legend(handles, labels, loc="outside lower center", ncols=n_columns, labelcolor=INK)
        return figure, {}

    best = [f"{t.label} {max(t.validation.values):.1f}" for t in trainings if t.validation]
    return draw(
        folder, name, plot, f"Courses of training; best validation uSDR: {'; '.join(best)}."
    )


def _draw_boxes(
    axes, values: Mapping[str, np.ndarray], labels: Sequence[str], looks: Mapping
) -> None:
    """Boxes, the first label on top, and a dot for each track."""
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
        # Spread so that dots of like tracks do not hide each other; the same every time.
        spread = np.random.default_rng(0).uniform(-0.2, 0.2, len(scores))
        axes.plot(scores, y + spread, "o", color=colour, alpha=0.45, markersize=3.2, mew=0)
    axes.set_yticks(list(heights.values()), labels=list(heights))
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(0.4, len(labels) + 0.6)
    axes.grid(axis="y", visible=False)


def _draw_curve(axes, curve: Curve, colour: str, label: str) -> None:
    marker = "o" if len(curve.values) < 30 else ""
    axes.plot(curve.hours, curve.values, marker=marker, color=colour, label=label, markersize=3.5)
