"""The record that a ledger keeps of a training run: its form.

`ledger.json` is one JSON object. Hours and seconds are wall time, energies kWh with the power
usage effectiveness in them, gigabytes 2**30 bytes, times UTC in ISO 8601, scores dB. What is not
known is null.

- `format` "asteroid-bsrnn ledger", `version` 1.
- `row`, `source` (null for a network of all sources), `seed`, `n_parameters` (trainable): the run.
- `configuration`, resolved and plain, and `configuration_sha256`, independent of the keys' order.
- `data_fingerprint`: of the data set, as its reader tells it.
- `unlabelled`: null, or what was learnt from songs without all stems: `songs_used`, `hours` (of all
  songs), `hours_used`, `as_songs` (hours in which all sources of a song are compared), `licences`
  (hours by licence), `filter` (its settings), `teachers` (`label`, `sha256` of the weights,
  `licence`, `training_data`, `two_stems`, `settings`; the first one's estimates were used) and
  `selection_sha256`. Ledgers from before there was such data lack it.
- `code`: `version`, `git_commit`, `git_dirty`.
- `software`: versions by name. `hardware`: `platform`, `cpu_model`, `cpu_cores`, `cpu_threads`,
  `memory_gb`, `gpus` (a list of `name` and `memory_gb`).
- `sessions`: one for each start of the training's process:
  - `start`, `end` (of the last update), `state`: "running", "finished" or "interrupted".
  - `first_epoch`: the one it began with; `last_epoch`: the last it completed, null before that.
  - `steps` of the optimiser, `samples` (training examples), `wall_seconds`: its own.
  - `n_gpus`, `n_machines` that it used.
  - `energy`: `status` ("measured", "off" or "unavailable") and `reason`; `seconds`, `cpu_kwh`,
    `gpu_kwh`, `ram_kwh`, `kwh`, `emissions_kg` (CO2 equivalent); `last_epoch`, the last that the
    figures cover; `tracker`, `scope`, `country`, `pue`, `methods`: how they were measured. They are
    those of one machine.
  - `green_algorithms`: `kwh`, or null and a `reason`, and all that went into it.
  - `peak_memory`: `rss_gb` of the main process, `gpu_gb` of the fullest GPU.
  - `differs`: of the record's `configuration`, `data_fingerprint`, `unlabelled`, `code`, `software`
    and `hardware`, which describe the first session, those that were others in this one.
- `totals` over the sessions: `hours`, `steps`, `samples`, `samples_per_second`, `epochs`
  (completed, each counted once), `energy_epochs` (those of them that the energies cover), `kwh`,
  `cpu_kwh`, `gpu_kwh`, `ram_kwh`, `emissions_kg`, `green_algorithms_kwh`, `peak_memory`.
- `best`: null, or `epoch` and `usdr` (source -> dB) of the best validation so far.
- `extrapolated`: null, or what `extrapolate` foretells for a run of `epochs` epochs.
- `replaces`: null, or the name of the damaged ledger that was kept aside for this one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

from ..errors import UserError
from .accounting import ENERGIES, totals

FORMAT = "asteroid-bsrnn ledger"
VERSION = 1
FILE_NAME = "ledger.json"

STATES = ("running", "finished", "interrupted")

_NUMBER = (int, float)
_OPTIONAL_NUMBER = (int, float, type(None))
_RECORD = {
    "row": str,
    "source": (str, type(None)),
    "seed": (int, type(None)),
    "n_parameters": int,
    "configuration": dict,
    "configuration_sha256": str,
    "data_fingerprint": (str, type(None)),
    "unlabelled": (dict, type(None)),
    "code": dict,
    "software": dict,
    "hardware": dict,
    "sessions": list,
    "totals": dict,
    "best": (dict, type(None)),
    "extrapolated": (dict, type(None)),
    "replaces": (str, type(None)),
}
_SESSION = {
    "start": str,
    "end": str,
    "state": str,
    "first_epoch": int,
    "last_epoch": (int, type(None)),
    "steps": int,
    "samples": int,
    "wall_seconds": _NUMBER,
    "n_gpus": int,
    "n_machines": int,
    "energy": dict,
    "green_algorithms": dict,
    "peak_memory": dict,
    "differs": dict,
}
_ENERGY = {
    "status": str,
    "last_epoch": (int, type(None)),
    **dict.fromkeys(ENERGIES, _OPTIONAL_NUMBER),
}
_EXTRAPOLATED = {"epochs": int, "hours": _NUMBER, **dict.fromkeys(ENERGIES, _OPTIONAL_NUMBER)}


class DamagedLedger(UserError):
    """A file that is no ledger, or no whole one."""


def read(path: str | Path) -> dict[str, Any]:
    """A ledger's record, checked.

    Args:
        path: `ledger.json`, or the run folder with it.

    Raises:
        UserError: if there is none, it is damaged, or of a newer version than this package knows.
    """
    path = ledger_path(path)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: no ledger can be read there ({error.strerror}); give a run's folder"
        ) from error
    except ValueError as error:
        raise DamagedLedger(f"{path}: not a ledger: no valid JSON ({error})") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DamagedLedger(f"{path}: not a ledger: its format is not {FORMAT!r}")
    if record.get("version") != VERSION:
        raise UserError(
            f"{path}: a ledger of version {record.get('version')}, this package knows {VERSION}; "
            "update asteroid-bsrnn"
        )
    record.setdefault("unlabelled", None)
    _check(record, _RECORD, str(path))
    for number, session in enumerate(record["sessions"]):
        where = f"{path}: sessions[{number}]"
        if not isinstance(session, dict):
            raise DamagedLedger(f"{where} is no object")
        _check(session, _SESSION, where)
        _check(session["energy"], _ENERGY, f"{where}.energy")
        _check(session["green_algorithms"], {"kwh": _OPTIONAL_NUMBER}, f"{where}.green_algorithms")
        if session["state"] not in STATES:
            raise DamagedLedger(
                f"{where}.state is {session['state']!r}; valid: {', '.join(STATES)}"
            )
    if record["best"] is not None:
        _check(record["best"], {"usdr": dict}, f"{path}: best")
    if record["extrapolated"] is not None:
        _check(record["extrapolated"], _EXTRAPOLATED, f"{path}: extrapolated")
    # Sums are never worth more than what they sum up.
    record["totals"] = totals(record["sessions"])
    return record


def ledger_path(path: str | Path) -> Path:
    """The ledger's file: the path itself, or the file in the folder that it names."""
    path = Path(path)
    return path if path.suffix == ".json" else path / FILE_NAME


def new_record(run_and_setting: Mapping[str, Any]) -> dict[str, Any]:
    """A record without sessions.

    Args:
        run_and_setting: all that describes the run and what it runs with.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        **run_and_setting,
        "sessions": [],
        "totals": totals([]),
        "best": None,
        "extrapolated": None,
        "replaces": None,
    }


def new_session(
    *,
    first_epoch: int,
    n_gpus: int,
    n_machines: int,
    energy_settings: Mapping[str, Any],
    differs: Mapping[str, Any],
) -> dict[str, Any]:
    """A session that begins now; what follows from the clock is still to be filled in."""
    return {
        "start": now(),
        "end": now(),
        "state": "running",
        "first_epoch": first_epoch,
        "last_epoch": None,
        "steps": 0,
        "samples": 0,
        "wall_seconds": 0.0,
        "n_gpus": n_gpus,
        "n_machines": n_machines,
        "energy": {
            "status": "off",
            "reason": None,
            "seconds": None,
            **dict.fromkeys(ENERGIES),
            "last_epoch": None,
            **plain(energy_settings, "energy_settings"),
        },
        "green_algorithms": {"kwh": None},
        "peak_memory": {"rss_gb": None, "gpu_gb": None},
        "differs": dict(differs),
    }


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def plain(value: Any, where: str = "configuration") -> Any:
    """A value made of what JSON knows: mappings, lists, text, numbers, true, false and null.

    Args:
        value: may hold paths, tuples, sets, and scalars of NumPy or PyTorch too. Infinities and
            NaN, which JSON lacks, become text.
        where: what the value is called in an error.

    Raises:
        UserError: if there is anything else in it.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item, where) for item in value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return plain(value.item(), where)
    raise UserError(f"{where} is a {type(value).__name__}, which a ledger can't hold")


def _check(mapping: Mapping, form: Mapping[str, Any], where: str) -> None:
    """Refuse a mapping that lacks a key, or has a value of another type."""
    for key, types in form.items():
        if key not in mapping:
            raise DamagedLedger(f"{where}: no {key!r} in it; the ledger is damaged")
        if not isinstance(mapping[key], types) or isinstance(mapping[key], bool):
            got = type(mapping[key]).__name__
            raise DamagedLedger(f"{where}: {key!r} is of type {got}; the ledger is damaged")


def fingerprint(config: Mapping) -> str:
    """SHA-256 of a configuration, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
