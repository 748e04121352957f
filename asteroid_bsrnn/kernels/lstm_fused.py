"""A bidirectional LSTM with separate recurrence kernels and its own backward pass.

One matrix product projects the inputs of both directions, then a recurrence computes all steps
(`lstm_triton`, or `lstm_plain` in tests). The backward pass saves only the inputs, states and
cells. It recomputes the gates of all steps with two matrix products, a recurrence in reverse
replaces them by their gradients in place, and further matrix products give the gradients of inputs
and weights.
"""

from __future__ import annotations

import importlib

import torch
from torch import nn

from .cpu import affine, affine_gradients, keeps_inputs

RECURRENCES = {"triton": "lstm_triton", "plain": "lstm_plain"}


def bidirectional_lstm(
    x: torch.Tensor,
    module: nn.LSTM,
    recurrence: str = "triton",
    scale_and_shift: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """Return the hidden states of a bidirectional LSTM of one layer.

    Under autocast, the type of computation and result is autocast's, as for `nn.LSTM` on a GPU.
    Otherwise `x` and the parameters have the same type. Cells and sums are float32 at least.
    In float32, recurrent products use TF32 if `torch.backends.cudnn.allow_tf32` is set, as in
    `nn.LSTM`; the other products follow `torch.backends.cuda.matmul.allow_tf32`.

    Args:
        x: (T, B, N), of any strides; T and B at least 1.
        module: the parameters; bidirectional, one layer, with biases.
        recurrence: "triton" or "plain".
        scale_and_shift: `x`, then (T, ..., N), is multiplied by the one, and the other is added, in
            their type. Training then keeps `x` alone, not the result too.

    Returns:
        (T, B, 2H), where B is the product of the middle dimensions of `x`.

    Raises:
        RuntimeError: on a second backward: the gradient has no derivative.
    """
    forward, reverse = (
        [getattr(module, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh")]
        + [getattr(module, f"bias_ih_l0{suffix}") + getattr(module, f"bias_hh_l0{suffix}")]
        for suffix in ("", "_reverse")
    )
    weight_ih = torch.cat([forward[0], reverse[0]])
    weight_hh = torch.stack([forward[1], reverse[1]])
    bias = torch.cat([forward[2], reverse[2]])
    tensors = (weight_ih, weight_hh, bias)
    kind, dtype = x.device.type, x.dtype
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
        tensors = tuple(tensor.to(dtype) for tensor in tensors)
    options = (recurrence, _tf32_allowed())
    if scale_and_shift is not None:
        if keeps_inputs(x):
            return _NormalisedLSTM.apply(x, *scale_and_shift, *tensors, dtype, options)
        x = affine(x, *scale_and_shift).flatten(1, -2)
    tensors = (x.to(dtype), *tensors)
    save_cells = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    output, _ = _lstm(*tensors, recurrence, save_cells, options[1])
    return output


def _tf32_allowed() -> bool:
    """Whether recurrent layers of cuDNN may use TF32."""
    settings = getattr(torch.backends.cudnn, "rnn", None)
    if hasattr(settings, "fp32_precision"):
        return settings.fp32_precision == "tf32"
    return torch.backends.cudnn.allow_tf32


def _module(recurrence: str):
    return importlib.import_module(f".{RECURRENCES[recurrence]}", __package__)


@torch.library.custom_op("asteroid_bsrnn::lstm", mutates_args=())
def _lstm(
    x: torch.Tensor,
    weight_ih: torch.Tensor,
    weight_hh: torch.Tensor,
    bias: torch.Tensor,
    recurrence: str,
    save_cells: bool,
    allow_tf32: bool,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return states and cells; `weight_ih` is (8H, N), `weight_hh` (2, 4H, H), `bias` (8H)."""
    with torch.autocast(x.device.type, enabled=False):
        projected = torch.addmm(bias, x.flatten(0, 1), weight_ih.mT)
        projected = projected.view(*x.shape[:2], 2, -1)
        return _module(recurrence).forward(
            projected, weight_hh, save_cells=save_cells, allow_tf32=allow_tf32
        )


@_lstm.register_fake
def _(x, weight_ih, weight_hh, bias, recurrence, save_cells, allow_tf32):
    output = x.new_empty(*x.shape[:2], 2 * weight_hh.shape[-1])
    return output, torch.empty_like(output) if save_cells else output.new_empty(0)


@torch.library.custom_op("asteroid_bsrnn::lstm_backward", mutates_args=())
def _lstm_backward(
    gradient: torch.Tensor,
    x: torch.Tensor,
    weight_ih: torch.Tensor,
    weight_hh: torch.Tensor,
    bias: torch.Tensor,
    output: torch.Tensor,
    cells: torch.Tensor,
    recurrence: str,
    allow_tf32: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of `x`, `weight_ih`, `weight_hh` and `bias`."""
    n_hidden = weight_hh.shape[-1]
    with torch.autocast(x.device.type, enabled=False):
        inputs = x.flatten(0, 1)
        gates = torch.addmm(bias, inputs, weight_ih.mT).view(*x.shape[:2], 2, -1)
        # In each direction, the gates of all steps except the first and the states before them.
        later = [gates[1:, :, 0].flatten(0, 1), gates[:-1, :, 1].flatten(0, 1)]
        before = [output[:-1, :, :n_hidden].flatten(0, 1), output[1:, :, n_hidden:].flatten(0, 1)]
        for part, states, weight in zip(later, before, weight_hh, strict=True):
            part.addmm_(states, weight.mT)
        _module(recurrence).backward(
            gates, weight_hh, cells, gradient.contiguous(), allow_tf32=allow_tf32
        )
        d_hh = torch.stack([d.mT @ h for d, h in zip(later, before, strict=True)])
        rows = gates.view(len(inputs), -1)
        wide = torch.promote_types(x.dtype, torch.float32)
        d_bias = rows.sum(dim=0, dtype=wide).to(bias.dtype)
        return (rows @ weight_ih).view(x.shape), rows.mT @ inputs, d_hh, d_bias


@_lstm_backward.register_fake
def _(gradient, x, weight_ih, weight_hh, bias, output, cells, recurrence, allow_tf32):
    inputs = torch.empty_like(x, memory_format=torch.contiguous_format)
    return inputs, *(torch.empty_like(tensor) for tensor in (weight_ih, weight_hh, bias))


def _keep(ctx, inputs, output) -> None:
    *tensors, ctx.recurrence, _, ctx.allow_tf32 = inputs
    ctx.save_for_backward(*tensors, *output)


def _differentiate(ctx, gradient, _):
    options = (ctx.recurrence, ctx.allow_tf32)
    return *_lstm_backward(gradient, *ctx.saved_tensors, *options), None, None, None


def _refuse(ctx, *gradients):
    raise RuntimeError(
        "the fused LSTM has no second derivative; "
        "use nn.LSTM for it: asteroid_bsrnn.kernels.use('torch')"
    )


_lstm.register_autograd(_differentiate, setup_context=_keep)
_lstm_backward.register_autograd(_refuse)


class _NormalisedLSTM(torch.autograd.Function):
    """The layer for `x * scale + shift`, which keeps `x`, the states and the cells."""

    @staticmethod
    def forward(ctx, x, scale, shift, weight_ih, weight_hh, bias, dtype, options):
        recurrence, allow_tf32 = options
        inputs = affine(x, scale, shift, dtype).flatten(1, -2)
        weights = (weight_ih, weight_hh, bias)
        output, cells = _lstm(inputs, *weights, recurrence, True, allow_tf32)
        ctx.save_for_backward(x, scale, shift, *weights, output, cells)
        ctx.dtype, ctx.options = dtype, options
        return output

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, scale, shift, *rest = ctx.saved_tensors
        inputs = affine(x, scale, shift, ctx.dtype).flatten(1, -2)
        d_inputs, *d_weights = _lstm_backward(gradient, inputs, *rest, *ctx.options)
        with torch.autocast(x.device.type, enabled=False):
            d_affine = affine_gradients(d_inputs.reshape(x.shape), x, scale, shift)
        return *d_affine, *d_weights, None, None
