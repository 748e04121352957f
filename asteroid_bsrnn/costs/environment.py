"""What a run ran with: the code, the software and the hardware.

Gigabytes are 2**30 bytes, as memory is sold.
"""

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
    """Version of this package.

    Returns:
        `version`; `git_commit`, and `git_dirty` (whether files under version control are changed,
        or files new in the package), both None where the package lies in no git checkout or there
        is no git.
    """
    found: dict[str, Any] = {"version": _version(_DISTRIBUTION), "git_commit": None}
    found["git_dirty"] = None
    # A package installed below somebody's repository is not under that one's control.
    if _git("ls-files", "--error-unmatch", "__init__.py") is None:
        return found
    found["git_commit"] = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no")
    new = _git("ls-files", "--others", "--exclude-standard")
    if changed is not None and new is not None:
        found["git_dirty"] = bool(changed or new)
    return found


def software() -> dict[str, str | None]:
    """Versions of what the training stands on; None for what is not there."""
    cudnn = torch.backends.cudnn.version() if torch.cuda.is_available() else None
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch_lightning": _version("pytorch-lightning"),
        "asteroid": _version("asteroid"),
        "numpy": _version("numpy"),
        "codecarbon": _version("codecarbon"),
        "cuda": torch.version.cuda,
        "cudnn": None if cudnn is None else str(cudnn),
    }


def hardware() -> dict[str, Any]:
    """The machine.

    Returns:
        `platform`; `cpu_model` (None where unknown); `cpu_cores`, those that this process may use;
        `cpu_threads` of the machine; `memory_gb`; `gpus`, a list of `name` and `memory_gb`.
    """
    threads = psutil.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    gpus = [torch.cuda.get_device_properties(index) for index in range(count)]
    return {
        "platform": platform.platform(),
        "cpu_model": _cpu_model(),
        "cpu_cores": min(psutil.cpu_count(logical=False) or usable, usable),
        "cpu_threads": threads,
        "memory_gb": psutil.virtual_memory().total / GIGABYTE,
        "gpus": [{"name": gpu.name, "memory_gb": gpu.total_memory / GIGABYTE} for gpu in gpus],
    }


def peak_memory() -> dict[str, float | None]:
    """The most memory that this process held so far.

    Returns:
        `rss_gb`, its resident memory; `gpu_gb`, PyTorch's tensors on the fullest GPU, None where
        it uses none.
    """
    # Linux counts in kilobytes, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    gpu = None
    if torch.cuda.is_initialized():
        devices = range(torch.cuda.device_count())
        gpu = max(torch.cuda.max_memory_allocated(device) for device in devices) / GIGABYTE
    return {"rss_gb": rss / GIGABYTE, "gpu_gb": gpu}


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Output of git in the package's folder; None where it fails."""
    # Set by git for its hooks, these would point it to another repository.
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


def _cpu_model() -> str | None:
    """Name of the CPU."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or None
