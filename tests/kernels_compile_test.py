"""The Triton kernels compile for GPUs that are not here: to code that runs on tensor cores.

The interpreter, in which `kernels_triton_test.py` runs where there is no GPU, takes much that a
compiler refuses. Whether the code is right only a GPU can tell, and `benchmarks/gpu.sh` asks one.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from asteroid_bsrnn.kernels import lstm_triton  # noqa: E402

# Compute capability: multiprocessors, and bytes of shared memory that a program may use.
GPUS = {80: (108, 163 * 1024), 86: (84, 99 * 1024), 90: (132, 227 * 1024)}
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
# What a thread may spill, in bytes: some tens cost nothing, a tile of an accumulator much.
MOST_SPILLED = 256


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


def compiled(kernel: str, element: str, n_hidden: int, n_batch: int, capability: int):
    """A kernel as it would be compiled for a GPU of that capability."""
    function = getattr(lstm_triton, f"{kernel}_kernel")
    tiles = lstm_triton.choose_tiles(kernel, n_batch, n_hidden, BYTES[element], *GPUS[capability])
    settings = lstm_triton.settings_of(n_hidden, tiles)
    options = {name: settings.pop(name) for name in ("num_warps", "num_stages")}
    precision = "tf32" if element == "fp32" else "ieee"
    constants = {**settings, "PRECISION": precision, "SAVE_CELLS": True}
    types = {"n_steps": "i32", "n_batch": "i32", "carry": "*fp32"}
    names = function.arg_names
    signature = {
        name: "constexpr" if name in constants else types.get(name, f"*{element}") for name in names
    }
    source = ASTSource(
        function,
        signature,
        {(names.index(name),): value for name, value in constants.items() if name in names},
        # Tensors of torch begin at multiples of 16 bytes, which decides how they can be read.
        {(names.index(n),): [["tt.divisibility", 16]] for n in names if signature[n][0] == "*"},
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options=options)


# Each type and size once; tiles differ with the batch and the GPU.
@pytest.mark.parametrize(
    ("element", "n_hidden", "n_batch", "capability"),
    [
        ("bf16", 256, 4144, 90),
        ("bf16", 128, 82, 86),
        ("fp16", 96, 1312, 80),
        ("fp32", 256, 1312, 86),
    ],
)
@pytest.mark.parametrize("kernel", ["forward", "backward"])
def test_kernels_compile_for(kernel, element, n_hidden, n_batch, capability, tmp_path):
    code = compiled(kernel, element, n_hidden, n_batch, capability)
    assert code.metadata.shared <= GPUS[capability][1]
    assert "mma" in code.asm["ptx"], "products run on tensor cores"
    assert "cp.async" in code.asm["ptx"], "weights are read ahead"
    assert spilled(code.asm["cubin"], tmp_path) <= MOST_SPILLED


def spilled(cubin: bytes, folder: Path) -> int:
    """Bytes of a thread's stack, by NVIDIA's tool, which comes with Triton."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    (folder / "kernel.cubin").write_bytes(cubin)
    command = [tool, "-res-usage", folder / "kernel.cubin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(re.search(r"STACK:(\d+)", done.stdout + done.stderr)[1])
