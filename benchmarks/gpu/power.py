"""Energy of a GPU from the counters of NVML."""

from __future__ import annotations

import contextlib

import torch


class Meter:
    """Meter of the joules that the current GPU has used since the last `start`.

    The driver counts the energy of the whole board; where it does not, the figure is None.
    """

    def __init__(self, device: str):
        self._handle = self._before = None
        if device == "cpu":
            return
        with contextlib.suppress(Exception):  # no NVML, or a GPU without the counter
            import pynvml

            pynvml.nvmlInit()
            handle = self._find(pynvml)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            self._nvml, self._handle = pynvml, handle

    @staticmethod
    def _find(pynvml):
        """Return the handle of the GPU that torch uses, which may not be the driver's first."""
        if pynvml.nvmlDeviceGetCount() == 1:
            return pynvml.nvmlDeviceGetHandleByIndex(0)
        uuid = str(torch.cuda.get_device_properties(0).uuid)
        uuid = uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
        return pynvml.nvmlDeviceGetHandleByUUID(uuid)

    def start(self) -> None:
        """Start counting."""
        self._before = self._read()

    def stop(self) -> float | None:
        """Return the joules since the start."""
        now = self._read()
        return None if now is None or self._before is None else now - self._before

    def _read(self) -> float | None:
        if self._handle is None:
            return None
        torch.cuda.synchronize()
        return self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle) / 1000
