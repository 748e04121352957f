"""A normalised LSTM with a linear layer for training on a CPU that keeps little.

oneDNN keeps a workspace for the backward pass of an LSTM that takes ten times the memory of its
input and its states, and plain layers around it keep the states of both directions a second time.
This function keeps the normalised input, the states and oneDNN's workspace. With `recompute` it
keeps the input before the normalisation alone, and the backward pass runs the forward pass again,
which takes a third of the time of a training step of the layer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import affine_gradients, has_bfloat16, observed
from .lstm_onednn import PARAMETERS, Direction, is_one_bidirectional_layer, sequences_missing


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
    weights = [getattr(module, name + end) for end in ("_l0", "_l0_reverse") for name in PARAMETERS]
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
