"""Launches the Triton kernels of the LSTM's recurrences; `lstm_plain` has the same functions."""

from __future__ import annotations

import contextlib

import torch
import triton

from .lstm_tiles import Tiles, choose_tiles, limits
from .lstm_triton_kernels import backward_kernel, forward_kernel

# Triton's interpreter, which runs kernels without a GPU, multiplies the bits of bfloat16.
_INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)


def forward(
    projected: torch.Tensor,
    weight: torch.Tensor,
    *,
    save_cells: bool,
    allow_tf32: bool = False,
    tiles: Tiles | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states of both directions, from the inputs' part of the gates.

    Args:
        projected: (T, B, 2, 4H), the gates without the recurrent part: input, forget, candidate
            and output gate of both directions. Contiguous.
        weight: (2, 4H, H), recurrent weights. Contiguous, of the same type.
        save_cells: whether the cells are wanted, for `backward`.
        allow_tf32: whether products of float32 may be taken in TF32.
        tiles: how the work is divided; None chooses.

    Returns:
        The states (T, B, 2H) and the cells (T, B, 2H), or no elements in their place.
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
        cells: (T, B, 2H), as `forward` gives them.
        gradient: (T, B, 2H), of the hidden states. Contiguous.
        allow_tf32: as for `forward`.
        tiles: how the work is divided; None chooses.
    """
    # Transposed, both kernels read weights whose summands lie side by side, as tensor cores ask.
    transposed = weight.transpose(1, 2).contiguous()
    with _launching("backward", gates, tiles) as (grid, carry, settings):
        backward_kernel[grid](
            gates, transposed, cells, gradient, carry, *gates.shape[:2],
            PRECISION=_precision(allow_tf32), **settings,
        )  # fmt: skip


@contextlib.contextmanager
def _launching(kernel: str, gates: torch.Tensor, tiles: Tiles | None):
    """The grid, memory for what is carried in float32, and a launch's other settings."""
    _, n_batch, _, width = gates.shape
    n_hidden = width // 4
    if tiles is None:
        device = limits(gates.device)
        tiles = choose_tiles(kernel, n_batch, n_hidden, gates.element_size(), *device)
    if n_hidden % tiles.hidden or n_hidden % tiles.inner:
        raise ValueError(f"{tiles} do not divide a hidden size of {n_hidden}")
    settings = settings_of(n_hidden, tiles)
    carry = gates.new_empty(2, n_batch, n_hidden, dtype=torch.float32)
    # Triton launches on the current device, wherever its tensors are.
    with torch.cuda.device(gates.device) if gates.is_cuda else contextlib.nullcontext():
        yield (triton.cdiv(n_batch, tiles.batch), 2), carry, settings


def settings_of(n_hidden: int, tiles: Tiles) -> dict[str, int | bool]:
    """What both kernels are compiled for besides types: constants, warps and stages."""
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
