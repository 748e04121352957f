"""Energy of a run, measured offline by CodeCarbon.

CodeCarbon measures the whole machine: GPUs by their counters, the memory by a model, and the CPU by
its counter or, if that is not readable, by a model of load and design power. All figures include
the power usage effectiveness. Each of several runs on a machine counts the whole machine, except
for GPUs hidden by CUDA_VISIBLE_DEVICES.

CodeCarbon catches its own exceptions and logs them; this module raises them. Neither this module
nor a user's settings of CodeCarbon make it send anything anywhere.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import logging
import os
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import UserError
from .green_algorithms import DEFAULT_PUE, check_pue

DEFAULT_COUNTRY = "FRA"

# CodeCarbon's modes that read the power of a CPU from a meter; its other modes are models.
_CPU_METERS = ("intel_rapl", "intel_power_gadget", "windows_emi")


@dataclasses.dataclass(frozen=True)
class EnergyReading:
    """Energy used so far, including the power usage effectiveness.

    Attributes:
        status: "measured"; "off" if nothing is measured; "unavailable" after a failure of
            CodeCarbon, with the figures before it, if any.
        reason: reason of the failure.
        seconds: duration of the measurement.
        cpu_kwh: energy of the CPUs.
        gpu_kwh: energy of the GPUs.
        ram_kwh: energy of the memory.
        emissions_kg: CO2 equivalent for the country's mix of electricity.
    """

    status: str
    reason: str | None = None
    seconds: float | None = None
    cpu_kwh: float | None = None
    gpu_kwh: float | None = None
    ram_kwh: float | None = None
    emissions_kg: float | None = None

    @property
    def kwh(self) -> float | None:
        """Sum of the three energies; None if nothing was measured."""
        if self.cpu_kwh is None or self.gpu_kwh is None or self.ram_kwh is None:
            return None
        return self.cpu_kwh + self.gpu_kwh + self.ram_kwh


class EnergyMeter:
    """Measure the machine's energy from `start` to `stop`, or as a context manager.

    A failure of CodeCarbon never stops the training: the meter warns once, and its readings have
    the status "unavailable". A meter measures once.

    Args:
        enabled: whether to measure; only one of several processes on a machine may.
        country: ISO 3166 code of three letters, for the emissions.
        pue: power usage effectiveness of the data centre.
        interval: seconds between two measurements.
        output_directory: folder for CodeCarbon's emissions.csv, made if need be; None writes none.
        force_cpu_power: watts of the CPUs at full load; None for CodeCarbon's figure.
        force_ram_power: watts of the memory; None for CodeCarbon's model.

    Raises:
        UserError: if CodeCarbon is missing, or for an invalid country or effectiveness.
    """

    def __init__(
        self,
        *,
        enabled: bool = True,
        country: str = DEFAULT_COUNTRY,
        pue: float = DEFAULT_PUE,
        interval: float = 15.0,
        output_directory: str | os.PathLike | None = None,
        force_cpu_power: float | None = None,
        force_ram_power: float | None = None,
    ):
        check_pue(pue)
        self.enabled = enabled
        self._settings: dict[str, Any] = {
            "country": _check_country(country) if enabled else country,
            "pue": pue,
            "interval": interval,
            "directory": None if output_directory is None else Path(output_directory),
            "force_cpu_power": force_cpu_power,
            "force_ram_power": force_ram_power,
        }
        self._tracker: _OfflineTracker | None = None
        self._running = False
        self._failure: str | None = None
        self._methods: dict[str, str] | None = None

    def start(self) -> EnergyMeter:
        """Start measuring; CodeCarbon inspects the machine, which takes a second or two.

        Raises:
            RuntimeError: if the meter was started before.
        """
        if self._tracker is not None or self._failure is not None:
            raise RuntimeError("a meter measures once; make another one")
        if self.enabled:
            self._running = True
            self._guarded(self._start)
        return self

    def snapshot(self, fresh: bool = False) -> EnergyReading:
        """Return the energy since the start.

        Args:
            fresh: whether to measure now, which takes milliseconds. Otherwise the latest
                measurement, up to `interval` old, is returned at no cost.
        """
        if fresh and self._running:
            self._guarded(self._tracker.measure)
        return self._reading()

    def stop(self) -> EnergyReading:
        """Measure a last time and stop; a stopped meter repeats its last reading."""
        if self._running:
            self._guarded(self._tracker.stop)
            self._running = False
        return self._reading()

    def __enter__(self) -> EnergyMeter:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def description(self) -> dict[str, Any]:
        """Return a description of the measurement for a record.

        Returns:
            `tracker` (CodeCarbon and its version), `scope` ("machine"), `country`, `pue`, and
            `methods`, the sources of the power of "cpu", "gpu" and "ram", None before the start.
            All are None if nothing is measured.
        """
        if not self.enabled:
            return dict.fromkeys(("tracker", "scope", "country", "pue", "methods"))
        return {
            "tracker": f"codecarbon {metadata.version('codecarbon')}",
            "scope": "machine",
            "country": self._settings["country"],
            "pue": self._settings["pue"],
            "methods": self._methods,
        }

    def _start(self) -> None:
        self._tracker = _OfflineTracker(**self._settings)
        self._tracker.start()
        self._methods = self._tracker.methods()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Call CodeCarbon, and stop measuring after a failure."""
        try:
            action()
        # A failure of the measurement must not end a training.
        except Exception as error:
            self._failure = str(error) or type(error).__name__
            self._running = False
            warnings.warn(f"energy is measured no longer: {self._failure}", stacklevel=3)
            if self._tracker is not None:
                # Background measurements would keep failing.
                with contextlib.suppress(Exception):
                    self._tracker.stop()

    def _reading(self) -> EnergyReading:
        status = "measured" if self._failure is None else "unavailable"
        data = None if self._tracker is None else self._tracker.latest
        if data is None:
            return EnergyReading("off" if self._failure is None else status, self._failure)
        return EnergyReading(
            status,
            self._failure,
            seconds=data.duration,
            cpu_kwh=data.cpu_energy,
            gpu_kwh=data.gpu_energy,
            ram_kwh=data.ram_energy,
            emissions_kg=data.emissions,
        )


def _check_country(country: str) -> str:
    """Return a country's code in capitals.

    CodeCarbon would use the world's average for a country that it does not know.

    Raises:
        UserError: if CodeCarbon is missing, or does not know the country.
    """
    _import_codecarbon()
    from codecarbon.input import DataSource

    countries = DataSource().get_global_energy_mix_data()
    if isinstance(country, str) and country.upper() in countries:
        return country.upper()
    names = {entry["country_name"].lower(): code for code, entry in countries.items()}
    wanted = str(country)
    close = [names[name] for name in difflib.get_close_matches(wanted.lower(), names, n=1)]
    close += difflib.get_close_matches(wanted.upper(), countries)
    hint = f"; did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
    raise UserError(
        f"unknown country {country!r}: give its ISO 3166 code of three letters, such as FRA, DEU "
        f"or USA{hint}"
    )


class _OfflineTracker:
    """CodeCarbon's offline tracker, with failures as exceptions and a quiet log."""

    def __init__(self, *, country, pue, interval, directory, force_cpu_power, force_ram_power):
        codecarbon = _import_codecarbon()
        forced = {"force_cpu_power": force_cpu_power, "force_ram_power": force_ram_power}
        settings: dict[str, Any] = {k: v for k, v in forced.items() if v is not None}
        methods = []
        if directory is not None:
            # Without the folder, CodeCarbon silently writes nothing.
            directory.mkdir(parents=True, exist_ok=True)
            settings["output_dir"] = str(directory)
            methods = [codecarbon.OutputMethod.CSV]
        # CodeCarbon's `EmissionsData` of the latest measurement; None before the first.
        self.latest: Any = None
        self._filter = _LogFilter()
        self._log = logging.getLogger("codecarbon")
        self._log.addFilter(self._filter)
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=country,
            pue=pue,
            measure_power_secs=interval,
            tracking_mode="machine",
            allow_multiple_runs=True,
            output_methods=methods,
            output_handlers=[self],
            api_call_interval=1,  # every measurement reaches the handler
            on_csv_write="update",
            log_level="warning",
            emissions_endpoint=False,
            electricitymaps_api_token="",
            **settings,
        )

    def start(self) -> None:
        """Measure now, and from then on every `interval` seconds in the background."""
        self._tracker.start()
        self.measure()

    def measure(self) -> None:
        """Measure now."""
        self._check(self._tracker.flush())

    def stop(self) -> None:
        """Measure a last time and stop."""
        try:
            self._check(self._tracker.stop())
        finally:
            self._log.removeFilter(self._filter)

    def methods(self) -> dict[str, str]:
        """Return the sources of the power of "cpu", "gpu" and "ram"."""
        methods = {"cpu": "unknown", "gpu": "none", "ram": "unknown"}
        # CodeCarbon has no public interface for this.
        for part in getattr(self._tracker, "_hardware", []):
            kind = type(part).__name__
            if kind == "CPU":
                mode = getattr(part, "_mode", "unknown")
                model = f"estimated ({mode}, {getattr(part, '_tdp', None)} W)"
                methods["cpu"] = f"measured ({mode})" if mode in _CPU_METERS else model
            elif kind == "GPU":
                methods["gpu"] = "measured (driver's counters)"
            elif kind == "RAM":
                forced = getattr(part, "_force_ram_power", None)
                methods["ram"] = f"estimated ({'model' if forced is None else f'{forced} W'})"
            elif hasattr(part, "chip_part"):
                methods[part.chip_part.lower()] = f"measured ({kind})"
        return methods

    def _check(self, emissions: float | None) -> None:
        if emissions is None:
            raise RuntimeError(self._filter.trouble or "CodeCarbon did not measure")

    # The interface of CodeCarbon's output handlers.

    def out(self, total: Any, delta: Any) -> None:
        self.latest = total

    live_out = out

    def task_out(self, data: Any, experiment_name: str) -> None:
        pass

    def exit(self) -> None:
        pass


class _LogFilter(logging.Filter):
    """Filter that passes errors only, and keeps the exceptions that CodeCarbon caught."""

    def __init__(self):
        super().__init__()
        self.trouble: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self.trouble = f"{type(error).__name__}: {error}"
        return record.levelno >= logging.ERROR


def _import_codecarbon() -> Any:
    try:
        import codecarbon
    except ImportError as error:
        raise UserError(
            "measuring energy needs CodeCarbon: pip install asteroid-bsrnn[energy], or switch the "
            "measurement off"
        ) from error
    return codecarbon
