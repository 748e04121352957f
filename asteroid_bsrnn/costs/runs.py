"""A finished or unfinished run, as the table sees it, and which runs may stand together."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from .record import read

# What may differ between runs of a row: which run it is, where it reads and writes, how fast, and
# what makes no difference to scores or kWh.
PER_RUN_KEYS = (
    "seed",
    "source",
    "tag",
    "root",
    "exp_dir",
    "activity_folder",
    "workers",
    "track",
    "country",
)
# What follows from the source, and differs between the networks of a row.
PER_SOURCE_KEYS = ("sources", "bands")


@dataclass(frozen=True)
class Value:
    """A number that a run gives.

    Attributes:
        number: the number.
        extrapolated: whether it was measured over some epochs and extrapolated.
        unfinished: whether the run has not come to its end.
    """

    number: float
    extrapolated: bool = False
    unfinished: bool = False

    @staticmethod
    def merge(values: Sequence[Value], operation: Callable[[list[float]], float]) -> Value:
        """One value from several; what is true of one of them is true of it."""
        return Value(
            operation([value.number for value in values]),
            any(value.extrapolated for value in values),
            any(value.unfinished for value in values),
        )


@dataclass(frozen=True)
class Run:
    """A run.

    Attributes:
        folder: with its ledger.
        record: the ledger's.
    """

    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """The run in a folder.

        Raises:
            UserError: if it has no ledger, or a damaged one.
        """
        return cls(Path(folder), read(folder))

    @property
    def row(self) -> str:
        """Name of its row."""
        return self.record["row"]

    @property
    def source(self) -> str | None:
        """The source that it separates; None for all."""
        return self.record["source"]

    @property
    def seed(self) -> int | None:
        """Its seed."""
        return self.record["seed"]

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Its configuration, that of the latest session."""
        return self._latest("configuration")

    @property
    def data_fingerprint(self) -> str | None:
        """Its data, those of the latest session."""
        return self._latest("data_fingerprint")

    @property
    def cut_short(self) -> bool:
        """Whether it ran some epochs only, to be extrapolated from: its scores mean nothing."""
        foretold = self.record["extrapolated"]
        return foretold is not None and foretold["epochs"] > self.record["totals"]["epochs"]

    def value(self, number: float | None, extrapolated: bool = False) -> Value | None:
        """A number as a value of this run; None for None and NaN."""
        if number is None or math.isnan(number):
            return None
        sessions = self.record["sessions"]
        finished = bool(sessions) and sessions[-1]["state"] == "finished"
        return Value(number, extrapolated, not finished)

    def validation_score(self, source: str) -> Value | None:
        """Best uSDR of a source in dB."""
        best = self.record["best"]
        return None if best is None or self.cut_short else self.value(best["usdr"].get(source))

    def parameters(self) -> Value:
        """Trainable parameters, in millions."""
        return Value(self.record["n_parameters"] / 1e6)

    def codecarbon_kwh(self) -> Value | None:
        """Energy that was measured; None where it does not cover all epochs."""
        totals = self.record["totals"]
        complete = totals["epochs"] == totals["energy_epochs"]
        return self._energy("kwh", "measured_energy_epochs", complete)

    def green_algorithms_kwh(self) -> Value | None:
        """Energy that was estimated."""
        return self._energy("green_algorithms_kwh", "measured_epochs", True)

    def _energy(self, name: str, measured: str, complete: bool) -> Value | None:
        foretold = self.record["extrapolated"]
        if foretold is not None:
            return self.value(foretold[name], foretold[measured] < foretold["epochs"])
        return self.value(self.record["totals"][name]) if complete else None

    def _latest(self, name: str) -> Any:
        value = self.record[name]
        for session in self.record["sessions"]:
            value = session["differs"].get(name, value)
        return value


def check_alike(runs: Sequence[Run], per_run_keys: Sequence[str] = PER_RUN_KEYS) -> None:
    """Refuse runs that can't stand in one row.

    Args:
        runs: of one row.
        per_run_keys: keys of the configuration, at any depth, in which they may differ.

    Raises:
        UserError: naming two runs and what keeps them apart.
    """
    for index, run in enumerate(runs):
        for other in runs[:index]:
            both = f"{other.folder} and {run.folder}"
            if (run.source is None) != (other.source is None):
                raise UserError(
                    f"{both}: one of row {run.row} separates all sources, the other one; collect "
                    "them apart"
                )
            _check_setting(run, other, per_run_keys, both)
            # One cut short may give the energy of another that ran whole.
            same = (run.source, run.seed, run.cut_short)
            if run.seed is not None and same == (other.source, other.seed, other.cut_short):
                raise UserError(
                    f"{both}: both are {run.row} {run.source or ''} with seed {run.seed}; collect "
                    "one of them"
                )


def _check_setting(run: Run, other: Run, per_run_keys: Sequence[str], both: str) -> None:
    """Refuse runs with other data, or another configuration than their seed and source make."""
    if run.data_fingerprint != other.data_fingerprint:
        raise UserError(f"{both}: trained on different data; collect them apart")
    aside = set(per_run_keys)
    if run.source != other.source:
        aside |= set(PER_SOURCE_KEYS)
    one, two = (_settings(r.configuration, aside) for r in (other, run))
    for key in [*one, *(key for key in two if key not in one)]:
        if one.get(key) != two.get(key):
            raise UserError(
                f"{both}: both of row {run.row}, but {key} is {one.get(key)!r} and "
                f"{two.get(key)!r}; collect them apart"
            )


def _settings(configuration: Mapping[str, Any], aside: set[str], prefix: str = "") -> dict:
    """All settings under their full names, but those to leave aside."""
    found = {}
    for key, value in configuration.items():
        if key in aside:
            continue
        if isinstance(value, Mapping):
            found.update(_settings(value, aside, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found
