"""CodeCarbon's offline tracker, made to speak up where it fails and to keep quiet elsewhere.

CodeCarbon catches its own exceptions and logs them; here they are raised. Nothing here, nor in a
user's settings of CodeCarbon, makes it send anything anywhere.
"""

from __future__ import annotations

import difflib
import logging
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import UserError

_LOGGER = "codecarbon"

# CodeCarbon's ways to learn the power of a CPU that read a meter; the others are models.
_CPU_METERS = ("intel_rapl", "intel_power_gadget", "windows_emi")


def check_country(country: str) -> str:
    """The country's code in capitals.

    Args:
        country: ISO 3166 code of three letters.

    Raises:
        UserError: if CodeCarbon is missing, or knows no such country: it would then count the
            world's average, with nothing but a line in its log.
    """
    _import()
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


class OfflineTracker:
    """A tracker of the machine's energy.

    Args:
        country: ISO 3166 code of three letters.
        pue: power usage effectiveness; in all figures.
        interval: seconds between two measurements.
        directory: where CodeCarbon writes its emissions.csv; made if need be. None for no file.
        force_cpu_power: watts of the CPUs at full load; None for what CodeCarbon knows.
        force_ram_power: watts of the memory; None for CodeCarbon's model.
    """

    def __init__(
        self,
        *,
        country: str,
        pue: float,
        interval: float,
        directory: Path | None,
        force_cpu_power: float | None,
        force_ram_power: float | None,
    ):
        codecarbon = _import()
        forced = {"force_cpu_power": force_cpu_power, "force_ram_power": force_ram_power}
        settings: dict[str, Any] = {k: v for k, v in forced.items() if v is not None}
        methods = []
        if directory is not None:
            # Where it is missing, CodeCarbon says nothing and writes nothing.
            directory.mkdir(parents=True, exist_ok=True)
            settings["output_dir"] = str(directory)
            methods = [codecarbon.OutputMethod.CSV]
        self._handler = _Handler()
        self._log = _LogFilter()
        logging.getLogger(_LOGGER).addFilter(self._log)
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=country,
            pue=pue,
            measure_power_secs=interval,
            tracking_mode="machine",
            allow_multiple_runs=True,
            output_methods=methods,
            output_handlers=[self._handler],
            api_call_interval=1,  # every measurement reaches the handler
            on_csv_write="update",
            log_level="warning",
            emissions_endpoint=False,
            electricitymaps_api_token="",
            **settings,
        )

    @property
    def latest(self) -> Any:
        """CodeCarbon's `EmissionsData` of the latest measurement; None before the first."""
        return self._handler.data

    def start(self) -> None:
        """Begin to measure, every `interval` seconds in the background.

        Raises:
            RuntimeError: if CodeCarbon failed.
        """
        self._tracker.start()
        self.measure()

    def measure(self) -> None:
        """Measure now.

        Raises:
            RuntimeError: if CodeCarbon failed.
        """
        self._check(self._tracker.flush())

    def stop(self) -> None:
        """Measure a last time and stop.

        Raises:
            RuntimeError: if CodeCarbon failed.
        """
        try:
            self._check(self._tracker.stop())
        finally:
            logging.getLogger(_LOGGER).removeFilter(self._log)

    def methods(self) -> dict[str, str]:
        """How the power of "cpu", "gpu" and "ram" is known: measured, estimated or not at all."""
        methods = {"cpu": "unknown", "gpu": "none", "ram": "unknown"}
        # CodeCarbon tells it nowhere but in its log.
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
            raise RuntimeError(self._log.trouble or "CodeCarbon did not measure")


class _Handler:
    """What CodeCarbon hands its figures to; keeps the latest."""

    def __init__(self):
        self.data: Any = None

    def out(self, total: Any, delta: Any) -> None:
        self.data = total

    live_out = out

    def task_out(self, data: Any, experiment_name: str) -> None:
        pass

    def exit(self) -> None:
        pass


class _LogFilter(logging.Filter):
    """Lets errors through alone, and remembers the exceptions that CodeCarbon caught."""

    def __init__(self):
        super().__init__()
        self.trouble: str | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self.trouble = f"{type(error).__name__}: {error}"
        return record.levelno >= logging.ERROR


def version() -> str:
    """Version of CodeCarbon."""
    return metadata.version("codecarbon")


def _import() -> Any:
    try:
        import codecarbon
    except ImportError as error:
        raise UserError(
            "measuring energy needs CodeCarbon: pip install asteroid-bsrnn[energy], or switch the "
            "measurement off"
        ) from error
    return codecarbon
