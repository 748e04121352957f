"""Section: outputs and gradients of the fused LSTM against `nn.LSTM` in float64 on the CPU."""

from __future__ import annotations

import os
import random

import torch
from common import Section

from asteroid_bsrnn.kernels import lstm_fused
from tests.kernels_checks import TOLERANCES, lstm_errors

LENGTHS, BATCHES, HIDDEN = (1, 2, 41, 57, 259, 947), (1, 3, 17, 82, 656, 1000, 5000), (64, 128, 256)
# What the CPU can check in a few seconds, in float64: sequences x steps x parameters.
LARGEST = 1e10
# The networks' own: time and band layers of obsrnn and bsrnn.
SHAPES = [(1, 1, 16, 64), (2, 5000, 16, 64), (947, 3, 32, 128), (259, 82, 64, 128),
          (41, 1036, 64, 128), (259, 82, 128, 256), (41, 518, 128, 256)]  # fmt: skip
TINY = [(1, 1, 5, 16), (9, 20, 8, 32)]


def random_shape(numbers: random.Random) -> tuple[int, int, int, int]:
    """A shape that the CPU can check."""
    while True:
        hidden, features = numbers.choice(HIDDEN), numbers.choice((7, 48, 64, 128))
        shape = numbers.choice(LENGTHS), numbers.choice(BATCHES), features, hidden
        if shape[0] * shape[1] * hidden * (features + hidden) * 8 < LARGEST:
            return shape


def check(shape: tuple, dtype: torch.dtype, section: Section, strided: bool) -> dict:
    """The largest error of outputs and gradients."""
    recurrence = "plain" if section.device == "cpu" else "triton"
    errors = lstm_errors(
        shape, dtype=dtype, device=section.device, recurrence=recurrence, strided=strided
    )
    where = max(errors, key=lambda name: (errors[name] != errors[name], errors[name]))
    error, tolerance = errors[where], TOLERANCES[dtype]
    return {"error": error, "of": where, "tolerance": tolerance, "passed": error <= tolerance}


def main() -> None:
    """Check the networks' shapes, then random ones while there is time."""
    section = Section.from_command_line()
    # Products of float32 are exact here, whatever the defaults.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    lstm_fused._tf32_allowed = lambda: False
    torch.set_num_threads(os.cpu_count() or 1)
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
    raise SystemExit(int(any(failed.values()) or not any(passed.values())))


if __name__ == "__main__":
    main()
