"""From features to complex masks (arXiv 2209.15174)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..bands import runs_of_equal_width
from ..kernels import affine
from .linear import BandLinear, band_linear
from .norm import normalisation


class MaskEstimator(nn.Module):
    """For each source and band: normalisation and three linear layers, the last one gated.

    Args:
        widths: width of each band in bins; they sum to F.
        n_features: number of features N.
        n_sources: number of masks S.
        expansion: hidden size as a multiple of N.
        n_planes: real-valued planes P of the spectrogram that one band masks.
        eps: added to the variance.
        causal: whether each frame is normalised on its own.

    Shape:
        (T, K, B, N) -> (B, S, P, F, T)
    """

    def __init__(
        self,
        widths: Sequence[int],
        n_features: int,
        *,
        n_sources: int = 1,
        expansion: int = 4,
        n_planes: int = 2,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        stack = (len(widths), n_sources)
        n_hidden = expansion * n_features
        self.eps, self.n_planes = eps, n_planes
        self.dim = (-1,) if causal else (1, -1)
        self.bands = runs_of_equal_width(widths)
        self.weight = nn.Parameter(torch.ones(*stack, n_features))
        self.bias = nn.Parameter(torch.zeros(*stack, n_features))
        self.input = BandLinear(stack, n_features, n_hidden)
        self.hidden = BandLinear(stack, n_hidden, n_hidden)
        self.runs = nn.ModuleList(
            BandLinear((run.n_bands, n_sources), n_hidden, 2 * n_planes * run.width)
            for run in self.bands
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Estimate the masks of all sources."""
        n_frames, _, n_batch, _ = features.shape
        hidden = torch.tanh(self._normalised_input(features.permute(1, 0, 2, 3)))
        hidden = torch.tanh(self.hidden(hidden))  # (K, S, T * B, n_hidden)
        masks = []
        for run, layer in zip(self.bands, self.runs, strict=True):
            mask = F.glu(layer(hidden[run.bands]), dim=-1)
            mask = mask.unflatten(-1, (self.n_planes, -1)).unflatten(2, (n_frames, n_batch))
            masks.append(mask.permute(3, 1, 4, 0, 5, 2).flatten(3, 4))
        return torch.cat(masks, dim=3)

    def _normalised_input(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise (K, T, B, N) and apply the first layer: (K, S, T * B, n_hidden).

        The sources share the statistics. Their affine maps are absorbed in the layer, so that
        the features are normalised once and not once a source.
        """
        n_sources = self.weight.shape[1]
        one, zero = self.weight.new_ones(()), self.weight.new_zeros(())
        scale, shift = normalisation(features, one, zero, dim=self.dim, eps=self.eps)
        rows = affine(features, scale, shift).flatten(1, 2)
        rows = rows.unsqueeze(1).expand(-1, n_sources, -1, -1)
        weight = self.weight.unsqueeze(-1) * self.input.weight
        bias = self.input.bias + (self.bias.unsqueeze(-2) @ self.input.weight).squeeze(-2)
        return band_linear(rows, weight, bias)
