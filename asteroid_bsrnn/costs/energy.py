"""Energy of a run as CodeCarbon measures it, offline.

CodeCarbon sums up the energy of the whole machine: GPUs by their counters, the CPU by its counter
or, where that can't be read, by a model from its load and design power, memory by a model. The
power usage effectiveness is in all its figures already. Several runs on one machine each count all
of it, but for the GPUs hidden by CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import codecarbon_tracker
from .green_algorithms import DEFAULT_PUE, check_pue, green_algorithms_kwh

__all__ = ["EnergyMeter", "EnergyReading", "green_algorithms_kwh"]

DEFAULT_COUNTRY = "FRA"


@dataclasses.dataclass(frozen=True)
class EnergyReading:
    """Energy used so far, with the power usage effectiveness in it.

    Attributes:
        status: "measured"; "off" where nothing is; "unavailable" where CodeCarbon failed: then the
            figures, if any, are those from before.
        reason: why it is unavailable.
        seconds: that the figures cover.
        cpu_kwh: of the CPUs.
        gpu_kwh: of the GPUs.
        ram_kwh: of the memory.
        emissions_kg: CO2 equivalent, by the country's mix of electricity.
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
        """All together; None where nothing was measured."""
        if self.cpu_kwh is None or self.gpu_kwh is None or self.ram_kwh is None:
            return None
        return self.cpu_kwh + self.gpu_kwh + self.ram_kwh


class EnergyMeter:
    """Measures the machine's energy from `start` to `stop`, or as a context manager.

    Trouble in CodeCarbon never reaches the training: it is warned of once, and the readings say
    "unavailable". A meter measures once.

    Args:
        enabled: whether to measure at all; of several processes on a machine one must, alone.
        country: ISO 3166 code of three letters, for the emissions.
        pue: power usage effectiveness of the data centre.
        interval: seconds between two measurements.
        output_directory: where CodeCarbon writes its own emissions.csv; made if need be. None for
            no file.
        force_cpu_power: watts of the CPUs at full load, where they are known better than
            CodeCarbon knows them.
        force_ram_power: watts of the memory.

    Raises:
        UserError: if CodeCarbon is missing, or for an impossible country or effectiveness.
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
            "country": codecarbon_tracker.check_country(country) if enabled else country,
            "pue": pue,
            "interval": interval,
            "directory": None if output_directory is None else Path(output_directory),
            "force_cpu_power": force_cpu_power,
            "force_ram_power": force_ram_power,
        }
        self._tracker: codecarbon_tracker.OfflineTracker | None = None
        self._running = False
        self._failure: str | None = None
        self._methods: dict[str, str] | None = None

    def start(self) -> EnergyMeter:
        """Begin to measure. This takes a second or two, in which CodeCarbon looks at the machine.

        Raises:
            RuntimeError: if it was started before.
        """
        if self._tracker is not None or self._failure is not None:
            raise RuntimeError("a meter measures once; make another one")
        if self.enabled:
            self._running = True
            self._guarded(self._start)
        return self

    def snapshot(self, fresh: bool = False) -> EnergyReading:
        """Energy since the start.

        Args:
            fresh: whether to measure now, which takes milliseconds; else the latest measurement
                is told, up to `interval` old, which costs nothing.
        """
        if fresh and self._running:
            self._guarded(self._tracker.measure)
        return self._reading()

    def stop(self) -> EnergyReading:
        """Measure a last time and stop; once stopped, tells the same again."""
        if self._running:
            self._guarded(self._tracker.stop)
            self._running = False
        return self._reading()

    def __enter__(self) -> EnergyMeter:
        return self.start()

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def description(self) -> dict[str, Any]:
        """How it measures, for a record.

        Returns:
            `tracker` (CodeCarbon and its version), `scope` ("machine"), `country`, `pue`, and
            `methods`: how the power of "cpu", "gpu" and "ram" is known, None before the start.
            All are None where nothing is measured.
        """
        if not self.enabled:
            return dict.fromkeys(("tracker", "scope", "country", "pue", "methods"))
        return {
            "tracker": f"codecarbon {codecarbon_tracker.version()}",
            "scope": "machine",
            "country": self._settings["country"],
            "pue": self._settings["pue"],
            "methods": self._methods,
        }

    def _start(self) -> None:
        self._tracker = codecarbon_tracker.OfflineTracker(**self._settings)
        self._tracker.start()
        self._methods = self._tracker.methods()

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something with CodeCarbon, and give it up where that fails."""
        try:
            action()
        # Whatever it is, it is not worth a training.
        except Exception as error:
            self._failure = str(error) or type(error).__name__
            self._running = False
            warnings.warn(f"energy is measured no longer: {self._failure}", stacklevel=3)
            if self._tracker is not None:
                # Its measurements in the background must not go on failing.
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
