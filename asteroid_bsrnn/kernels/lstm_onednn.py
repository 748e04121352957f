"""LSTMs on a CPU, where oneDNN computes them: `torch_lstm`, and `normalised_lstm` for training.

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

For the backward pass, oneDNN keeps a workspace that takes ten times the memory of the input and the
states of an LSTM, and plain layers around it keep the states of both directions a second time.
`normalised_lstm` keeps the normalised input, the states and the workspace. With `recompute` it
keeps the input before the normalisation alone, and the backward pass runs the forward pass again,
which takes a third of the time of a training step of the layer.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import affine_gradients, has_bfloat16, observed, serves

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
    for reverse in (0, 1):
        layer = Direction(_weights(module, reverse), reverse, kind)
        states, *_ = layer.forward(x, train=False)
        # In place for the second direction. Torch's counter of operations knows `addmm`.
        out = result if reverse else None
        result = torch.addmm(result, states.flatten(0, 1), columns[reverse].mT, out=out)
        del states  # before the other direction allocates its own
    return result.view(*x.shape[:2], -1)


def _weights(module: nn.LSTM, reverse: int) -> list[torch.Tensor]:
    """Return the weights of one direction in the order of `PARAMETERS`."""
    return [getattr(module, name + ("_l0", "_l0_reverse")[reverse]) for name in PARAMETERS]


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


def keeps_little(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear) -> bool:
    """Return whether `normalised_lstm` computes these layers with gradients."""
    if x.device.type != "cpu" or not torch.is_grad_enabled() or observed():
        return False
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    parameters = [*module.parameters(), *linear.parameters()]
    return (
        is_one_bidirectional_layer(module)
        and linear.bias is not None
        and x.numel() > 0
        and all(parameter.dtype == torch.float32 for parameter in parameters)
        and _types(x) is not None
    )


def normalised_lstm(
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    module: nn.LSTM,
    linear: nn.Linear,
    *,
    recompute: bool,
) -> torch.Tensor:
    """Return `linear(module(x * scale + shift)[0])`, for which `keeps_little` holds.

    Args:
        x: (T, ..., N), of any strides.
        scale: broadcasts with `x`.
        shift: broadcasts with `x`.
        module: a bidirectional LSTM of one layer that starts from zeros.
        linear: from the states of both directions to M features.
        recompute: whether the backward pass repeats the forward pass instead of keeping the
            normalised input, the states and oneDNN's workspace.

    Returns:
        (T, ..., M); in autocast's type under autocast.

    Raises:
        RuntimeError: on a second backward: the gradient has no derivative.
    """
    weights = (*_weights(module, 0), *_weights(module, 1))
    return _NormalisedLSTM.apply(
        x, scale, shift, *linear.parameters(), *weights, _types(x), recompute
    )


def _types(x: torch.Tensor) -> tuple[torch.dtype, torch.dtype] | None:
    """Return the types of the LSTM and of its result; None for types that oneDNN lacks."""
    if torch.is_autocast_enabled("cpu"):
        if torch.get_autocast_dtype("cpu") != torch.bfloat16:
            return None
        return (torch.bfloat16 if has_bfloat16() else torch.float32), torch.bfloat16
    return (torch.float32, torch.float32) if x.dtype == torch.float32 else None


class _NormalisedLSTM(torch.autograd.Function):
    """`normalised_lstm` of tensors: x, scale, shift, the linear layer's and the LSTM's weights."""

    @staticmethod
    def forward(ctx, x, scale, shift, matrix, bias, *rest):
        *weights, types, recompute = rest
        kind, result_kind = types
        with torch.autocast("cpu", enabled=False):
            inputs = _normalised(x, scale, shift, kind)
            result, kept = bias.to(result_kind), [] if recompute else [inputs]
            for reverse, columns in enumerate(matrix.to(result_kind).chunk(2, dim=1)):
                layer = Direction(weights[4 * reverse : 4 * reverse + 4], reverse, kind)
                states, *others = layer.forward(inputs, train=not recompute)
                rows = states.flatten(0, 1).to(result_kind)
                result = torch.addmm(result, rows, columns.mT)
                kept += [] if recompute else [states, *others]
        ctx.save_for_backward(x, scale, shift, matrix, bias, *weights, *kept)
        ctx.types = types
        result = result.view(len(x), -1, len(bias))[:, : x.shape[1:-1].numel()]
        return result.reshape(*x.shape[:-1], len(bias))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, scale, shift, matrix, bias, *rest = ctx.saved_tensors
        weights, (inputs, *kept) = rest[:8], rest[8:] or [None]
        kind, result_kind = ctx.types
        with torch.autocast("cpu", enabled=False):
            inputs = _normalised(x, scale, shift, kind) if inputs is None else inputs
            gradient = gradient.reshape(len(x), -1, len(bias))
            if extra := inputs.shape[1] - gradient.shape[1]:
                gradient = F.pad(gradient, (0, 0, 0, extra))
            rows = gradient.flatten(0, 1)
            wide = torch.promote_types(result_kind, torch.float32)
            d_bias = rows.sum(dim=0, dtype=wide).to(bias.dtype)
            d_inputs, d_columns, d_weights = None, [], []
            for reverse, columns in enumerate(matrix.to(result_kind).chunk(2, dim=1)):
                layer = Direction(weights[4 * reverse : 4 * reverse + 4], reverse, kind)
                # The states and the workspace of a direction are freed before those of the next.
                results = kept[4 * reverse : 4 * reverse + 4] or layer.forward(inputs, train=True)
                states = results[0].flatten(0, 1).to(result_kind)
                d_columns.append((rows.mT @ states).to(matrix.dtype))
                d_states = (rows @ columns).view(results[0].shape).to(kind)
                d_layer, *others = layer.backward(inputs, results, d_states)
                del results, states, d_states
                d_inputs = d_layer if d_inputs is None else d_inputs.add_(d_layer)
                d_weights += [d.to(torch.float32) for d in others]
            d_inputs = d_inputs[:, : x.shape[1:-1].numel()].reshape(x.shape)
            d_affine = affine_gradients(d_inputs, x, scale, shift)
        return *d_affine, torch.cat(d_columns, dim=1), d_bias, *d_weights, None, None


def _normalised(
    x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, kind: torch.dtype
) -> torch.Tensor:
    """Return `x * scale + shift` as contiguous sequences (T, B, N), padded to whole tiles."""
    inputs = torch.addcmul(shift, x, scale).to(kind).flatten(1, -2)
    extra = sequences_missing(inputs) if kind == torch.bfloat16 else 0
    return F.pad(inputs, (0, 0, 0, extra)) if extra else inputs.contiguous()
