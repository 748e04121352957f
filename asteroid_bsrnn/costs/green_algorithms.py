"""Energy by the formula of Green Algorithms: from the hours of a computation and its hardware.

L. Lannelongue, J. Grealey, M. Inouye, "Green Algorithms: Quantifying the Carbon Footprint of
Computation", Advanced Science, 2021, doi 10.1002/advs.202100707. GPUs count as cores with the
design power of the whole board.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import UserError
from .design_power import cpu_power_per_core, gpu_power

MEMORY_WATTS_PER_GB = 0.3725
# The paper's runs; Green Algorithms itself takes 1.67 where nothing is known.
DEFAULT_PUE = 1.5


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
    """Energy of a computation in kWh.

    hours x (cores x watts a core x usage + GPUs x watts x usage + GB x 0.3725) x PUE / 1000.

    Args:
        hours: that it ran.
        n_cpu_cores: that it could use.
        cpu_watts_per_core: design power of a core.
        cpu_usage: share of the cores that was busy, from 0 to 1.
        n_gpus: that it used.
        gpu_watts: design power of a GPU.
        gpu_usage: share of the time that the GPUs were busy, from 0 to 1.
        memory_gb: that it could use; how much of it was used makes no difference to the power.
        pue: power usage effectiveness of the data centre, its whole energy for each kWh computed
            with.

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
    watts += memory_gb * MEMORY_WATTS_PER_GB
    return hours * watts * pue / 1000


def check_pue(pue: float) -> None:
    """Refuse what can't be a power usage effectiveness.

    Raises:
        UserError: if it is below 1, or no number.
    """
    if isinstance(pue, bool) or not isinstance(pue, (int, float)) or not 1 <= pue < math.inf:
        raise UserError(f"pue must be a number of at least 1, got {pue!r}; 1.5 is the default")


def estimate(
    hours: float,
    hardware: Mapping[str, Any],
    *,
    n_gpus: int | None = None,
    n_machines: int = 1,
    pue: float = DEFAULT_PUE,
    cpu_usage: float = 1.0,
    gpu_usage: float = 1.0,
) -> dict[str, Any]:
    """Energy of a computation on described hardware, with everything that went into it.

    Args:
        hours: that it ran.
        hardware: of one machine, as `environment.hardware` describes it.
        n_gpus: used, on all machines; None for all that the description names.
        n_machines: number of machines like it.
        pue: power usage effectiveness.
        cpu_usage: share of the cores that was busy; 1 where it was not looked at, an upper bound.
        gpu_usage: share of the time that the GPUs were busy; the same.

    Returns:
        The arguments of `green_algorithms_kwh` and `kwh`, which is None with a `reason` where
        something is unknown; `cpu_watts_source`, `cpu_watts_assumed` and `gpu_watts_source`.
    """
    gpus = [gpu_power(gpu["name"]) for gpu in hardware["gpus"]]
    n_gpus = len(gpus) if n_gpus is None else n_gpus
    cpu = cpu_power_per_core(hardware["cpu_model"])
    unknown = [gpu.source for gpu in gpus if gpu.watts is None] if n_gpus else []
    if n_gpus and not gpus:
        unknown = ["no GPU to be seen on this machine"]
    known = n_gpus and not unknown
    inputs = {
        "n_cpu_cores": hardware["cpu_cores"] * n_machines,
        "cpu_watts_per_core": cpu.watts,
        "cpu_usage": cpu_usage,
        "n_gpus": n_gpus,
        # One figure for all; machines with GPUs of several kinds count their mean.
        "gpu_watts": sum(gpu.watts for gpu in gpus) / len(gpus) if known else 0.0,
        "gpu_usage": gpu_usage,
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
