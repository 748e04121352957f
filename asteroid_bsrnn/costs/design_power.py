"""Design power of GPUs and CPUs, as their makers tell it.

For NVIDIA's boards for servers and workstations it is the "maximum power" of the data sheet or
product brief, for GeForce the "graphics card power" of the product page, for AMD's accelerators
the "typical board power" of the data sheet, for CPUs the "TDP" of Intel's and AMD's product pages.
Devices whose name does not tell their power, such as laptops' and slices of a GPU, are left out on
purpose: an unknown device is said to be unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# What Green Algorithms takes for "any" CPU.
DEFAULT_CPU_WATTS_PER_CORE = 12.0

# Watts of a board, under its name as CUDA tells it, without maker and brand.
_GPU_WATTS = {
    "P4": 75,
    "P40": 250,
    "P100 PCIE": 250,
    "P100 SXM2": 300,
    "V100 PCIE": 250,
    "V100S PCIE": 250,
    "V100 SXM2": 300,
    "T4": 70,
    "A10": 150,
    "A30": 165,
    "A40": 300,
    "A100 PCIE": 250,
    "A100 80GB PCIE": 300,
    "A100 SXM": 400,
    "A100 SXM4": 400,
    "L4": 72,
    "L40": 300,
    "L40S": 350,
    "H100 PCIE": 350,
    "H100 NVL": 400,
    "H100 HBM3": 700,  # SXM5
    "H200": 700,  # SXM
    "H200 NVL": 600,
    "B200": 1000,
    "RTX A4000": 140,
    "RTX A5000": 230,
    "RTX A6000": 300,
    "RTX 5000 ADA GENERATION": 250,
    "RTX 6000 ADA GENERATION": 300,
    "TITAN V": 250,
    "TITAN XP": 250,
    "TITAN RTX": 280,
    "GTX 1080": 180,
    "GTX 1080 TI": 250,
    "RTX 2070": 175,
    "RTX 2080": 215,
    "RTX 2080 TI": 250,
    "RTX 3060": 170,
    "RTX 3070": 220,
    "RTX 3080": 320,
    "RTX 3080 TI": 350,
    "RTX 3090": 350,
    "RTX 3090 TI": 450,
    "RTX 4070": 200,
    "RTX 4070 TI": 285,
    "RTX 4080": 320,
    "RTX 4090": 450,
    "RTX 5070 TI": 300,
    "RTX 5080": 360,
    "RTX 5090": 575,
    "MI210": 300,
    "MI300X": 750,
}
_BRANDS = ("NVIDIA", "TESLA", "GEFORCE", "AMD", "INSTINCT")

# Watts and cores of a CPU.
_CPU_WATTS_AND_CORES = {
    "Xeon E5-2680 v3": (120, 12),
    "Xeon E5-2680 v4": (120, 14),
    "Xeon E5-2698 v4": (135, 20),
    "Xeon Gold 6130": (125, 16),
    "Xeon Gold 6142": (150, 16),
    "Xeon Gold 6148": (150, 20),
    "Xeon Gold 6248": (150, 20),
    "Xeon Platinum 8268": (205, 24),
    "Xeon Platinum 8468": (350, 48),
    "Xeon Platinum 8480+": (350, 56),
    "EPYC 7452": (155, 32),
    "EPYC 7513": (200, 32),
    "EPYC 7742": (225, 64),
    "EPYC 7763": (280, 64),
    "EPYC 9654": (360, 96),
    "Core i9-10900K": (125, 10),
    "Ryzen 9 5950X": (105, 16),
    "Ryzen 9 7950X": (170, 16),
}


@dataclass(frozen=True)
class DesignPower:
    """What is known of a device's power.

    Attributes:
        watts: of a GPU, or a core of a CPU; None where unknown.
        source: where the figure comes from, or why there is none.
        assumed: whether it stands for any device of the kind instead of this one.
    """

    watts: float | None
    source: str
    assumed: bool = False


def gpu_power(name: str) -> DesignPower:
    """Design power of a GPU.

    Args:
        name: as `torch.cuda.get_device_name` tells it, such as "Tesla V100-SXM2-32GB".
    """
    words = [word for word in re.split(r"[\s-]+", name.upper()) if word and word not in _BRANDS]
    without_memory = [word for word in words if not re.fullmatch(r"\d+GB", word)]
    for key in (" ".join(words), " ".join(without_memory)):
        if key in _GPU_WATTS:
            return DesignPower(float(_GPU_WATTS[key]), f"maker's figure for {key}")
    return DesignPower(None, f"unknown GPU {name!r}: give its design power in watts")


def cpu_power_per_core(model: str | None) -> DesignPower:
    """Design power of a core of a CPU, or the value for any CPU, marked as assumed.

    Args:
        model: as the operating system tells it, such as
            "Intel(R) Xeon(R) Gold 6130 CPU @ 2.10GHz"; None where unknown.
    """
    plain = re.sub(r"\((R|TM)\)", "", model or "")
    for name, (watts, cores) in _CPU_WATTS_AND_CORES.items():
        if re.search(rf"(?<!\S){re.escape(name)}(?!\S)", plain):
            return DesignPower(
                watts / cores, f"maker's figure for {name}: {watts} W, {cores} cores"
            )
    source = f"Green Algorithms' value for any CPU; no figure for {model or 'an unknown CPU'}"
    return DesignPower(DEFAULT_CPU_WATTS_PER_CORE, source, assumed=True)
