"""Energy by the formula of Green Algorithms, from the hours of a computation and its hardware.

L. Lannelongue, J. Grealey, M. Inouye, "Green Algorithms: Quantifying the Carbon Footprint of
Computation", Advanced Science, 2021, doi 10.1002/advs.202100707. A GPU counts as a core with the
design power of its board.
"""

from __future__ import annotations

import contextlib
import functools
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import UserError

_MEMORY_WATTS_PER_GB = 0.3725
# The paper's value; Green Algorithms uses 1.67 for an unknown one.
DEFAULT_PUE = 1.5
# Green Algorithms' value for any CPU.
_DEFAULT_CPU_WATTS_PER_CORE = 12.0

# Cores of CPUs whose names do not state them. CodeCarbon's table has watts but no cores, and a
# virtual machine does not reveal them.
_CPU_CORES = {
    "Xeon E5-2680 v3": 12, "Xeon E5-2680 v4": 14, "Xeon E5-2698 v4": 20, "Xeon Gold 6130": 16,
    "Xeon Gold 6142": 16, "Xeon Gold 6148": 20, "Xeon Gold 6248": 20, "Xeon Platinum 8268": 24,
    "Xeon Platinum 8468": 48, "Xeon Platinum 8480+": 56, "Core i9-10900K": 10,
}  # fmt: skip

# Watts of GPU boards by their makers' data sheets, for records without the driver's power limit.
# Names are CUDA's, without maker and brand. GPUs whose name does not determine the power, such as
# laptops' and slices of a GPU, are missing on purpose. H100 HBM3 and H200 are the SXM boards.
_GPU_WATTS = {
    "P4": 75, "P40": 250, "P100 PCIE": 250, "P100 SXM2": 300, "V100 PCIE": 250, "V100S PCIE": 250,
    "V100 SXM2": 300, "T4": 70, "A10": 150, "A30": 165, "A40": 300, "A100 PCIE": 250,
    "A100 80GB PCIE": 300, "A100 SXM": 400, "A100 SXM4": 400, "L4": 72, "L40": 300, "L40S": 350,
    "H100 PCIE": 350, "H100 NVL": 400, "H100 HBM3": 700, "H200": 700, "H200 NVL": 600, "B200": 1000,
    "RTX A4000": 140, "RTX A5000": 230, "RTX A6000": 300, "RTX 5000 ADA GENERATION": 250,
    "RTX 6000 ADA GENERATION": 300, "TITAN V": 250, "TITAN XP": 250, "TITAN RTX": 280,
    "GTX 1080": 180, "GTX 1080 TI": 250, "RTX 2070": 175, "RTX 2080": 215, "RTX 2080 TI": 250,
    "RTX 3060": 170, "RTX 3070": 220, "RTX 3080": 320, "RTX 3080 TI": 350, "RTX 3090": 350,
    "RTX 3090 TI": 450, "RTX 4070": 200, "RTX 4070 TI": 285, "RTX 4080": 320, "RTX 4090": 450,
    "RTX 5070 TI": 300, "RTX 5080": 360, "RTX 5090": 575, "MI210": 300, "MI300X": 750,
}  # fmt: skip
_BRANDS = ("NVIDIA", "TESLA", "GEFORCE", "AMD", "INSTINCT")


def green_algorithms_kwh(
    hours: float,
    *,
    n_cpu_cores: int,
    cpu_watts_per_core: float,
    cpu_usage: float = 1.0,
    n_gpus: int = 0,
    gpu_watts: float = 0.0,
    gpu_usage: float = 1.0,
    memory_gb: float,
    pue: float = DEFAULT_PUE,
) -> float:
    """Return the energy of a computation in kWh.

    hours x (cores x watts per core x usage + GPUs x watts x usage + GB x 0.3725) x PUE / 1000.

    Args:
        hours: duration.
        n_cpu_cores: number of available cores.
        cpu_watts_per_core: design power of a core.
        cpu_usage: share of busy cores, from 0 to 1.
        n_gpus: number of used GPUs.
        gpu_watts: design power of a GPU.
        gpu_usage: share of the time that the GPUs were busy, from 0 to 1.
        memory_gb: available memory; the power does not depend on the used part.
        pue: power usage effectiveness of the data centre, its total energy per kWh of computing.

    Raises:
        UserError: for a value out of its range, or GPUs without their power.
    """
    check_pue(pue)
    amounts = {
        "hours": hours,
        "n_cpu_cores": n_cpu_cores,
        "cpu_watts_per_core": cpu_watts_per_core,
        "n_gpus": n_gpus,
        "gpu_watts": gpu_watts,
        "memory_gb": memory_gb,
    }
    for name, value in amounts.items():
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{name} must be 0 or more, got {value}")
    for name, share in {"cpu_usage": cpu_usage, "gpu_usage": gpu_usage}.items():
        if not 0 <= share <= 1:
            raise UserError(f"{name} must be from 0 to 1, got {share}")
    if n_gpus and not gpu_watts:
        raise UserError(f"gpu_watts is missing: the design power of each of the {n_gpus} GPUs")
    watts = n_cpu_cores * cpu_watts_per_core * cpu_usage
    watts += n_gpus * gpu_watts * gpu_usage
    watts += memory_gb * _MEMORY_WATTS_PER_GB
    return hours * watts * pue / 1000


def check_pue(pue: float) -> None:
    """Refuse a power usage effectiveness that is below 1 or no number."""
    if isinstance(pue, bool) or not isinstance(pue, (int, float)) or not 1 <= pue < math.inf:
        raise UserError(f"pue must be a number of at least 1, got {pue!r}; 1.5 is the default")


def estimate(
    hours: float,
    hardware: Mapping[str, Any],
    *,
    n_gpus: int | None = None,
    n_machines: int = 1,
    pue: float = DEFAULT_PUE,
) -> dict[str, Any]:
    """Return an upper bound of the energy of a computation on the given hardware.

    The usage of cores and GPUs is unknown; all of them count as busy.

    Args:
        hours: duration.
        hardware: one machine, as described by `environment.hardware`.
        n_gpus: number of GPUs used on all machines; None for all in the description.
        n_machines: number of such machines.
        pue: power usage effectiveness.

    Returns:
        The arguments of `green_algorithms_kwh`, and `kwh`, which is None with a `reason` if a
        figure is unknown; `cpu_watts_source`, `cpu_watts_assumed` and `gpu_watts_source`.
    """
    gpus = [gpu_power(gpu["name"], gpu.get("watts")) for gpu in hardware["gpus"]]
    n_gpus = len(gpus) if n_gpus is None else n_gpus
    cpu = cpu_power_per_core(hardware["cpu_model"], hardware.get("cpu_socket_cores"))
    unknown = [gpu.source for gpu in gpus if gpu.watts is None] if n_gpus else []
    if n_gpus and not gpus:
        unknown = ["no GPU is visible on this machine"]
    known = n_gpus and not unknown
    inputs = {
        "n_cpu_cores": hardware["cpu_cores"] * n_machines,
        "cpu_watts_per_core": cpu.watts,
        "cpu_usage": 1.0,
        "n_gpus": n_gpus,
        # The mean, where a machine has GPUs of several kinds.
        "gpu_watts": sum(gpu.watts for gpu in gpus) / len(gpus) if known else 0.0,
        "gpu_usage": 1.0,
        "memory_gb": hardware["memory_gb"] * n_machines,
        "pue": pue,
    }
    return {
        "kwh": None if unknown else green_algorithms_kwh(hours, **inputs),
        "reason": "; ".join(dict.fromkeys(unknown)) or None,
        "hours": hours,
        **inputs,
        "cpu_watts_source": cpu.source,
        "cpu_watts_assumed": cpu.assumed,
        "gpu_watts_source": "; ".join(dict.fromkeys(gpu.source for gpu in gpus)) if known else None,
    }


@dataclass(frozen=True)
class DesignPower:
    """Design power of a device.

    Attributes:
        watts: watts of a GPU, or of a core of a CPU; None if unknown.
        source: source of the figure, or the reason why there is none.
        assumed: whether it is a default for any device of the kind.
    """

    watts: float | None
    source: str
    assumed: bool = False


def gpu_power(name: str, limit: float | None = None) -> DesignPower:
    """Return the power of a GPU.

    Args:
        name: as `torch.cuda.get_device_name` returns it, such as "Tesla V100-SXM2-32GB".
        limit: power limit of the driver in watts; if it is None, a table is used.
    """
    if limit is not None:
        return DesignPower(limit, "power limit by NVML")
    words = [word for word in re.split(r"[\s-]+", name.upper()) if word and word not in _BRANDS]
    without_memory = [word for word in words if not re.fullmatch(r"\d+GB", word)]
    for key in (" ".join(words), " ".join(without_memory)):
        if key in _GPU_WATTS:
            return DesignPower(float(_GPU_WATTS[key]), f"maker's figure for {key}")
    return DesignPower(None, f"unknown GPU {name!r}: give its design power in watts")


@functools.cache
def cpu_power_per_core(model: str | None, cores: int | None = None) -> DesignPower:
    """Return the design power of a core by CodeCarbon's table, or a default for any CPU.

    Args:
        model: name by the operating system, such as
            "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"; None where unknown.
        cores: of one such CPU; None where unknown.
    """
    name = _cpu_name(model or "")
    watts = _cpu_watts().get(name.lower())
    in_name = re.search(r"\b(\d+)-Cores?\b", model or "")
    if in_name:
        cores = int(in_name[1])
    cores = cores or _CPU_CORES.get(re.sub(r"^Intel ", "", name))
    if watts and cores:
        return DesignPower(
            watts / cores, f"CodeCarbon's figure for {name}: {watts:g} W; {cores} cores"
        )
    source = f"Green Algorithms' value for any CPU; no figure for {model or 'an unknown CPU'}"
    return DesignPower(_DEFAULT_CPU_WATTS_PER_CORE, source, assumed=True)


def _cpu_name(model: str) -> str:
    """Return the maker and model as in CodeCarbon's table."""
    name = re.sub(r"\((R|TM)\)|^\d+th Gen\b|\bCPU\b", " ", model, flags=re.IGNORECASE)
    name = re.sub(r"@.*|\b(\d+-Cores?\b|with |w/ |Processor\b).*", "", name)
    return " ".join(name.split())


@functools.cache
def _cpu_watts() -> dict[str, float]:
    """Return CodeCarbon's table of thermal design powers, by lower-case name; empty without it."""
    try:
        from codecarbon.input import DataSource
    except ImportError:
        return {}
    table = DataSource().get_cpu_power_data()
    figures: dict[str, float] = {}
    for name, watts in zip(table["Name"], table["TDP"], strict=True):
        # An entry that is not a number must not stop a training.
        with contextlib.suppress(ValueError):
            figures[str(name).lower()] = float(watts)
    return figures
