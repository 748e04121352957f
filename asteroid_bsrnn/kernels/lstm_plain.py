"""The recurrences of a bidirectional LSTM in plain torch, step by step.

This is a readable and slow description of the kernels of `lstm_triton`, with the same rounding.
Tests compare both with `nn.LSTM`.
"""

from __future__ import annotations

import torch


def forward(
    projected: torch.Tensor, weight: torch.Tensor, *, save_cells: bool, allow_tf32: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the hidden states of both directions; arguments as in `lstm_triton.forward`.

    `allow_tf32` is ignored.
    """
    n_steps, n_batch, _, width = projected.shape
    output = projected.new_empty(n_steps, n_batch, 2, width // 4)
    cells = torch.empty_like(output)
    weight = _precise(weight)
    for direction, order in _reading_orders(n_steps):
        state = cell = _precise(projected.new_zeros(n_batch, width // 4))
        for time in order:
            gates = _precise(projected[time, :, direction]) + state @ weight[direction].mT
            in_gate, forget_gate, candidate, out_gate = gates.chunk(4, dim=-1)
            cell = forget_gate.sigmoid() * cell + in_gate.sigmoid() * candidate.tanh()
            output[time, :, direction] = out_gate.sigmoid() * cell.tanh()
            cells[time, :, direction] = cell
            # The next step reads the rounded state, but the cell in full precision.
            state = _precise(output[time, :, direction])
    return output.flatten(2), cells.flatten(2) if save_cells else output.new_empty(0)


def backward(
    gates: torch.Tensor,
    weight: torch.Tensor,
    cells: torch.Tensor,
    gradient: torch.Tensor,
    *,
    allow_tf32: bool = False,
) -> None:
    """Replace the gates of all steps by their gradients; arguments as in `lstm_triton.backward`.

    `allow_tf32` is ignored.
    """
    n_steps, n_batch, _, width = gates.shape
    weight = _precise(weight)
    cells, gradient = (_precise(x.unflatten(2, (2, -1))) for x in (cells, gradient))
    for direction, order in _reading_orders(n_steps):
        d_gates = _precise(gates.new_zeros(n_batch, width))
        d_cell = _precise(gates.new_zeros(n_batch, width // 4))
        nothing = torch.zeros_like(d_cell)
        steps = list(order)
        for index in reversed(range(n_steps)):
            time = steps[index]
            d_state = gradient[time, :, direction] + d_gates @ weight[direction]
            before = cells[steps[index - 1], :, direction] if index else nothing
            parts = _precise(gates[time, :, direction]).chunk(4, dim=-1)
            in_gate, forget_gate, out_gate = (parts[i].sigmoid() for i in (0, 1, 3))
            candidate = parts[2].tanh()
            squashed = (forget_gate * before + in_gate * candidate).tanh()
            d_cell = d_cell + d_state * out_gate * (1 - squashed**2)
            d_parts = [
                d_cell * candidate * in_gate * (1 - in_gate),
                d_cell * before * forget_gate * (1 - forget_gate),
                d_cell * in_gate * (1 - candidate**2),
                d_state * squashed * out_gate * (1 - out_gate),
            ]
            d_cell = d_cell * forget_gate
            gates[time, :, direction] = torch.cat(d_parts, dim=-1)
            d_gates = _precise(gates[time, :, direction])


def _reading_orders(n_steps: int) -> list[tuple[int, range]]:
    return [(0, range(n_steps)), (1, range(n_steps - 1, -1, -1))]


def _precise(x: torch.Tensor) -> torch.Tensor:
    """Return `x` in float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
