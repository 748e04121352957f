"""Sums over the sessions of a run, and what they foretell of a longer one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import UserError

ENERGIES = ("kwh", "cpu_kwh", "gpu_kwh", "ram_kwh", "emissions_kg")


def totals(sessions: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over the sessions of a run, as the record's `totals`."""
    sessions = list(sessions)
    energies = [session["energy"] for session in sessions]
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
        **{name: _sum_known(energy[name] for energy in energies) for name in ENERGIES},
        "green_algorithms_kwh": _sum_if_all_known(s["green_algorithms"]["kwh"] for s in sessions),
        "peak_memory": {
            name: max((p[name] for p in peaks if p.get(name) is not None), default=None)
            for name in ("rss_gb", "gpu_gb")
        },
    }


def extrapolate(record: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """What a run would take over more epochs than were measured, each like those.

    Args:
        record: of a run, as `read` gives it.
        epochs: of the whole run.

    Returns:
        `epochs`; `measured_epochs` and `measured_energy_epochs`, which it goes by; `hours`,
        `steps`, `samples`, `green_algorithms_kwh` and all energies of the whole run.

    Raises:
        UserError: if no epoch was measured, or more than `epochs` were.
    """
    done = record["totals"]
    measured, with_energy = done["epochs"], done["energy_epochs"]
    if not measured:
        raise UserError(f"{record['row']}: no epoch was completed to extrapolate from")
    if epochs < measured:
        raise UserError(f"can't extrapolate to {epochs} epochs: {measured} were run already")
    by_time = ("hours", "steps", "samples", "green_algorithms_kwh")
    foretold = {name: _scaled(done[name], epochs, measured) for name in by_time}
    for name in ENERGIES:
        foretold[name] = _scaled(done[name], epochs, with_energy)
    return {
        "epochs": epochs,
        "measured_epochs": measured,
        "measured_energy_epochs": with_energy,
        **foretold,
    }


def _count_epochs(spans: Iterable[tuple[int, int | None]]) -> int:
    """Number of epochs in any of the spans; one that was run twice counts once."""
    return len(
        {epoch for first, last in spans if last is not None for epoch in range(first, last + 1)}
    )


def _sum_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _sum_if_all_known(values: Iterable[float | None]) -> float | None:
    values = list(values)
    return None if None in values or not values else sum(values)


def _scaled(value: float | None, epochs: int, measured: int) -> float | None:
    """`value` for `measured` epochs as it would be for `epochs`; whole numbers stay so."""
    if value is None or not measured:
        return None
    return round(value * epochs / measured) if isinstance(value, int) else value * epochs / measured
