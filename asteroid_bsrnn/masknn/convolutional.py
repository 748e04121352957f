"""Residual convolutional layers along time or bands (arXiv 2603.09187)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.grad import conv1d_input, conv1d_weight

from ..kernels import affine, affine_gradients, keeps_inputs
from .norm import SequenceNorm


class SequenceConv(nn.Conv1d):
    """A convolution along the first dimension of (steps, ..., channels) that keeps the length.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd number of steps.
        dilation: steps between the taps.
        causal: whether all padding is before the sequence.

    Attributes:
        recomputes: whether training keeps only the input of the normalisation before the
            convolution. Not stored with the model.

    Raises:
        ValueError: if `kernel_size` is even.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        causal: bool = False,
    ):
        if kernel_size % 2 == 0:
            raise ValueError(f"a convolution's kernel size must be odd, got {kernel_size}")
        super().__init__(in_channels, out_channels, kernel_size, dilation=dilation)
        reach = dilation * (kernel_size - 1)
        self.reach = (reach, 0) if causal else (reach // 2, reach // 2)
        self.recomputes = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve every sequence of `x`."""
        sequences = x.flatten(1, -2).permute(1, 2, 0)
        y = super().forward(F.pad(sequences, self.reach))
        return y.permute(2, 0, 1).reshape(x.shape[:-1] + y.shape[1:2])


def normalised_conv(
    parts: Sequence[torch.Tensor], norm: SequenceNorm, conv: SequenceConv
) -> torch.Tensor:
    """Return `conv(norm(x))` of the concatenation `x` of `parts` along the features.

    If `conv.recomputes`, training keeps the parts alone: neither the concatenation nor the
    normalised sequences.

    Args:
        parts: tensors of one shape (steps, ..., channels).
        norm: for the channels of all parts together; without groups if there are several.
        conv: takes the channels of all parts together.
    """
    if not (conv.recomputes and keeps_inputs(parts[0])):
        return conv(norm(torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]))
    kind, dtype = parts[0].device.type, parts[0].dtype
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else dtype
    options = (conv.reach, conv.dilation, dtype)
    return _NormalisedConv.apply(*norm.affine(*parts), conv.weight, conv.bias, options, *parts)


class _NormalisedConv(torch.autograd.Function):
    """A `SequenceConv` of `x * scale + shift` that keeps the parts of `x`."""

    @staticmethod
    def forward(ctx, scale, shift, weight, bias, options, *parts):
        reach, dilation, dtype = options
        with torch.autocast(scale.device.type, enabled=False):
            sequences = _padded(parts, scale, shift, reach, dtype)
            y = F.conv1d(sequences, weight.to(dtype), bias.to(dtype), dilation=dilation)
        ctx.save_for_backward(scale, shift, weight, *parts)
        ctx.options = options
        return y.permute(2, 0, 1).unflatten(1, parts[0].shape[1:-1])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        scale, shift, weight, *parts = ctx.saved_tensors
        reach, dilation, dtype = ctx.options
        n_steps, *between, n_channels = parts[0].shape
        with torch.autocast(scale.device.type, enabled=False):
            # The input of the convolution is made again from what was kept.
            sequences = _padded(parts, scale, shift, reach, dtype)
            d_y = gradient.to(dtype).flatten(1, -2).permute(1, 2, 0).contiguous()
            d_bias = d_y.sum(dim=(0, 2)).to(weight.dtype)
            d_weight = conv1d_weight(sequences, weight.shape, d_y, dilation=dilation)
            d_sequences = conv1d_input(sequences.shape, weight.to(dtype), d_y, dilation=dilation)
            # Without the padding, and with the dimensions of the parts.
            d_x = d_sequences.narrow(-1, reach[0], n_steps).unflatten(0, between).movedim(-1, 1)
            columns = (
                tensor.split(n_channels, dim=-1)
                for tensor in (d_x, scale.transpose(0, 1), shift.transpose(0, 1))
            )
            d_affine = [
                affine_gradients(d_part, part.transpose(0, 1), *of_part)
                for part, d_part, *of_part in zip(parts, *columns, strict=True)
            ]
        d_parts, *d_statistics = zip(*d_affine, strict=True)
        d_parts = [d_part.transpose(0, 1) for d_part in d_parts]
        d_scale, d_shift = (torch.cat(pieces, dim=-1).transpose(0, 1) for pieces in d_statistics)
        return d_scale, d_shift, d_weight.to(weight.dtype), d_bias, None, *d_parts


def _padded(
    parts: Sequence[torch.Tensor],
    scale: torch.Tensor,
    shift: torch.Tensor,
    reach: tuple[int, int],
    dtype: torch.dtype,
) -> torch.Tensor:
    """Return `x * scale + shift` as sequences (batch, channels, steps), with zeros around them."""
    n_steps, *between, n_channels = parts[0].shape
    shape = (*between, len(parts) * n_channels, sum(reach) + n_steps)
    padded = torch.zeros(shape, dtype=dtype, device=scale.device)
    places = padded.narrow(-1, reach[0], n_steps).movedim(-1, 1)
    columns = (
        tensor.split(n_channels, dim=-1)
        for tensor in (places, scale.transpose(0, 1), shift.transpose(0, 1))
    )
    for part, place, *of_part in zip(parts, *columns, strict=True):
        affine(part.transpose(0, 1), *of_part, dtype, out=place)
    return padded.flatten(0, -3)


class ResidualConv(nn.Module):
    """Normalisation, a convolution with ReLU and a linear layer, added to the input.

    Args:
        n_features: number of features N.
        expansion: channels of the convolution as a multiple of N.
        kernel_size: odd number of steps.
        n_groups: groups of the normalisation.
        eps: added to the variance.
        causal: whether no step may depend on a later one.

    Shape:
        (steps, ..., N) -> (steps, ..., N)
    """

    def __init__(
        self,
        n_features: int,
        *,
        expansion: int = 4,
        kernel_size: int = 3,
        n_groups: int = 1,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        n_hidden = expansion * n_features
        self.norm = SequenceNorm(n_features, n_groups=n_groups, eps=eps, step_wise=causal)
        self.conv = SequenceConv(n_features, n_hidden, kernel_size, causal=causal)
        self.linear = nn.Linear(n_hidden, n_features)

    def forward(self, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        """Process every sequence of `x`, which is never overwritten."""
        hidden = normalised_conv([x], self.norm, self.conv)
        # Contiguous, it is kept once for both the ReLU and the linear layer.
        return x + self.linear(F.relu(hidden.contiguous()))


class NormConv(nn.Module):
    """Normalisation, a convolution that keeps the length, and ReLU.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd number of steps.
        dilation: steps between the taps.
        eps: added to the variance.
        causal: whether no step may depend on a later one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        dilation: int = 1,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        self.norm = SequenceNorm(in_channels, eps=eps, step_wise=causal)
        self.conv = SequenceConv(
            in_channels, out_channels, kernel_size, dilation=dilation, causal=causal
        )

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """Process every sequence of the concatenated `parts` along their first dimension."""
        return F.relu(normalised_conv(parts, self.norm, self.conv))


class ResidualDilatedConvs(nn.Module):
    """Dilated convolutions fused with their neighbours and added to the input, as in BSCNN.

    After an input convolution, a chain of convolutions has dilations 1, 2, 4, ... A convolution
    fuses each of their outputs with the outputs of its neighbours, and a last convolution takes
    all fused outputs.

    Args:
        n_features: number of features N.
        n_dilated: number of dilated convolutions, at least 2.
        kernel_size: odd number of steps.
        expansion: channels inside as a multiple of N.
        eps: added to the variance, for the input and the last convolution.
        inner_eps: added to the variance, for the dilated and the fusing convolutions.
        causal: whether no step may depend on a later one.

    Shape:
        (steps, ..., N) -> (steps, ..., N)

    Raises:
        ValueError: if `n_dilated` is below 2.
    """

    def __init__(
        self,
        n_features: int,
        *,
        n_dilated: int = 3,
        kernel_size: int = 3,
        expansion: int = 1,
        eps: float = 1e-7,
        inner_eps: float = 1e-5,
        causal: bool = False,
    ):
        super().__init__()
        if n_dilated < 2:
            raise ValueError(f"at least 2 dilated convolutions are needed, got {n_dilated}")
        n_hidden = expansion * n_features
        outer = {"kernel_size": kernel_size, "eps": eps, "causal": causal}
        inner = {"kernel_size": kernel_size, "eps": inner_eps, "causal": causal}
        neighbours = [len(self._neighbours(range(n_dilated), i)) for i in range(n_dilated)]
        self.input = NormConv(n_features, n_hidden, **outer)
        self.dilated = nn.ModuleList(
            NormConv(n_hidden, n_hidden, dilation=2**i, **inner) for i in range(n_dilated)
        )
        self.fusing = nn.ModuleList(NormConv(n * n_hidden, n_hidden, **inner) for n in neighbours)
        self.output = NormConv(n_dilated * n_hidden, n_features, **outer)

    @staticmethod
    def _neighbours(items, index: int):
        """Return the item at `index` with its existing neighbours."""
        return items[max(index - 1, 0) : index + 2]

    def forward(self, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        """Process every sequence of `x`, which is never overwritten."""
        scales = [self.input(x)]
        for layer in self.dilated:
            scales.append(layer(scales[-1]))
        scales = scales[1:]
        fused = [layer(*self._neighbours(scales, index)) for index, layer in enumerate(self.fusing)]
        return x + self.output(*fused)
