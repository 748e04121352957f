"""Code, software and hardware of a run. Gigabytes are 2**30 bytes."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

GIGABYTE = 2**30

_DISTRIBUTION = "asteroid-bsrnn"
_PACKAGE = Path(__file__).resolve().parents[1]


def code_version() -> dict[str, Any]:
    """Return the version of this package.

    Returns:
        `version`; `git_commit`; and `git_dirty`, whether tracked files are changed or the package
        has untracked ones. Both are None without a git checkout or without git.
    """
    found: dict[str, Any] = {"version": version_of(_DISTRIBUTION), "git_commit": None}
    found["git_dirty"] = None
    # A package installed inside an unrelated repository is not tracked by it.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return found
    found["git_commit"] = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    new = _git("ls-files", "--others", "--exclude-standard")
    if changed is not None and new is not None:
        found["git_dirty"] = bool(changed or new)
    return found


def software() -> dict[str, str | None]:
    """Return the versions of the packages that affect a training; None for missing ones."""
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": version_of("pytorch-lightning"),
        "asteroid": version_of("asteroid"),
        "numpy": version_of("numpy"),
        "codecarbon": version_of("codecarbon"),
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }


def hardware() -> dict[str, Any]:
    """Describe the machine.

    Returns:
        `platform`; `cpu_model` (None if unknown); `cpu_cores` that this process may use;
        `cpu_socket_cores`, the cores of one CPU (None if unknown, as in a virtual machine);
        `cpu_threads` of the machine; `memory_gb`; `gpus`, a list of `name`, `memory_gb` and
        `watts`, the driver's power limit (None if unknown).
    """
    threads = psutil.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_properties(index) for index in range(count)]
    return {
        "platform": platform.platform(),
        "cpu_model": cpu_model(),
        "cpu_cores": min(psutil.cpu_count(logical=False) or usable, usable),
        "cpu_socket_cores": _socket_cores(),
        "cpu_threads": threads,
        "memory_gb": psutil.virtual_memory().total / GIGABYTE,
        "gpus": [
            {
                "name": gpu.name,
                "memory_gb": gpu.total_memory / GIGABYTE,
                "watts": _power_limit(str(getattr(gpu, "uuid", ""))),
            }
            for gpu in gpus
        ],
    }


def cpu_model() -> str | None:
    """Return the name of the CPU; None if it is unknown."""
    return _cpu_info().get("model name") or platform.processor() or None


def peak_memory() -> dict[str, float | None]:
    """Return the peak memory of this process.

    Returns:
        `rss_gb`, resident memory; `gpu_gb`, PyTorch's tensors on the fullest GPU, None without GPU.
    """
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    gpu = None
    if torch.cuda.is_initialized():
        devices = range(torch.cuda.device_count())
        gpu = max(torch.cuda.max_memory_allocated(device) for device in devices) / GIGABYTE
    return {"rss_gb": rss / GIGABYTE, "gpu_gb": gpu}


def version_of(distribution: str) -> str | None:
    """Return the version of an installed package; None without it."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Return the output of git in the package's folder; None if it fails."""
    # git sets these variables for hooks; they would select another repository.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _socket_cores() -> int | None:
    """Return the number of cores of one CPU; None in a virtual machine or where unknown."""
    info = _cpu_info()
    if "hypervisor" in info.get("flags", "").split() or not info.get("cpu cores", "").isdigit():
        return None
    return int(info["cpu cores"])


def _cpu_info() -> dict[str, str]:
    """Return Linux's facts about the first CPU; empty on other systems."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _power_limit(uuid: str) -> float | None:
    """Return the power limit of a GPU in watts by NVML; None if it is unknown."""
    try:
        import pynvml

        pynvml.nvmlInit()
    # Without CodeCarbon there is no pynvml, and without NVIDIA's driver no NVML.
    except Exception:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        return pynvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000
    # Some devices have no limit, such as a slice of a GPU (MIG).
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
