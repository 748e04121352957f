"""Section `correctness`: the device against the CPU.

It compares outputs and gradients of the fused LSTM with `nn.LSTM` in float64, and stems of
`Separator` in float32, which has its own copies, buffers and graphs on a GPU.
"""

from __future__ import annotations

import os
import random
import warnings

import torch
from common import Section

from asteroid_bsrnn import Separator, kernels, presets
from asteroid_bsrnn.kernels import lstm_fused
from tests.kernels_checks import TOLERANCES, lstm_errors

LENGTHS, BATCHES, HIDDEN = (1, 2, 41, 57, 259, 947), (1, 3, 17, 82, 656, 1000, 5000), (64, 128, 256)
# Sequences x steps x parameters that a CPU computes in float64 within a few seconds.
LARGEST = 1e10
# Shapes of the time and band layers of obsrnn and bsrnn.
SHAPES = [(1, 1, 16, 64), (2, 5000, 16, 64), (947, 3, 32, 128), (259, 82, 64, 128),
          (41, 1036, 64, 128), (259, 82, 128, 256), (41, 518, 128, 256)]  # fmt: skip
TINY = [(1, 1, 5, 16), (9, 20, 8, 32)]
STEM_TOLERANCE = 1e-4


def random_shape(numbers: random.Random) -> tuple[int, int, int, int]:
    """Return a random shape that the CPU can check."""
    while True:
        hidden, features = numbers.choice(HIDDEN), numbers.choice((7, 48, 64, 128))
        shape = numbers.choice(LENGTHS), numbers.choice(BATCHES), features, hidden
        if shape[0] * shape[1] * hidden * (features + hidden) * 8 < LARGEST:
            return shape


def check(shape: tuple, dtype: torch.dtype, section: Section, strided: bool) -> dict:
    """Return the largest relative error of outputs and gradients."""
    recurrence = "plain" if section.device == "cpu" else "triton"
    errors = lstm_errors(
        shape, dtype=dtype, device=section.device, recurrence=recurrence, strided=strided
    )
    where = max(errors, key=lambda name: (errors[name] != errors[name], errors[name]))
    error, tolerance = errors[where], TOLERANCES[dtype]
    return {"error": error, "of": where, "tolerance": tolerance, "passed": error <= tolerance}


def check_separator(section: Section, cuda_graphs: bool) -> dict:
    """Return the error of stems against those of the CPU, with several batches of chunks."""
    torch.manual_seed(0)
    size = {"n_repeats": 1, **({"feature_dim": 16} if section.quick else {})}
    network = presets.build("bsrnn", "vocals", **size)
    mixture = 0.1 * torch.randn(2, 44100 * (3 if section.quick else 12))
    options = {"segment": 1.0, "batch_size": 2, "precision": "32"}
    expected = Separator(network, device="cpu", **options).separate(mixture)["vocals"]
    separator = Separator(network, device=section.device, cuda_graphs=cuda_graphs, **options)
    # "auto" does not choose the kernels before they have been measured.
    lstm = "torch" if section.device == "cpu" else "triton"
    # The second batch of a shape records a graph; the third one is the first to reuse buffers.
    with kernels.use(lstm), warnings.catch_warnings():
        # If no graph was recorded, the row must not pass as one with graphs.
        warnings.filterwarnings("error", "CUDA graphs do not work here")
        stem = separator.separate(mixture)["vocals"]
    error = ((stem - expected).norm() / expected.norm()).item()
    return {"error": error, "tolerance": STEM_TOLERANCE, "passed": error <= STEM_TOLERANCE}


def main() -> None:
    """Check the shapes of the networks and the separation, then random shapes as time allows."""
    section = Section.from_command_line()
    # Products are computed in full float32, whatever the defaults.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    lstm_fused._tf32_allowed = lambda: False
    torch.set_num_threads(os.cpu_count() or 1)
    separated = [
        section.attempt(
            f"Separator{', CUDA graphs' if graphs else ''}, float32",
            lambda graphs=graphs: check_separator(section, graphs),
        )
        for graphs in ((False,) if section.device == "cpu" else (False, True))
    ]
    numbers = random.Random(0)
    shapes = TINY if section.quick else SHAPES + [random_shape(numbers) for _ in range(33)]
    passed = dict.fromkeys(TOLERANCES, 0)
    failed = dict(passed)
    for index, shape in enumerate(shapes):
        if section.left < 15 and not section.quick:
            break
        for dtype in TOLERANCES:
            name = f"(T, B, N, H) = {shape}, {str(dtype).removeprefix('torch.')}"
            values = section.attempt(
                name,
                lambda shape=shape, dtype=dtype, strided=bool(index % 2): check(
                    shape, dtype, section, strided
                ),
            )
            counted = passed if values and values["passed"] else failed
            counted[dtype] += 1
    for dtype in TOLERANCES:
        what = f"all shapes, {str(dtype).removeprefix('torch.')}"
        section.add(what, passed=passed[dtype], failed_shapes=failed[dtype])
    wrong = [values for values in separated if not (values and values["passed"])]
    raise SystemExit(int(bool(wrong) or any(failed.values()) or not any(passed.values())))


if __name__ == "__main__":
    main()
