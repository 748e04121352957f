"""Inputs of a report: evaluation records, and training runs with their learning curves."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..costs.record import FILE_NAME as LEDGER
from ..costs.runs import Run
from ..errors import UserError
from ..evaluation.comparison import Comparison, compare, read_costs
from ..evaluation.comparison_table import JSON_FORMAT
from ..evaluation.records import SUMMARY, Record, find_records, read_record
from ..files import list_files


@dataclass(frozen=True)
class Group:
    """Results on the same tracks of the same data.

    Attributes:
        key: name in links and file names, such as "data1".
        comparison: comparison of all records.
    """

    key: str
    comparison: Comparison

    @property
    def settings(self) -> dict:
        """Settings of the first record, such as `data_fingerprint` and `part`."""
        return self.comparison.rows[0].record.summary["settings"]

    @property
    def fingerprint(self) -> str:
        """Hash of the data."""
        return str(self.settings.get("data_fingerprint", ""))

    @property
    def part(self) -> str:
        """Part of the data set: "test", "valid", ... or "folders"."""
        return str(self.settings.get("part", "test"))

    @property
    def tracks(self) -> tuple[str, ...]:
        """Names of the tracks."""
        return self.comparison.rows[0].record.names


def find_inputs(given: Iterable[str | os.PathLike]) -> tuple[list[Record], list[Run]]:
    """Find records and runs at any depth in the given folders.

    Args:
        given: folders of results, of runs, or of folders of those; a comparison's JSON file.

    Returns:
        The records of evaluations, and the runs with their ledgers.

    Raises:
        UserError: if one of them is missing, contains neither, or contains something damaged.
    """
    records: dict[Path, None] = {}
    runs: dict[Path, None] = {}
    for path in map(Path, given):
        found = list(_record_folders(path))
        trained = list(_run_folders(path))
        if not found and not trained:
            raise UserError(f"{path}: {_what_is_missing(path)}")
        records.update(dict.fromkeys(folder.resolve() for folder in found))
        runs.update(dict.fromkeys(folder.resolve() for folder in trained))
    read = [read_record(folder) for folder in records]
    for record in read:
        ledger = record.summary.get("model", {}).get("ledger")
        if ledger and (record.folder / ledger).is_file():
            runs.setdefault((record.folder / ledger).resolve().parent)
    return read, [Run.load(folder) for folder in runs]


def group(records: Sequence[Record], test: str) -> list[Group]:
    """Group records of the same tracks and compare each group; `test` is as in `compare`."""
    by_data: dict[tuple, list[Record]] = {}
    for record in records:
        settings = record.summary["settings"]
        key = (settings.get("data_fingerprint"), settings.get("part"), record.names)
        by_data.setdefault(key, []).append(record)
    groups = []
    for number, together in enumerate(by_data.values(), start=1):
        costs = {record.folder: read_costs(record) for record in together}
        known = {folder: cost for folder, cost in costs.items() if cost is not None}
        groups.append(Group(f"data{number}", compare(together, costs=known, test=test)))
    return groups


@dataclass(frozen=True)
class Curve:
    """Values of a measure at hours since the start of a training, without pauses."""

    hours: Sequence[float]
    values: Sequence[float]


@dataclass(frozen=True)
class Training:
    """Run with its learning curves, which are None if they are unknown.

    Attributes:
        label: unique name of the run.
        validation: mean uSDR in dB of each validation.
        loss: training loss.
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


def _record_folders(path: Path) -> Iterator[Path]:
    if path.is_file() and path.suffix == ".json" and path.name not in (SUMMARY, LEDGER):
        yield from _compared(path)
    else:
        yield from find_records(path, recursive=True)


def _run_folders(path: Path) -> Iterator[Path]:
    if path.is_file() and path.name == LEDGER:
        yield path.parent
    elif path.is_dir():
        files = list_files(path, [LEDGER], recursive=True)
        yield from (file.parent for file in files if file.name == LEDGER)


def _compared(path: Path) -> Iterator[Path]:
    """Yield the folders of the records that a comparison's file names."""
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        if plain["format"] != JSON_FORMAT:
            raise ValueError
        places = [row["paths"]["record"] for row in plain["rows"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a comparison; write one with asteroid-bsrnn compare -o FILE.json"
        ) from error
    for place in places:
        yield (path.parent / place).parent


def _what_is_missing(path: Path) -> str:
    if not path.exists():
        return "no such file or folder; give folders of evaluate, compare or of training runs"
    return (
        f"holds neither results ({SUMMARY}) nor a training run ({LEDGER}); "
        "run asteroid-bsrnn evaluate first"
    )


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

    return Training(label, run, curve("val_usdr"), curve("loss"))


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
