"""Learning curves of training runs: TensorBoard's scalars over the hours of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..costs.runs import Run
from ..errors import UserError
from .charts import log_scale
from .drawing import INK, NARROW, PALETTE, Chart, draw, new_figure

_VALIDATION = "val_usdr"
_LOSS = "loss"


@dataclass(frozen=True)
class Curve:
    """Measure over the time of a training.

    Attributes:
        hours: hours since the start, without pauses.
        values: values of the measure.
    """

    hours: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Training:
    """Run with its learning curves.

    Attributes:
        label: unique name of the run.
        run: the run.
        validation: mean uSDR in dB of each validation; None if it is unknown.
        loss: training loss; None if it is unknown.
    """

    label: str
    run: Run
    validation: Curve | None
    loss: Curve | None


def read_trainings(runs: Sequence[Run]) -> list[Training]:
    """Read the learning curves of runs.

    Raises:
        UserError: if tensorboard is missing.
    """
    names = [run.folder.name.removeprefix("train_") for run in runs]
    labels = [
        name if names.count(name) == 1 else f"{run.folder.parent.name}/{name}"
        for name, run in zip(names, runs, strict=True)
    ]
    return [_training(label, run) for label, run in zip(labels, runs, strict=True)]


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


def _training(label: str, run: Run) -> Training:
    scalars = _scalars(run.folder / "tensorboard")
    last = max(
        [run.record["totals"]["steps"], *(s for events in scalars.values() for s, _ in events)]
    )
    hours_a_step = run.record["totals"]["hours"] / last if last else 0.0

    def curve(name: str) -> Curve | None:
        events = [(step, value) for step, value in scalars.get(name, []) if value == value]
        if not events:
            return None
        # Steps are numbered from 0, so step s ends the (s + 1)-th.
        return Curve([hours_a_step * (s + 1) for s, _ in events], [v for _, v in events])

    return Training(label, run, curve(_VALIDATION), curve(_LOSS))


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values by measure; of a repeated step the last value counts."""
    if not folder.is_dir():
        return {}
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    except ImportError as error:
        raise UserError(
            'training curves need tensorboard: pip install "asteroid-bsrnn[report]"'
        ) from error
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    events.Reload()
    return {
        name: sorted({event.step: event.value for event in events.Scalars(name)}.items())
        for name in events.Tags()["scalars"]
    }
