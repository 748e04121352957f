"""Triton kernels for the recurrences of a bidirectional LSTM: one launch for the whole sequence.

A program processes a few sequences in one direction through all steps, so that programs never wait
for each other. The recurrent weights (512 KiB for a hidden size of 256 in bfloat16) do not fit the
shared memory of a multiprocessor: at every step, a program streams them in tiles from the L2 cache,
which all programs share. A step passes the hidden state or the gradients of the gates to the next
step through the output tensors; the program reads them back behind a barrier, mostly from a cache.
Cells are carried and products are accumulated in float32.
"""

from __future__ import annotations

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
    """Compute all steps. Shapes as in `lstm_triton.forward`; `carry` is (2, B, H) in float32."""
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
    """Compute all steps in reverse. Shapes as in `lstm_triton.backward`, except for the weights.

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
