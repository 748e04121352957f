"""The record of a training run, `ledger.json`: its format, how it is read, and how runs add up.

The file is one JSON object. Hours and seconds are wall time, energies are in kWh and include the
power usage effectiveness, gigabytes are 2**30 bytes, times are UTC in ISO 8601, scores are in dB.
What is unknown is null.

- `format` "asteroid-bsrnn ledger", `version` 1.
- `row`, `source` (null for a network of all sources), `seed`, `n_parameters` (trainable): the run.
- `configuration`, resolved and plain, and `configuration_sha256`, independent of the keys' order.
- `data_fingerprint` of the data set.
- `unlabelled`: null, or what was learnt from songs without all stems: `songs_used`, `hours` (of all
  songs), `hours_used`, `as_songs` (hours in which all sources of a song are compared), `licences`
  (hours by licence), `filter` (its settings), `teachers` (`label`, `sha256` of the weights,
  `licence`, `training_data`, `two_stems`, `settings`; the first one's estimates were used) and
  `selection_sha256`. Older ledgers have no such key.
- `contents`: from a setting that names a file, such as `data.validation_tracks`, to the SHA-256 of
  its content. Older ledgers have no such key.
- `code`: `version`, `git_commit`, `git_dirty`.
- `software`: versions by name. `hardware`: as `environment.hardware` returns it.
- `sessions`: one for each start of the training's process:
  - `start`, `end` (of the last update), `state`: "running", "finished" or "interrupted".
  - `first_epoch`: the one it began with; `last_epoch`: the last it completed, null before that.
  - `steps` of the optimiser, `samples` (training examples), `wall_seconds` of this session.
  - `n_gpus`, `n_machines` that it used.
  - `energy`: `status` ("measured", "off" or "unavailable") and `reason`; `seconds`, `cpu_kwh`,
    `gpu_kwh`, `ram_kwh`, `kwh`, `emissions_kg` (CO2 equivalent), all of one machine; `last_epoch`,
    the last that the figures cover; `tracker`, `scope`, `country`, `pue`, `methods`: how they were
    measured.
  - `green_algorithms`: `kwh`, or null and a `reason`, and all inputs of the formula.
  - `peak_memory`: `rss_gb` of the main process, `gpu_gb` of the fullest GPU.
  - `differs`: what this session ran with instead of the record's `configuration`,
    `data_fingerprint`, `unlabelled`, `contents`, `code`, `software` and `hardware`, those of the
    first session.
  - `changes`: settings that differ from those of the session before: a list of `key`, `old` and
    `new`. Older ledgers have no such key.
- `totals` over the sessions: `hours`, `steps`, `samples`, `samples_per_second`, `epochs`
  (completed, each counted once), `energy_epochs` (those of them that the energies cover), `kwh`,
  `cpu_kwh`, `gpu_kwh`, `ram_kwh`, `emissions_kg`, `green_algorithms_kwh`, `peak_memory`.
- `best`: null, or `epoch` and `usdr` (source -> dB) of the best validation so far.
- `extrapolated`: null, or what `extrapolate` returns for a run of `epochs` epochs.
- `replaces`: null, or the name of the damaged ledger that was kept aside for this one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path, PurePath
from typing import Any

from ..errors import UserError

FORMAT = "asteroid-bsrnn ledger"
VERSION = 1
FILE_NAME = "ledger.json"

STATES = ("running", "finished", "interrupted")
_ENERGIES = ("kwh", "cpu_kwh", "gpu_kwh", "ram_kwh", "emissions_kg")

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
    "contents": dict,
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
    "changes": list,
}
_ENERGY = {
    "status": str,
    "last_epoch": (int, type(None)),
    **dict.fromkeys(_ENERGIES, _OPTIONAL_NUMBER),
}
_EXTRAPOLATED = {"epochs": int, "hours": _NUMBER, **dict.fromkeys(_ENERGIES, _OPTIONAL_NUMBER)}


class DamagedLedger(UserError):
    """The file is no ledger, or not a whole one."""


def ledger_path(path: str | Path) -> Path:
    """Return the ledger's file: the path itself, or the file in the folder that it names."""
    path = Path(path)
    return path if path.suffix == ".json" else path / FILE_NAME


def read(path: str | Path) -> dict[str, Any]:
    """Read and check a ledger; `path` is that of `ledger.json`, or of the run's folder.

    Raises:
        UserError: if there is none, it is damaged, or of a newer version than this package reads.
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
    record.setdefault("contents", {})
    _check(record, _RECORD, str(path))
    for number, session in enumerate(record["sessions"]):
        _check_session(session, f"{path}: sessions[{number}]")
    if record["best"] is not None:
        _check(record["best"], {"usdr": dict}, f"{path}: best")
    if record["extrapolated"] is not None:
        _check(record["extrapolated"], _EXTRAPOLATED, f"{path}: extrapolated")
    # The sums in the file may be older than the sessions.
    record["totals"] = totals(record["sessions"])
    return record


def new_record(run_and_setting: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without sessions of a run and its setting."""
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
    changes: Iterable[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return a session that begins now; `Ledger` updates what depends on the clock."""
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
            **dict.fromkeys(_ENERGIES),
            "last_epoch": None,
            **plain(energy_settings, "energy_settings"),
        },
        "green_algorithms": {"kwh": None},
        "peak_memory": {"rss_gb": None, "gpu_gb": None},
        "differs": dict(differs),
        "changes": [dict(change) for change in changes],
    }


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def totals(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the sums over the sessions of a run, the record's `totals`."""
    sessions = list(sessions)
    energies = [session["energy"] for session in sessions]
    estimates = [session["green_algorithms"]["kwh"] for session in sessions]
    seconds = sum(session["wall_seconds"] for session in sessions)
    samples = sum(session["samples"] for session in sessions)
    peaks = [session["peak_memory"] for session in sessions]
    return {
        "hours": seconds / 3600,
        "steps": sum(session["steps"] for session in sessions),
        "samples": samples,
        "samples_per_second": samples / seconds if seconds else None,
        "epochs": _count_epochs((s["first_epoch"], s["last_epoch"]) for s in sessions),
        "energy_epochs": _count_epochs(
            (session["first_epoch"], session["energy"]["last_epoch"]) for session in sessions
        ),
        **{name: _sum_known(energy[name] for energy in energies) for name in _ENERGIES},
        "green_algorithms_kwh": None if None in estimates else _sum_known(estimates),
        "peak_memory": {
            name: max((p[name] for p in peaks if p.get(name) is not None), default=None)
            for name in ("rss_gb", "gpu_gb")
        },
    }


def extrapolate(record: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """Extrapolate time and energy to a run of more epochs, each like those measured.

    Args:
        record: of a run, as `read` returns it.
        epochs: of the whole run.

    Returns:
        `epochs`; `measured_epochs` and `measured_energy_epochs`, which it is based on; `hours`,
        `steps`, `samples`, `green_algorithms_kwh` and all energies of the whole run.

    Raises:
        UserError: if no epoch was measured, or more than `epochs` were.
    """
    done = record["totals"]
    measured, with_energy = done["epochs"], done["energy_epochs"]
    if not measured:
        raise UserError(f"{record['row']}: no epoch was completed to extrapolate from")
    if epochs < measured:
        raise UserError(f"cannot extrapolate to {epochs} epochs: {measured} were run already")
    by_time = ("hours", "steps", "samples", "green_algorithms_kwh")
    return {
        "epochs": epochs,
        "measured_epochs": measured,
        "measured_energy_epochs": with_energy,
        **{name: _scaled(done[name], epochs, measured) for name in by_time},
        **{name: _scaled(done[name], epochs, with_energy) for name in _ENERGIES},
    }


def plain(value: Any, where: str = "configuration") -> Any:
    """Return a value of JSON's types: mappings, lists, text, numbers, true, false and null.

    Args:
        value: may also hold paths, tuples, sets, and scalars of NumPy or PyTorch. Infinities and
            NaN, which JSON lacks, become text.
        where: name of the value in an error.

    Raises:
        UserError: if it holds anything else.
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
    raise UserError(f"{where} is a {type(value).__name__}, which a ledger cannot hold")


def fingerprint(config: Mapping) -> str:
    """Return the SHA-256 of a configuration, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()


def _check_session(session: Any, where: str) -> None:
    if not isinstance(session, dict):
        raise DamagedLedger(f"{where} is no object")
    session.setdefault("changes", [])
    _check(session, _SESSION, where)
    _check(session["energy"], _ENERGY, f"{where}.energy")
    _check(session["green_algorithms"], {"kwh": _OPTIONAL_NUMBER}, f"{where}.green_algorithms")
    if session["state"] not in STATES:
        raise DamagedLedger(f"{where}.state is {session['state']!r}; valid: {', '.join(STATES)}")


def _check(mapping: Mapping, form: Mapping[str, Any], where: str) -> None:
    """Refuse a mapping that lacks a key, or has a value of another type."""
    for key, types in form.items():
        if key not in mapping:
            raise DamagedLedger(f"{where}: no {key!r} in it; the ledger is damaged")
        if not isinstance(mapping[key], types) or isinstance(mapping[key], bool):
            got = type(mapping[key]).__name__
            raise DamagedLedger(f"{where}: {key!r} is of type {got}; the ledger is damaged")


def _count_epochs(spans: Iterable[tuple[int, int | None]]) -> int:
    """Return the number of epochs in any of the spans; one that was run twice counts once."""
    return len(
        {epoch for first, last in spans if last is not None for epoch in range(first, last + 1)}
    )


def _sum_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _scaled(value: float | None, epochs: int, measured: int) -> float | None:
    """Return the value of `measured` epochs scaled to `epochs`; whole numbers stay whole."""
    if value is None or not measured:
        return None
    return round(value * epochs / measured) if isinstance(value, int) else value * epochs / measured
