"""Runs for the paper's table, and the check which runs may share a row."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..tables import Cell
from .record import read

# Keys of the configuration, at any depth, that may differ between runs of a row, because they name
# the run or its folders, or affect neither scores nor kWh.
_PER_RUN_KEYS = (
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
# Keys that depend on the source, and differ between the networks of a row.
_PER_SOURCE_KEYS = ("sources", "bands")


@dataclass(frozen=True)
class Run:
    """A run: its folder, and the record of its ledger."""

    folder: Path
    record: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Run:
        """Load the run in a folder.

        Raises:
            UserError: if its ledger is missing or damaged.
        """
        return cls(Path(folder), read(folder))

    @property
    def row(self) -> str:
        """Name of the row."""
        return self.record["row"]

    @property
    def source(self) -> str | None:
        """Source that the run separates; None for all."""
        return self.record["source"]

    @property
    def seed(self) -> int | None:
        """Seed of the run."""
        return self.record["seed"]

    @property
    def configuration(self) -> Mapping[str, Any]:
        """Configuration of the latest session."""
        return latest(self.record, "configuration")

    @property
    def data_fingerprint(self) -> str | None:
        """Fingerprint of the latest session's data."""
        return latest(self.record, "data_fingerprint")

    @property
    def contents(self) -> Mapping[str, str]:
        """SHA-256 of the files that settings of the latest session name, by the setting."""
        return latest(self.record, "contents")

    @property
    def cut_short(self) -> bool:
        """Whether it ran only some epochs to extrapolate from, so that its scores mean nothing."""
        extrapolated = self.record["extrapolated"]
        epochs = self.record["totals"]["epochs"]
        return extrapolated is not None and extrapolated["epochs"] > epochs

    def value(self, number: float | None, extrapolated: bool = False) -> Cell | None:
        """Return a number of this run with its marks; None for None and NaN."""
        if number is None or math.isnan(number):
            return None
        sessions = self.record["sessions"]
        finished = bool(sessions) and sessions[-1]["state"] == "finished"
        marks = {"extrapolated": extrapolated, "unfinished": not finished}
        return Cell(number, marks=tuple(name for name, applies in marks.items() if applies))

    def validation_score(self, source: str) -> Cell | None:
        """Return the best uSDR of a source in dB."""
        best = self.record["best"]
        return None if best is None or self.cut_short else self.value(best["usdr"].get(source))

    def parameters(self) -> Cell:
        """Return the number of trainable parameters in millions."""
        return Cell(self.record["n_parameters"] / 1e6)

    def codecarbon_kwh(self) -> Cell | None:
        """Return the measured energy; None where it does not cover all epochs."""
        totals = self.record["totals"]
        complete = totals["epochs"] == totals["energy_epochs"]
        return self._energy("kwh", "measured_energy_epochs", complete)

    def green_algorithms_kwh(self) -> Cell | None:
        """Return the estimated energy."""
        return self._energy("green_algorithms_kwh", "measured_epochs", True)

    def _energy(self, name: str, measured: str, complete: bool) -> Cell | None:
        extrapolated = self.record["extrapolated"]
        if extrapolated is not None:
            partly = extrapolated[measured] < extrapolated["epochs"]
            return self.value(extrapolated[name], partly)
        return self.value(self.record["totals"][name]) if complete else None


def latest(record: Mapping[str, Any], name: str) -> Any:
    """Return what a record's latest session ran with, such as its `configuration`."""
    value = record[name]
    for session in record["sessions"]:
        value = session["differs"].get(name, value)
    return value


def differing_settings(
    old: Mapping[str, Any], new: Mapping[str, Any], aside: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ between two configurations, as old and new values.

    Names are `group.key`; a value is None where a configuration lacks the key. Keys in `aside` are
    left out, at any depth.
    """
    one, two = _settings(old, aside), _settings(new, aside)
    keys = [*one, *(key for key in two if key not in one)]
    return {key: (one.get(key), two.get(key)) for key in keys if one.get(key) != two.get(key)}


def check_alike(runs: Sequence[Run]) -> None:
    """Refuse runs of one row that cannot share it.

    Raises:
        UserError: naming two runs and their difference.
    """
    for index, run in enumerate(runs):
        for other in runs[:index]:
            both = f"{other.folder} and {run.folder}"
            if (run.source is None) != (other.source is None):
                raise UserError(
                    f"{both}: one of row {run.row} separates all sources, the other one; collect "
                    "them apart"
                )
            _check_setting(run, other, both)
            # A run cut short may supply the energy of another that is complete.
            same = (run.source, run.seed, run.cut_short)
            if run.seed is not None and same == (other.source, other.seed, other.cut_short):
                raise UserError(
                    f"{both}: both are {run.row} {run.source or ''} with seed {run.seed}; collect "
                    "one of them"
                )


def _check_setting(run: Run, other: Run, both: str) -> None:
    """Refuse runs whose data or configuration differ beyond seed and source."""
    if run.data_fingerprint != other.data_fingerprint:
        raise UserError(f"{both}: trained on different data; collect them apart")
    aside = {*_PER_RUN_KEYS, *(_PER_SOURCE_KEYS if run.source != other.source else ())}
    # The same file may have another path on another machine.
    moved = {key for key, value in run.contents.items() if other.contents.get(key) == value}
    for key, (one, two) in differing_settings(
        other.configuration, run.configuration, aside
    ).items():
        if key not in moved:
            raise UserError(
                f"{both}: both of row {run.row}, but {key} is {one!r} and {two!r}; collect them "
                "apart"
            )


def _settings(configuration: Mapping[str, Any], aside: Collection[str], prefix: str = "") -> dict:
    """Return all settings under their full names, without the keys in `aside`."""
    found = {}
    for key, value in configuration.items():
        if key in aside:
            continue
        if isinstance(value, Mapping):
            found.update(_settings(value, aside, f"{prefix}{key}."))
        else:
            found[prefix + key] = value
    return found
