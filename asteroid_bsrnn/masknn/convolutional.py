"""Residual convolutional layers along time or bands (arXiv 2603.09187)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .norm import SequenceNorm


class SequenceConv(nn.Conv1d):
    """A convolution along the first dimension of (steps, ..., channels) that keeps the length.

    Args:
        in_channels: channels in.
        out_channels: channels out.
        kernel_size: odd number of steps.
        dilation: steps between the taps.
        causal: whether all padding is before the sequence.

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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve every sequence of `x`."""
        sequences = x.flatten(1, -2).permute(1, 2, 0)
        y = super().forward(F.pad(sequences, self.reach))
        return y.permute(2, 0, 1).reshape(x.shape[:-1] + y.shape[1:2])


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
        return x + self.linear(F.relu(self.conv(self.norm(x))))


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Process every sequence of `x` along its first dimension."""
        return F.relu(self.conv(self.norm(x)))


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
        fused = [
            layer(torch.cat(self._neighbours(scales, index), dim=-1))
            for index, layer in enumerate(self.fusing)
        ]
        return x + self.output(torch.cat(fused, dim=-1))
