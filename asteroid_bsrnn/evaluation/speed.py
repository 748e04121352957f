"""Costs of inference: parameters, multiply-accumulates, time and memory.

A model is measured in a separate process, so that the peak memory is that of the model:
`python -m asteroid_bsrnn.evaluation.speed` is that process.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

import torch

from .. import kernels
from ..costs.environment import GIGABYTE, cpu_model, peak_memory
from ..errors import UserError
from ..models import SourceModel
from ..separation.separator import SCORING, Separator

# Slow networks run fewer times than requested, but at least twice.
_ENOUGH_SECONDS = 120.0


def count_macs(model: SourceModel) -> float:
    """Count the multiply-accumulates per second of audio while a copy of the model runs on a CPU.

    Matrix products, convolutions, attention and recurrent layers count, for all channels. FFTs and
    element-wise operations, which are few in comparison, do not.

    The input has ten seconds, and two channels unless the model demands another number.
    """
    from torch.utils.flop_counter import FlopCounterMode

    twin = copy.deepcopy(model).cpu().float().eval()
    length = round(10 * float(model.sample_rate))
    mixture = torch.zeros(1, model.in_channels or 2, length)
    formulas = {
        torch.ops.aten.mkldnn_rnn_layer: _recurrent_flops,
        torch.ops.aten.addmv: _matrix_vector_flops,
    }
    if hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        formulas[torch.ops.mkldnn._linear_pointwise] = _linear_flops
    fast_attention = torch.backends.mha.get_fastpath_enabled()
    # Without the fast path, attention runs as operations that the counter knows.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        backend = torch.nn.attention.SDPBackend.MATH
        with (
            torch.no_grad(),
            kernels.use("torch"),
            torch.nn.attention.sdpa_kernel(backend),
            FlopCounterMode(display=False, custom_mapping=formulas) as counter,
        ):
            twin(mixture)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_attention)
    return counter.get_total_flops() / 2 / (length / float(model.sample_rate))


def _recurrent_flops(x_shape, input_weight_shape, hidden_weight_shape, *_, **__) -> int:
    """Count one layer and direction of an LSTM, which torch's counter leaves out on a CPU."""
    steps = x_shape[0] * x_shape[1]
    return 2 * steps * (prod(input_weight_shape) + prod(hidden_weight_shape))


def _matrix_vector_flops(_, matrix_shape, *__, **___) -> int:
    """Count a matrix times a vector, which torch's counter leaves out."""
    return 2 * prod(matrix_shape)


def _linear_flops(x_shape, weight_shape, *_, **__) -> int:
    """Count a linear layer fused with its activation."""
    return 2 * prod(x_shape[:-1]) * prod(weight_shape)


def measure(
    path: str | os.PathLike,
    separator: Mapping[str, Any] | None = None,
    *,
    seconds: float = 10.0,
    repeats: int = 5,
    count: bool = True,
) -> dict:
    """Measure a model on this device in a separate process.

    Args:
        path: file of its weights.
        separator: arguments of `Separator`; precision "32" unless given.
        seconds: length of the noise that is separated.
        repeats: number of timed runs after a warm-up; fewer, but at least two, if they take more
            than two minutes.
        count: whether to count multiply-accumulates, in a run on the CPU.

    Returns:
        `parameters`; `macs_per_second`, of audio, or None; `real_time_factor`, seconds of
        computing per second of audio, as `median`, `low`, `high` and `n`; `memory_gb` (2**30
        bytes), the peak of a GPU's tensors, or on a CPU the growth of the process to its peak,
        weights included; `device`, `threads`, `separator`, `seconds`, `versions`.

    Raises:
        UserError: if the model cannot be loaded or run.
    """
    task = {
        "path": os.fspath(path),
        "separator": dict(separator or {}),
        "seconds": seconds,
        "repeats": repeats,
        "count": count,
    }
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "costs.json"
        command = [sys.executable, "-m", "asteroid_bsrnn.evaluation.speed"]
        done = subprocess.run(
            [*command, json.dumps(task), str(result)], capture_output=True, text=True
        )
        if done.returncode or not result.is_file():
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise UserError(f"{path}: cannot be measured: {lines[-1]}")
        return json.loads(result.read_text(encoding="utf-8"))


def _measure_here(task: Mapping[str, Any]) -> dict:
    """Measure in this process."""
    before = _reset_peak()
    separator = Separator(task["path"], **{**SCORING, **task["separator"]})
    on_gpu = separator.device.type == "cuda"
    channels = separator.model.in_channels or 2
    length = round(task["seconds"] * separator.sample_rate)
    noise = 0.1 * torch.randn(channels, length, generator=torch.Generator().manual_seed(0))
    separator.separate(noise)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(separator.device)
    times: list[float] = []
    while len(times) < task["repeats"] and (len(times) < 2 or sum(times) < _ENOUGH_SECONDS):
        began = time.perf_counter()
        separator.separate(noise)
        times.append((time.perf_counter() - began) / task["seconds"])
    if on_gpu:
        memory = torch.cuda.max_memory_allocated(separator.device)
        device = torch.cuda.get_device_name(separator.device)
    else:
        memory = _peak_bytes() - before
        device = cpu_model() or platform.machine()
    return {
        "parameters": sum(p.numel() for p in separator.model.parameters()),
        "macs_per_second": count_macs(separator.model) if task["count"] else None,
        "real_time_factor": {
            "median": median(times),
            "low": min(times),
            "high": max(times),
            "n": len(times),
        },
        "memory_gb": memory / GIGABYTE,
        "device": device,
        "threads": None if on_gpu else torch.get_num_threads(),
        "separator": {**separator.settings, "batch_size": separator.batch_size},
        "seconds": task["seconds"],
        "versions": {"torch": str(torch.__version__), "python": platform.python_version()},
    }


def _reset_peak() -> int:
    """Reset the peak of this process's memory if the system can, and return the peak.

    Elsewhere the peak of the imports hides the memory of a small model.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak_bytes()


def _peak_bytes() -> int:
    """Return the peak memory of this process."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1)) * 1024
    except (OSError, AttributeError):
        return round(peak_memory()["rss_gb"] * GIGABYTE)


if __name__ == "__main__":
    try:
        measured = _measure_here(json.loads(sys.argv[1]))
    except UserError as mistake:
        sys.exit(str(mistake))
    Path(sys.argv[2]).write_text(json.dumps(measured), encoding="utf-8")
