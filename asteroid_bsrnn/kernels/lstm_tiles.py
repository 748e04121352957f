"""How the LSTM's Triton kernels divide their work on a device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tiles:
    """How a kernel divides its work.

    Attributes:
        batch: sequences a program; at least 16, a power of 2.
        hidden: hidden units at a time, a power of 2 that divides the hidden size.
        inner: length of a product's summands at a time, a power of 2 that divides the hidden size.
        n_warps: warps of a program.
        n_stages: tiles of weights under way at a time.
    """

    batch: int
    hidden: int
    inner: int
    n_warps: int
    n_stages: int


def choose_tiles(
    kernel: str,
    n_batch: int,
    n_hidden: int,
    element_size: int,
    n_processors: int,
    shared_memory: int,
) -> Tiles:
    """Tiles for a batch, such that none or few of a program's registers are spilled.

    Args:
        kernel: "forward" or "backward".
        n_batch: number of sequences.
        n_hidden: hidden size, a multiple of 16.
        element_size: bytes of an element.
        n_processors: multiprocessors of the device.
        shared_memory: bytes that a program may use there.
    """
    batch = 16
    # The smallest tiles that fill the device once: more programs would read the weights more often.
    while batch < 64 and 2 * math.ceil(n_batch / batch) > n_processors:
        batch *= 2
    if element_size > 2:
        hidden, inner = 32, 32
    elif kernel == "forward":
        hidden, inner = 64, 64  # for each of four gates
    else:
        hidden, inner = 32 if batch == 64 else 64, 128
    # The largest power of 2 that divides the hidden size.
    largest = n_hidden & -n_hidden
    hidden, inner = min(hidden, largest), min(inner, largest)
    gates = 4 if kernel == "forward" else 1
    n_stages = 3
    # Something is left for what is exchanged between threads.
    room = (shared_memory - 20 * 1024) // (n_stages * element_size * (batch + gates * hidden))
    while inner > max(room, 16):
        inner //= 2
    return Tiles(batch, hidden, inner, 4 if batch == 16 else 8, n_stages)


def limits(device: torch.device) -> tuple[int, int]:
    """Multiprocessors, and bytes of shared memory that a program may use.

    Args:
        device: a GPU; for a CPU, where Triton's interpreter runs, those of a small one.
    """
    least = 99 * 1024  # of the GPUs that are supported
    if device.type == "cpu":
        return 2, least
    properties = torch.cuda.get_device_properties(device)
    memory = getattr(properties, "shared_memory_per_block_optin", least)
    return properties.multi_processor_count, memory
