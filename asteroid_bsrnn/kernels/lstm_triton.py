"""Launch the Triton kernels of the LSTM's recurrences, divided into tiles for the device.

`lstm_plain` has the same `forward` and `backward`.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import torch
import triton

from .lstm_triton_kernels import backward_kernel, forward_kernel

# Triton's interpreter, which runs kernels without a GPU, cannot multiply bfloat16.
_INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)


@dataclass(frozen=True)
class Tiles:
    """The sizes in which a kernel divides its work.

    Attributes:
        batch: sequences per program; a power of 2, at least 16.
        hidden: hidden units of one tile, a power of 2 that divides the hidden size.
        inner: inner dimension of one product, a power of 2 that divides the hidden size.
        n_warps: warps of a program.
        n_stages: tiles of weights that are loaded ahead.
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
    """Return tiles for a batch with which a program spills no or few registers.

    Args:
        kernel: "forward" or "backward".
        n_batch: number of sequences.
        n_hidden: hidden size, a multiple of 16.
        element_size: bytes of an element.
        n_processors: number of multiprocessors of the device.
        shared_memory: bytes of shared memory that a program may use.
    """
    batch = 16
    # The smallest tiles that fill the device once: more programs would read the weights again.
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
    # The rest is for the exchange between threads.
    room = (shared_memory - 20 * 1024) // (n_stages * element_size * (batch + gates * hidden))
    while inner > max(room, 16):
        inner //= 2
    return Tiles(batch, hidden, inner, 4 if batch == 16 else 8, n_stages)


def limits(device: torch.device) -> tuple[int, int]:
    """Return the number of multiprocessors and the bytes of shared memory of a program.

    Args:
        device: a GPU; for a CPU, where Triton's interpreter runs, the result is a small GPU's.
    """
    least = 99 * 1024  # the least of the supported GPUs
    if device.type == "cpu":
        return 2, least
    properties = torch.cuda.get_device_properties(device)
    memory = getattr(properties, "shared_memory_per_block_optin", least)
    return properties.multi_processor_count, memory


def forward(
    projected: torch.Tensor,
    weight: torch.Tensor,
    *,
    save_cells: bool,
    allow_tf32: bool = False,
    tiles: Tiles | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the hidden states of both directions.

    Args:
        projected: (T, B, 2, 4H), the gates without the recurrent part: input, forget, candidate
            and output gate of both directions. Contiguous.
        weight: (2, 4H, H), recurrent weights. Contiguous, of the same type.
        save_cells: whether the cells are returned, for `backward`.
        allow_tf32: whether products of float32 may use TF32.
        tiles: how the work is divided; None means `choose_tiles`.

    Returns:
        The states (T, B, 2H) and the cells (T, B, 2H) or an empty tensor.
    """
    n_steps, n_batch, _, width = projected.shape
    n_hidden = width // 4
    output = projected.new_empty(n_steps, n_batch, 2 * n_hidden)
    cells = torch.empty_like(output) if save_cells else output.new_empty(0)
    with _launching("forward", projected, tiles) as (grid, carry, settings):
        forward_kernel[grid](
            projected, weight, output, cells, carry, n_steps, n_batch,
            SAVE_CELLS=save_cells, PRECISION=_precision(allow_tf32), **settings,
        )  # fmt: skip
    return output, cells


def backward(
    gates: torch.Tensor,
    weight: torch.Tensor,
    cells: torch.Tensor,
    gradient: torch.Tensor,
    *,
    allow_tf32: bool = False,
    tiles: Tiles | None = None,
) -> None:
    """Replace the gates of all steps by their gradients.

    Args:
        gates: (T, B, 2, 4H), the gates before their nonlinearities. Contiguous; overwritten.
        weight: (2, 4H, H), recurrent weights.
        cells: (T, B, 2H), from `forward`.
        gradient: (T, B, 2H), of the hidden states. Contiguous.
        allow_tf32: as for `forward`.
        tiles: how the work is divided; None means `choose_tiles`.
    """
    # Transposed weights have the inner dimension last, as tensor cores need.
    transposed = weight.transpose(1, 2).contiguous()
    with _launching("backward", gates, tiles) as (grid, carry, settings):
        backward_kernel[grid](
            gates, transposed, cells, gradient, carry, *gates.shape[:2],
            PRECISION=_precision(allow_tf32), **settings,
        )  # fmt: skip


@contextlib.contextmanager
def _launching(kernel: str, gates: torch.Tensor, tiles: Tiles | None):
    """Yield the grid, a float32 buffer for the carried state, and the other launch settings."""
    _, n_batch, _, width = gates.shape
    n_hidden = width // 4
    if tiles is None:
        device = limits(gates.device)
        tiles = choose_tiles(kernel, n_batch, n_hidden, gates.element_size(), *device)
    if n_hidden % tiles.hidden or n_hidden % tiles.inner:
        raise ValueError(f"{tiles} do not divide a hidden size of {n_hidden}")
    settings = settings_of(n_hidden, tiles)
    carry = gates.new_empty(2, n_batch, n_hidden, dtype=torch.float32)
    # Triton launches on the current device, not on that of the tensors.
    with torch.cuda.device(gates.device) if gates.is_cuda else contextlib.nullcontext():
        yield (triton.cdiv(n_batch, tiles.batch), 2), carry, settings


def settings_of(n_hidden: int, tiles: Tiles) -> dict[str, int | bool]:
    """Return the constants, warps and stages for which both kernels are compiled."""
    return {
        "HIDDEN": n_hidden,
        "BATCH_TILE": tiles.batch,
        "HIDDEN_TILE": tiles.hidden,
        "INNER_TILE": tiles.inner,
        "WIDEN": _INTERPRETED,
        "num_warps": tiles.n_warps,
        "num_stages": tiles.n_stages,
    }


def _precision(allow_tf32: bool) -> str:
    return "tf32" if allow_tf32 else "ieee"
