"""`nn.LSTM`, with faster paths on a CPU, where oneDNN computes it.

Under autocast on a CPU, torch decomposes `nn.LSTM` into single steps, which is ten times slower
than float32. With weights in bfloat16 it calls oneDNN's fused layer, forwards and backwards, at
twice the speed of float32 on processors with bfloat16 products. Other processors have no such layer
or a very slow one: there the layer runs in float32 and its result is rounded.

On processors with matrix tiles (AMX), oneDNN divides the batch into equal blocks of sequences. If
the number of sequences has few divisors, as the 82 sequences of 41 bands in stereo, the blocks do
not fill the tiles and the speed halves. The number is therefore padded to whole tiles, or to half
tiles where whole ones would add much.

Without gradients, a linear layer after the LSTM is applied to one direction at a time:
concatenating the states of both directions would cost as much as the layer itself.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import has_bfloat16, observed, serves

TILE = 16
"""Rows of a matrix tile."""
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
LSTM = 2
"""The number of this kind of layer in oneDNN."""
FEWEST, FEW = 2 * TILE, 8 * TILE
"""Up to `FEWEST` sequences there is no padding, up to `FEW` it is to half a tile."""


def torch_lstm(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear | None = None) -> torch.Tensor:
    """Return the hidden states of `nn.LSTM`, or the result of a linear layer for them.

    Args:
        x: the input of `module`.
        module: the LSTM, which starts from zeros. Its float32 parameters also get gradients under
            autocast to bfloat16 on a CPU.
        linear: a layer to apply to the states.

    Returns:
        The output of `module` or `linear`; bfloat16 under autocast to it on a CPU.
    """
    in_bfloat16 = (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not module.proj_size
    )
    if in_bfloat16 and has_bfloat16():
        return _bfloat16(x, module, linear)
    if in_bfloat16:
        with torch.autocast("cpu", enabled=False):
            hidden = module(x.float())[0].bfloat16()
    elif x.dtype == module.weight_hh_l0.dtype == torch.float32 and _can_part(x, module, linear):
        return _both_directions(x, module, linear)
    else:
        hidden = module(x)[0]
    return hidden if linear is None else linear(hidden)


def _bfloat16(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear | None) -> torch.Tensor:
    """Compute `torch_lstm` in bfloat16."""
    extra = 0 if module.batch_first else sequences_missing(x)
    with torch.autocast("cpu", enabled=False):
        x = x.bfloat16()
        if extra:
            x = F.pad(x, (0, 0, 0, extra))
        if _can_part(x, module, linear):
            result = _both_directions(x, module, linear)
        else:
            weights = {name: weight.bfloat16() for name, weight in module.named_parameters()}
            result = torch.func.functional_call(module, weights, x)[0]
            if linear is not None:
                result = F.linear(result, *(p.bfloat16() for p in linear.parameters()))
    return result[:, :-extra] if extra else result


def _can_part(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear | None) -> bool:
    """Return whether `_both_directions` can replace `module` and `linear`."""
    return (
        linear is not None
        and linear.bias is not None
        and is_one_bidirectional_layer(module)
        and serves(x)
        and x.dim() == 3
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


def is_one_bidirectional_layer(module: nn.LSTM) -> bool:
    """Return whether `module` is one bidirectional layer, steps first, without projection."""
    plain = module.bidirectional and module.bias and not module.batch_first
    return plain and module.num_layers == 1 and not module.proj_size


def _both_directions(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear) -> torch.Tensor:
    """Apply `linear` to the states without concatenating them, in the type of `x`."""
    kind, n_hidden = x.dtype, module.hidden_size
    x = x.contiguous()  # the layer assumes it
    columns = linear.weight.to(kind).split(n_hidden, dim=1)
    result = linear.bias.to(kind)
    for reverse, suffix in enumerate(("", "_reverse")):
        weights = [getattr(module, f"{name}_l0{suffix}") for name in PARAMETERS]
        states, *_ = Direction(weights, reverse, kind).forward(x, train=False)
        # In place for the second direction. Torch's counter of operations knows `addmm`.
        out = result if reverse else None
        result = torch.addmm(result, states.flatten(0, 1), columns[reverse].mT, out=out)
        del states  # before the other direction allocates its own
    return result.view(*x.shape[:2], -1)


class Direction:
    """One direction of an LSTM in oneDNN, in one type.

    The weights are in the order of `PARAMETERS`; with `reverse` the sequences are read backwards.
    """

    def __init__(self, weights: Sequence[torch.Tensor], reverse: int, kind: torch.dtype):
        self.weights = [weight.detach().to(kind) for weight in weights]
        self.reverse, self.n_hidden = bool(reverse), weights[1].shape[1]

    def forward(self, inputs: torch.Tensor, *, train: bool) -> list[torch.Tensor]:
        """Return the states of all steps, the last state and cell, and the workspace."""
        start = self._zeros(inputs)
        # Without gradients oneDNN returns no workspace.
        with torch.set_grad_enabled(train):
            return torch.mkldnn_rnn_layer(
                inputs, *self.weights, start, start, self.reverse, [], LSTM, self.n_hidden, 1,
                True, False, False, train,
            )  # fmt: skip

    def backward(
        self, inputs: torch.Tensor, results: list[torch.Tensor], d_states: torch.Tensor
    ) -> list[torch.Tensor]:
        """Return the gradients of the inputs and of the weights."""
        start = self._zeros(inputs)
        states, last, cell, workspace = results
        return torch.ops.aten.mkldnn_rnn_layer_backward(
            inputs, *self.weights, start, start, states, last, cell, d_states, start, start,
            self.reverse, LSTM, self.n_hidden, 1, True, True, False, [], False, workspace,
        )[:5]  # fmt: skip

    def _zeros(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.new_zeros(inputs.shape[1], self.n_hidden)


def sequences_missing(x: torch.Tensor) -> int:
    """Return the number of sequences to add to (T, B, N) for whole tiles; 0 without tiles."""
    if x.dim() != 3 or observed() or not _has_tiles():
        return 0
    n_sequences = x.shape[1]
    if n_sequences <= FEWEST:
        return 0
    return -n_sequences % (TILE if n_sequences > FEW else TILE // 2)


@functools.cache
def _has_tiles() -> bool:
    """Return whether this processor multiplies tiles in bfloat16."""
    # Older releases of torch have no such function.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))
