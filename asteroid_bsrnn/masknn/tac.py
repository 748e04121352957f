"""Transform-average-concatenate: exchange of information between the channels of a recording.

From Y. Luo, Z. Chen, N. Mesgarani, T. Yoshioka, "End-to-end microphone permutation and number
invariant multi-channel speech separation" (ICASSP 2020), as SIMO Stereo BSRNN uses it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..kernels import (
    ROWS,
    computing_type,
    in_pieces,
    keeps_inputs,
    linear,
    pieces_of,
    prelu_gradients,
)

ACTIVATIONS = {"tanh": nn.Tanh, "prelu": nn.PReLU}


class TAC(nn.Module):
    """Transform each channel, average over the channels and concatenate both, as a residual.

    Channels can have any number and order. The three activations are one module: with "prelu"
    they share one learned slope, as in the released weights of the replication study (arXiv
    2603.09187).

    Args:
        n_features: number of features N.
        activation: "tanh" or "prelu".
        expansion: hidden size as a multiple of N.

    Attributes:
        recomputes: whether training with "prelu" keeps only the inputs of the activations and
            computes their outputs again for the gradients. Not stored with the model.

    Shape:
        (..., C, N) -> (..., C, N)
    """

    def __init__(self, n_features: int, *, activation: str = "prelu", expansion: int = 3):
        super().__init__()
        n_hidden = expansion * n_features
        self.transform = nn.Linear(n_features, n_hidden)
        self.average = nn.Linear(n_hidden, n_hidden)
        self.concatenate = nn.Linear(2 * n_hidden, n_features)
        self.activation = ACTIVATIONS[activation]()
        self.recomputes = False

    def forward(self, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        """Exchange information between the channels of `x`; `overwrite` allows overwriting it."""
        kind = computing_type(x)
        exchange = self._exchange if kind is None else self._fused(kind)
        return in_pieces(exchange, x, dim=0, size=ROWS, residual=True, overwrite=overwrite)

    def _exchange(self, x: torch.Tensor) -> torch.Tensor:
        if self.recomputes and keeps_inputs(x) and isinstance(self.activation, nn.PReLU):
            layers = (self.transform, self.average, self.concatenate)
            parameters = [parameter for layer in layers for parameter in layer.parameters()]
            return _Exchange.apply(x, self.activation.weight, *parameters)
        transformed = self.activation(self.transform(x))
        average = self.activation(self.average(transformed.mean(dim=-2, keepdim=True)))
        # The linear layer of the concatenation, without a copy of the average for each channel.
        own, shared = self.concatenate.weight.chunk(2, dim=1)
        joined = F.linear(transformed, own, self.concatenate.bias) + F.linear(average, shared)
        return self.activation(joined)

    def _fused(self, kind: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return `_exchange` with fused activations and weights of type `kind`."""
        layers = (self.transform, self.average, self.concatenate)
        weights = [parameter.to(kind) for layer in layers for parameter in layer.parameters()]
        transform, transform_bias, average, average_bias, joint, joint_bias = weights
        # oneDNN is a hundred times slower with a part of a weight tensor that is not contiguous.
        own, shared = (part.contiguous() for part in joint.chunk(2, dim=1))
        no_bias = torch.zeros_like(joint_bias)
        slope = self.activation.weight.item() if isinstance(self.activation, nn.PReLU) else None
        activation = ("tanh" if slope is None else "leaky_relu", slope)

        def exchange(x: torch.Tensor) -> torch.Tensor:
            transformed = linear(x.to(kind), transform, transform_bias, *activation)
            # A sum of slices reads whole rows; a mean over such a short dimension is slower.
            mean = functools.reduce(torch.add, transformed.unbind(-2)) / transformed.shape[-2]
            averaged = linear(mean, average, average_bias, *activation)
            joined = linear(transformed, own, joint_bias)
            joined += linear(averaged, shared, no_bias).unsqueeze(-2)
            return joined.tanh_() if slope is None else F.leaky_relu_(joined, slope)

        return exchange


class _Exchange(torch.autograd.Function):
    """`TAC._exchange` with PReLU, which keeps the input of each PReLU and not its output too."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, slope: torch.Tensor, *parameters: torch.Tensor):
        kind = x.device.type
        autocast = torch.is_autocast_enabled(kind)
        ctx.dtype = torch.get_autocast_dtype(kind) if autocast else x.dtype
        with torch.autocast(kind, enabled=False):
            transform, b_transform, average, b_average, joint, b_joint = (
                parameter.to(ctx.dtype) for parameter in parameters
            )
            own, shared = joint.chunk(2, dim=1)
            slopes, kept, results = slope.to(ctx.dtype), [], []
            for rows in pieces_of(x):
                transformed = F.linear(rows.to(ctx.dtype), transform, b_transform)
                activated = F.prelu(transformed, slopes)
                averaged = F.linear(activated.mean(dim=-2, keepdim=True), average, b_average)
                joined = F.linear(activated, own, b_joint)
                joined += F.linear(F.prelu(averaged, slopes), shared)
                results.append(F.prelu(joined, slopes))
                # The inputs of the three activations; the backward pass computes the outputs again.
                kept += [transformed, averaged, joined]
        ctx.save_for_backward(x, slope, *parameters, *kept)
        return torch.cat(results) if len(results) > 1 else results[0]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient: torch.Tensor):
        x, *rest = ctx.saved_tensors
        parameters, kept = rest[:7], rest[7:]
        sums = [torch.zeros_like(p, dtype=_wide(p)) for p in parameters]
        d_slope, d_transform, d_b_transform, d_average, d_b_average, d_joint, d_b_joint = sums
        d_own, d_shared = d_joint.chunk(2, dim=1)
        d_inputs = []
        with torch.autocast(x.device.type, enabled=False):
            slopes, transform, _, average, _, joint, _ = (p.to(ctx.dtype) for p in parameters)
            own, shared = joint.chunk(2, dim=1)
            pieces = (pieces_of(x), pieces_of(gradient), kept[::3], kept[1::3], kept[2::3])
            for rows, d_result, transformed, averaged, joined in zip(*pieces, strict=True):
                activated = F.prelu(transformed, slopes)
                # The last layer has two inputs: what a channel has transformed, and the average.
                d_joined = _through_prelu(joined, slopes, d_result, d_slope)
                _add_products(d_joined, activated, d_own, d_b_joint)
                # All channels share the average, so its gradient is their sum.
                d_channels = d_joined.sum(dim=-2, keepdim=True)
                _add_products(d_channels, F.prelu(averaged, slopes), d_shared)
                d_averaged = _through_prelu(averaged, slopes, d_channels @ shared, d_slope)
                mean = activated.mean(dim=-2, keepdim=True)
                _add_products(d_averaged, mean, d_average, d_b_average)
                # What a channel has transformed is an input of the last layer and of the mean.
                d_activated = d_joined @ own
                d_activated += (d_averaged @ average) / x.shape[-2]
                d_transformed = _through_prelu(transformed, slopes, d_activated, d_slope)
                _add_products(d_transformed, rows.to(ctx.dtype), d_transform, d_b_transform)
                d_inputs.append((d_transformed @ transform).to(x.dtype))
        d_input = torch.cat(d_inputs) if len(d_inputs) > 1 else d_inputs[0]
        return d_input, *(d.to(p.dtype) for d, p in zip(sums, parameters, strict=True))


def _wide(x: torch.Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


def _through_prelu(
    x: torch.Tensor, slope: torch.Tensor, gradient: torch.Tensor, d_slope: torch.Tensor
) -> torch.Tensor:
    """Return the gradient of the input `x` of a PReLU, and add that of its slope to `d_slope`."""
    gradient, products = prelu_gradients(x, slope, gradient)
    d_slope += products.sum(dtype=d_slope.dtype)
    return gradient


def _add_products(
    gradient: torch.Tensor,
    x: torch.Tensor,
    d_weight: torch.Tensor,
    d_bias: torch.Tensor | None = None,
) -> None:
    """Add the gradients of the weight and the bias of a linear layer with the input `x`."""
    rows = gradient.flatten(0, -2)
    d_weight += rows.mT @ x.flatten(0, -2)
    if d_bias is not None:
        d_bias += rows.sum(dim=0, dtype=d_bias.dtype)
