"""The course of a training: what its TensorBoard files tell, over the hours that it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..costs.runs import Run
from ..errors import UserError

VALIDATION = "val_usdr"
LOSS = "loss"


@dataclass(frozen=True)
class Curve:
    """A measure over a training.

    Attributes:
        hours: since its begin, pauses left out.
        values: of the measure.
    """

    hours: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Training:
    """A run's course.

    Attributes:
        label: name of the run.
        run: its ledger.
        validation: mean uSDR in dB of each validation; None where it is not known.
        loss: of training; None where it is not known.
    """

    label: str
    run: Run
    validation: Curve | None
    loss: Curve | None


def read_trainings(runs: Sequence[Run]) -> list[Training]:
    """The courses of all runs, each under a name of its own."""
    names = [run.folder.name.removeprefix("train_") for run in runs]
    labels = [
        name if names.count(name) == 1 else f"{run.folder.parent.name}/{name}"
        for name, run in zip(names, runs, strict=True)
    ]
    return [_training(label, run) for label, run in zip(labels, runs, strict=True)]


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
        # The steps counted so far, of which the first is number 0.
        return Curve([hours_a_step * (s + 1) for s, _ in events], [v for _, v in events])

    return Training(label, run, curve(VALIDATION), curve(LOSS))


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """From a measure's name to its steps and values; what was done twice counts as last done."""
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
