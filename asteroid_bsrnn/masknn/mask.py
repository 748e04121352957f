"""Mask estimator: complex masks from features (arXiv 2209.15174)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from ..bands import runs_of_equal_width
from ..kernels import affine, computing_type, estimates_in_bfloat16, linear
from .band_split import BandLinear, band_linear
from .norm import normalisation
from .recompute import recomputed


class MaskEstimator(nn.Module):
    """Normalisation and three linear layers for each source and band, the last one gated.

    Args:
        widths: width of each band in bins; they sum to F.
        n_features: number of features N.
        n_sources: number of masks S.
        expansion: hidden size as a multiple of N.
        n_planes: number P of real-valued planes of a spectrogram.
        eps: added to the variance.
        causal: whether each frame is normalised separately.

    Attributes:
        recomputes: whether training keeps only the features and computes the masks again for their
            gradients, for bands of one width at a time. Not stored with the model.

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
        self.eps, self.n_planes, self.recomputes = eps, n_planes, False
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
        kind = computing_type(features)
        if kind is not None:
            return self._band_by_band(features, kind)
        bands = features.permute(1, 0, 2, 3)
        tensors = (bands, *self._first_layers())
        counts = [run.n_bands for run in self.bands]
        # A split has one gradient. Each slice would have its own, of the size of the whole tensor.
        if self.recomputes:
            parts = zip(self.runs, *(tensor.split(counts) for tensor in tensors), strict=True)
            return torch.cat([recomputed(self._of_run, *part) for part in parts], dim=3)
        parts = zip(self.runs, self._hidden_features(*tensors).split(counts), strict=True)
        shape = bands.shape[1:3]
        return torch.cat([self._gated(layer, hidden, shape) for layer, hidden in parts], dim=3)

    def _of_run(self, layer: BandLinear, bands: torch.Tensor, *first: torch.Tensor) -> torch.Tensor:
        """Estimate the masks of bands of one width; `first` are the parameters of their layers."""
        return self._gated(layer, self._hidden_features(bands, *first), bands.shape[1:3])

    def _first_layers(self) -> tuple[torch.Tensor, ...]:
        """Return the parameters of the normalisation and of the first two layers of all bands."""
        layers = (self, self.input, self.hidden)
        return tuple(tensor for layer in layers for tensor in (layer.weight, layer.bias))

    def _hidden_features(
        self,
        bands: torch.Tensor,
        gain: torch.Tensor,
        offset: torch.Tensor,
        first: torch.Tensor,
        bias_first: torch.Tensor,
        second: torch.Tensor,
        bias_second: torch.Tensor,
    ) -> torch.Tensor:
        """Normalise bands (K, T, B, N) and apply the first two layers: (K, S, T * B, n_hidden).

        The sources share the statistics. The first layer absorbs their affine maps, so that the
        features are normalised once for all sources.
        """
        one, zero = gain.new_ones(()), gain.new_zeros(())
        scale, shift = normalisation(bands, one, zero, dim=self.dim, eps=self.eps)
        rows = affine(bands, scale, shift).flatten(1, 2)
        bias_first = bias_first + (offset.unsqueeze(-2) @ first).squeeze(-2)
        layers = zip((gain.unsqueeze(-1) * first).unbind(1), bias_first.unbind(1), strict=True)
        # One product for all sources would copy the features for each of them.
        hidden = torch.tanh(torch.stack([band_linear(rows, *layer) for layer in layers], dim=1))
        return torch.tanh(band_linear(hidden, second, bias_second))

    def _gated(
        self, layer: BandLinear, hidden: torch.Tensor, shape: tuple[int, int]
    ) -> torch.Tensor:
        """Apply a last layer and its gate for (T, B) frames and channels: (B, S, P, F', T)."""
        mask = F.glu(self._last(layer, hidden), dim=-1)
        mask = mask.unflatten(-1, (self.n_planes, -1)).unflatten(2, shape)
        return mask.permute(3, 1, 4, 0, 5, 2).flatten(3, 4)

    def _last(self, layer: BandLinear, hidden: torch.Tensor) -> torch.Tensor:
        """Apply a last layer; without gradients in float32 even under autocast to bfloat16."""
        if not estimates_in_bfloat16(hidden):
            return layer(hidden)
        with torch.autocast(hidden.device.type, enabled=False):
            return layer(hidden.to(layer.weight.dtype))

    def _band_by_band(self, features: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
        """Compute `forward` with the hidden features of one band and source at a time.

        The hidden features of all bands and sources take several times the memory of the rest of
        the network. The gate and the masks are float32 for layers of any type.
        """
        n_frames, _, n_batch, _ = features.shape
        n_sources = self.weight.shape[1]
        one, zero = self.weight.new_ones(()), self.weight.new_zeros(())
        bands = features.permute(1, 0, 2, 3)
        scale, shift = normalisation(bands, one, zero, dim=self.dim, eps=self.eps)
        n_bins = self.bands[-1].bins.stop
        masks = scale.new_empty(n_batch, n_sources, self.n_planes, n_bins, n_frames)
        for run, layer in zip(self.bands, self.runs, strict=True):
            for position in range(run.n_bands):
                band, first = run.first_band + position, run.first_bin + position * run.width
                rows = torch.addcmul(shift[band], bands[band], scale[band]).to(kind).flatten(0, 1)
                place = masks[:, :, :, first : first + run.width].permute(1, 4, 0, 2, 3)
                for source in range(n_sources):
                    last = (layer.weight[position, source], layer.bias[position, source])
                    hidden = self._hidden(rows, band, source).to(last[0].dtype)
                    mask = F.glu(linear(hidden, last[0].mT, last[1]).float(), dim=-1)
                    place[source].copy_(mask.view(n_frames, n_batch, self.n_planes, run.width))
        return masks

    def _hidden(self, x: torch.Tensor, band: int, source: int) -> torch.Tensor:
        """Apply the first two layers of one band and source; the first absorbs the affine map."""
        index, kind = (band, source), x.dtype
        first = self.input.weight[index]
        bias_first = torch.addmv(self.input.bias[index], first.mT, self.bias[index])
        first = self.weight[index].unsqueeze(-1) * first
        hidden = linear(x, first.to(kind).mT, bias_first.to(kind), "tanh")
        second, bias_second = self.hidden.weight[index], self.hidden.bias[index]
        return linear(hidden, second.to(kind).mT, bias_second.to(kind), "tanh")
