"""Triton kernels for the recurrences of a bidirectional LSTM: one launch for the whole sequence.

A program processes a few sequences in one direction through all steps, so that programs never wait
for each other. The recurrent weights (512 KiB for a hidden size of 256 in bfloat16) do not fit the
shared memory of a multiprocessor: at every step, a program streams them in tiles from the L2 cache,
which all programs share. A step passes the hidden state or the gradients of the gates to the next
step through the output tensors; the program reads them back behind a barrier, mostly from a cache.
Cells are carried and products are accumulated in float32.

`lstm_plain` has the same `forward` and `backward`.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _add_product(total, a, b, PRECISION: tl.constexpr, WIDEN: tl.constexpr):
    if WIDEN:
        a, b = a.to(tl.float32), b.to(tl.float32)
    return tl.dot(a, b, total, input_precision=PRECISION)


@triton.jit(do_not_specialize=["n_steps", "n_batch"])
def forward_kernel(
    projected,
    weight,
    output,
    cells,
    carry,
    n_steps,
    n_batch,
    HIDDEN: tl.constexpr,
    BATCH_TILE: tl.constexpr,
    HIDDEN_TILE: tl.constexpr,
    INNER_TILE: tl.constexpr,
    SAVE_CELLS: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Compute all steps. Shapes as in `forward`; `carry` is (2, B, H) in float32."""
    direction = tl.program_id(1)
    rows = tl.program_id(0) * BATCH_TILE + tl.arange(0, BATCH_TILE)[:, None]
    units = tl.arange(0, HIDDEN_TILE)[None, :]
    inner = tl.arange(0, INNER_TILE)
    live = rows < n_batch
    weight += direction * 4 * HIDDEN * HIDDEN
    carry += direction.to(tl.int64) * n_batch * HIDDEN
    first = direction * (n_steps - 1)
    stride = 1 - 2 * direction
    # Offsets of a step exceed 2^31 for large batches.
    gates_step = n_batch.to(tl.int64) * (8 * HIDDEN)
    state_step = n_batch.to(tl.int64) * (2 * HIDDEN)
    for step in range(n_steps):
        time = first + stride * step
        started = live & (time != first)
        gates_now = projected + time * gates_step + rows * (8 * HIDDEN) + direction * 4 * HIDDEN
        state_now = time * state_step + rows * (2 * HIDDEN) + direction * HIDDEN
        previous = output + (time - stride) * state_step + rows * (2 * HIDDEN) + direction * HIDDEN
        for start in range(0, HIDDEN, HIDDEN_TILE):
            in_gate = tl.zeros((BATCH_TILE, HIDDEN_TILE), tl.float32)
            forget_gate = tl.zeros((BATCH_TILE, HIDDEN_TILE), tl.float32)
            candidate = tl.zeros((BATCH_TILE, HIDDEN_TILE), tl.float32)
            out_gate = tl.zeros((BATCH_TILE, HIDDEN_TILE), tl.float32)
            for k in range(0, HIDDEN, INNER_TILE):
                state = tl.load(previous + k + inner[None, :], mask=started, other=0.0)
                tile = weight + (start + units) * HIDDEN + k + inner[:, None]
                w_in = tl.load(tile)
                w_forget = tl.load(tile + HIDDEN * HIDDEN)
                w_candidate = tl.load(tile + 2 * HIDDEN * HIDDEN)
                w_out = tl.load(tile + 3 * HIDDEN * HIDDEN)
                in_gate = _add_product(in_gate, state, w_in, PRECISION, WIDEN)
                forget_gate = _add_product(forget_gate, state, w_forget, PRECISION, WIDEN)
                candidate = _add_product(candidate, state, w_candidate, PRECISION, WIDEN)
                out_gate = _add_product(out_gate, state, w_out, PRECISION, WIDEN)
            at = gates_now + start + units
            in_gate += tl.load(at, mask=live, other=0.0).to(tl.float32)
            forget_gate += tl.load(at + HIDDEN, mask=live, other=0.0).to(tl.float32)
            candidate += tl.load(at + 2 * HIDDEN, mask=live, other=0.0).to(tl.float32)
            out_gate += tl.load(at + 3 * HIDDEN, mask=live, other=0.0).to(tl.float32)
            at_carry = carry + rows * HIDDEN + start + units
            cell = tl.sigmoid(forget_gate) * tl.load(at_carry, mask=started, other=0.0)
            cell += tl.sigmoid(in_gate) * _tanh(candidate)
            state = tl.sigmoid(out_gate) * _tanh(cell)
            tl.store(at_carry, cell, mask=live)
            at_state = state_now + start + units
            if SAVE_CELLS:
                tl.store(cells + at_state, cell.to(cells.dtype.element_ty), mask=live)
            tl.store(output + at_state, state.to(output.dtype.element_ty), mask=live)
        # The products of the next step read what other threads of the program have written.
        tl.debug_barrier()


@triton.jit(do_not_specialize=["n_steps", "n_batch"])
def backward_kernel(
    gates,
    weight,
    cells,
    gradient,
    carry,
    n_steps,
    n_batch,
    HIDDEN: tl.constexpr,
    BATCH_TILE: tl.constexpr,
    HIDDEN_TILE: tl.constexpr,
    INNER_TILE: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """Compute all steps in reverse. Shapes as in `backward`, except for the weights.

    `weight` is transposed, (2, H, 4H); `carry` is (2, B, H) in float32.
    """
    direction = tl.program_id(1)
    rows = tl.program_id(0) * BATCH_TILE + tl.arange(0, BATCH_TILE)[:, None]
    units = tl.arange(0, HIDDEN_TILE)[None, :]
    inner = tl.arange(0, INNER_TILE)
    live = rows < n_batch
    weight += direction * 4 * HIDDEN * HIDDEN
    carry += direction.to(tl.int64) * n_batch * HIDDEN
    # The opposite of the direction in which the sequence was read.
    first = (1 - direction) * (n_steps - 1)
    last = direction * (n_steps - 1)
    stride = 2 * direction - 1
    gates_step = n_batch.to(tl.int64) * (8 * HIDDEN)
    state_step = n_batch.to(tl.int64) * (2 * HIDDEN)
    for step in range(n_steps):
        time = first + stride * step
        started = live & (time != first)
        not_last = live & (time != last)
        gates_row = gates + rows * (8 * HIDDEN) + direction * 4 * HIDDEN
        gates_now = gates_row + time * gates_step
        gates_later = gates_row + (time - stride) * gates_step
        state_row = rows * (2 * HIDDEN) + direction * HIDDEN
        for start in range(0, HIDDEN, HIDDEN_TILE):
            d_state = tl.zeros((BATCH_TILE, HIDDEN_TILE), tl.float32)
            for k in range(0, 4 * HIDDEN, INNER_TILE):
                later = tl.load(gates_later + k + inner[None, :], mask=started, other=0.0)
                w = tl.load(weight + (start + units) * (4 * HIDDEN) + k + inner[:, None])
                d_state = _add_product(d_state, later, w, PRECISION, WIDEN)
            at_state = state_row + start + units
            d_state += tl.load(
                gradient + time * state_step + at_state, mask=live, other=0.0
            ).to(tl.float32)  # fmt: skip
            cell_before = tl.load(
                cells + (time + stride) * state_step + at_state, mask=not_last, other=0.0
            ).to(tl.float32)
            at = gates_now + start + units
            in_gate = tl.sigmoid(tl.load(at, mask=live, other=0.0).to(tl.float32))
            forget_gate = tl.sigmoid(tl.load(at + HIDDEN, mask=live, other=0.0).to(tl.float32))
            candidate = _tanh(tl.load(at + 2 * HIDDEN, mask=live, other=0.0).to(tl.float32))
            out_gate = tl.sigmoid(tl.load(at + 3 * HIDDEN, mask=live, other=0.0).to(tl.float32))
            squashed = _tanh(forget_gate * cell_before + in_gate * candidate)
            at_carry = carry + rows * HIDDEN + start + units
            d_cell = tl.load(at_carry, mask=started, other=0.0)
            d_cell += d_state * out_gate * (1 - squashed * squashed)
            tl.store(at_carry, d_cell * forget_gate, mask=live)
            # The gradients overwrite the gates.
            kind = gates.dtype.element_ty
            d_in = d_cell * candidate * in_gate * (1 - in_gate)
            d_forget = d_cell * cell_before * forget_gate * (1 - forget_gate)
            d_candidate = d_cell * in_gate * (1 - candidate * candidate)
            d_out = d_state * squashed * out_gate * (1 - out_gate)
            tl.store(at, d_in.to(kind), mask=live)
            tl.store(at + HIDDEN, d_forget.to(kind), mask=live)
            tl.store(at + 2 * HIDDEN, d_candidate.to(kind), mask=live)
            tl.store(at + 3 * HIDDEN, d_out.to(kind), mask=live)
        tl.debug_barrier()


# Triton's interpreter, which runs kernels without a GPU, cannot multiply bfloat16.
_INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)


@dataclass(frozen=True)
class Tiles:
    """The sizes in which a kernel divides its work."""

    batch: int  # sequences per program; a power of 2, at least 16
    hidden: int  # hidden units of one tile; a power of 2 that divides the hidden size
    inner: int  # inner dimension of one product; a power of 2 that divides the hidden size
    n_warps: int  # of a program
    n_stages: int  # tiles of weights that are loaded ahead


def choose_tiles(
    kernel: str,
    n_batch: int,
    n_hidden: int,
    element_size: int,
    n_processors: int,
    shared_memory: int,
) -> Tiles:
    """Return tiles for a batch with which a program spills no or few registers.

    The kernel is "forward" or "backward", `n_hidden` a multiple of 16. The last three arguments are
    the bytes of an element, the multiprocessors of the device, and the bytes of shared memory that
    a program may use.
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
