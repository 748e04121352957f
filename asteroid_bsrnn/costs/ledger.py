"""The ledger of a training run, `ledger.json`: its settings, resources and best scores.

`record` documents the format. The file is replaced atomically at every update, so a killed run
leaves its resources until then. The next session is added to it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import remove_unfinished, whole_file
from . import environment
from .energy import EnergyReading
from .green_algorithms import DEFAULT_PUE, estimate
from .record import (
    DamagedLedger,
    extrapolate,
    fingerprint,
    ledger_path,
    new_record,
    new_session,
    now,
    plain,
    read,
    totals,
)
from .runs import differing_settings, latest


class Ledger:
    """Writer of a run's ledger.

    Args:
        path: path of `ledger.json`, or the folder of the run, which is made if need be.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = ledger_path(Path(path))
        self._record: dict[str, Any] | None = None
        self._session: dict[str, Any] | None = None
        self._began = 0.0
        self._pue = DEFAULT_PUE
        self._damage: str | None = None
        # Whether this session has written the file. A folder that is removed later is not made
        # again.
        self._written = False

    @property
    def record(self) -> dict[str, Any]:
        """Copy of the current record."""
        return copy.deepcopy(self._opened())

    def open_session(
        self,
        *,
        row: str,
        source: str | None,
        seed: int | None,
        n_parameters: int,
        configuration: Mapping[str, Any],
        data_fingerprint: str | None = None,
        unlabelled: Mapping[str, Any] | None = None,
        contents: Mapping[str, str] | None = None,
        first_epoch: int = 0,
        n_gpus: int | None = None,
        n_machines: int = 1,
        pue: float = DEFAULT_PUE,
        energy_settings: Mapping[str, Any] | None = None,
        write: bool = True,
    ) -> None:
        """Begin a session at each start of the training's process.

        An earlier session that was not closed is marked as interrupted. A damaged ledger is renamed
        with a warning, and a new one is begun.

        Args:
            row: name of the table's row.
            source: source that the network separates; None for a network of all sources.
            seed: seed of all random choices.
            n_parameters: number of trainable parameters.
            configuration: resolved configuration.
            data_fingerprint: fingerprint of the data set.
            unlabelled: facts about songs without stems; None if there were none.
            contents: from settings that name a file to the SHA-256 of its content.
            first_epoch: first epoch of the session, possibly a resumed one.
            n_gpus: number of GPUs used on all machines; None for all visible ones.
            n_machines: number of machines.
            pue: power usage effectiveness, for the Green Algorithms estimate.
            energy_settings: `EnergyMeter.description()`.
            write: whether to write the file now instead of at the first update.

        Raises:
            UserError: if the folder cannot be written, the configuration has values that JSON
                cannot hold, or the ledger belongs to another run.
        """
        setting = _setting(configuration, data_fingerprint, unlabelled, contents)
        if self.path.parent.is_dir():
            remove_unfinished(self.path)
        run = {"row": row, "source": source, "seed": seed, "n_parameters": n_parameters}
        record = self._load(run) or new_record({**run, **setting})
        # The extrapolation was from fewer epochs.
        record["extrapolated"] = None
        changes = {}
        if record["sessions"]:
            former = latest(record, "configuration")
            changes = differing_settings(former, setting["configuration"])
        for former in record["sessions"]:
            if former["state"] == "running":
                former["state"] = "interrupted"
        visible = len(setting["hardware"]["gpus"])
        session = new_session(
            first_epoch=first_epoch,
            n_gpus=visible if n_gpus is None else n_gpus,
            n_machines=n_machines,
            energy_settings=energy_settings or {},
            differs={key: value for key, value in setting.items() if record[key] != value},
            changes=[{"key": key, "old": old, "new": new} for key, (old, new) in changes.items()],
        )
        record["sessions"].append(session)
        self._record, self._session, self._pue = record, session, pue
        self._began = time.monotonic()
        self._refresh()
        if not write:
            return
        try:
            self._write()
        except OSError as error:
            raise UserError(
                f"{self.path}: cannot be written ({error.strerror}); choose another run folder"
            ) from error

    def update(
        self,
        *,
        epoch: int | None = None,
        steps: int | None = None,
        samples: int | None = None,
        energy: EnergyReading | None = None,
        best: Mapping[str, float] | None = None,
        best_epoch: int | None = None,
    ) -> None:
        """Update the session, at least at the end of every epoch.

        A failure to write gives a warning and does not stop the training.

        Args:
            epoch: latest completed epoch. None means no change, here and below.
            steps: steps of the optimiser since the session began.
            samples: training examples since the session began, on all devices.
            energy: energy since the session began.
            best: uSDR in dB by source of the run's best validation so far.
            best_epoch: the epoch of that validation.
        """
        record, session = self._opened(), self._session
        for key, value in {"last_epoch": epoch, "steps": steps, "samples": samples}.items():
            if value is not None:
                session[key] = int(value)
        if energy is not None:
            _note_energy(session, energy)
        if best is not None:
            scores = {name: float(score) for name, score in best.items()}
            scores = {name: s if math.isfinite(s) else None for name, s in scores.items()}
            record["best"] = {"epoch": best_epoch, "usdr": scores}
        self._refresh()
        self._write_or_warn()

    def close(self, *, finished: bool, **changes: Any) -> None:
        """End the session.

        Args:
            finished: whether the training is complete; otherwise it was interrupted.
            changes: arguments of `update`.
        """
        self._opened()
        self._session["state"] = "finished" if finished else "interrupted"
        self.update(**changes)

    def extrapolate(self, epochs: int) -> dict[str, Any]:
        """Record the extrapolation to a run of `epochs` epochs, and return it.

        Raises:
            UserError: as the function `extrapolate`.
        """
        extrapolated = extrapolate(self._opened(), epochs)
        self._record["extrapolated"] = extrapolated
        self._write_or_warn()
        return dict(extrapolated)

    def _opened(self) -> dict[str, Any]:
        if self._record is None:
            raise RuntimeError("open a session first")
        return self._record

    def _refresh(self) -> None:
        """Update values that depend on the clock and the machine."""
        session = self._session
        session["end"] = now()
        session["wall_seconds"] = time.monotonic() - self._began
        session["green_algorithms"] = estimate(
            session["wall_seconds"] / 3600,
            session["differs"].get("hardware", self._record["hardware"]),
            n_gpus=session["n_gpus"],
            n_machines=session["n_machines"],
            pue=self._pue,
        )
        session["peak_memory"] = environment.peak_memory()
        self._record["totals"] = totals(self._record["sessions"])

    def _load(self, run: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the existing record; None if it is missing or damaged.

        Raises:
            UserError: if it belongs to another run.
        """
        self._damage = None
        if not self.path.exists():
            return None
        try:
            record = read(self.path)
        except DamagedLedger as error:
            self._damage = str(error)
            return None
        for key, value in run.items():
            if record[key] != value:
                raise UserError(
                    f"{self.path}: belongs to a run with {key} {record[key]}, not {value}; choose "
                    "another run folder"
                )
        return record

    def _set_aside_if_damaged(self) -> None:
        """Rename a damaged ledger, warn, and store its name in the new one."""
        if self._damage is None:
            return
        aside = _free_name(self.path)
        self.path.rename(aside)
        self._record["replaces"] = aside.name
        warnings.warn(f"{self._damage}; kept as {aside.name}, a new one is begun", stacklevel=4)
        self._damage = None

    def _write_or_warn(self) -> None:
        try:
            self._write()
        except OSError as error:
            warnings.warn(f"{self.path}: not written: {error.strerror}", stacklevel=3)

    def _write(self) -> None:
        if not self._written:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._set_aside_if_damaged()
            self._written = True
        text = json.dumps(self._record, indent=1, allow_nan=False)
        with whole_file(self.path) as unfinished, open(unfinished, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            # After a power cut, either the former or the new file must be on the disk.
            os.fsync(file.fileno())


def _setting(
    configuration: Mapping[str, Any],
    data_fingerprint: str | None,
    unlabelled: Mapping[str, Any] | None,
    contents: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return the setting of a session."""
    configuration = plain(configuration)
    return {
        "configuration": configuration,
        "configuration_sha256": fingerprint(configuration),
        "data_fingerprint": data_fingerprint,
        "unlabelled": None if unlabelled is None else plain(unlabelled, "unlabelled"),
        "contents": dict(contents or {}),
        "code": environment.code_version(),
        "software": environment.software(),
        "hardware": environment.hardware(),
    }


def _note_energy(session: dict[str, Any], reading: EnergyReading) -> None:
    """Store a reading and the last epoch that it covers."""
    energy = session["energy"]
    # A stopped meter repeats its reading, which does not cover later epochs.
    if (reading.seconds or 0) > (energy["seconds"] or 0):
        energy["last_epoch"] = session["last_epoch"]
    energy.update(dataclasses.asdict(reading), kwh=reading.kwh)


def _free_name(path: Path) -> Path:
    """Return an unused name beside `path`."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    return aside
