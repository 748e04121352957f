"""Band split: one feature vector for each band and frame of a spectrogram (arXiv 2209.15174)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..bands import Run, runs_of_equal_width
from ..kernels import estimates_in_bfloat16
from .norm import normalisation


class BandLinear(nn.Module):
    """Linear layers of one size, one for each band, computed as one batched product.

    Each layer is initialised as a separate `torch.nn.Linear`: uniformly within the inverse square
    root of its number of inputs.

    Args:
        n_bands: leading shape of the stacked layers, for example (K,) or (K, S).
        in_features: inputs of each layer.
        out_features: outputs of each layer.

    Shape:
        (*n_bands, rows, in_features) -> (*n_bands, rows, out_features)
    """

    def __init__(self, n_bands: tuple[int, ...], in_features: int, out_features: int):
        super().__init__()
        bound = in_features**-0.5
        self.weight = nn.Parameter(torch.empty(*n_bands, in_features, out_features))
        self.bias = nn.Parameter(torch.empty(*n_bands, out_features))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the layer of each band to its rows."""
        return band_linear(x, self.weight, self.bias)


def band_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return `x @ weight + bias` over any leading dimensions, as one batched product.

    Args:
        x: (*bands, rows, in_features)
        weight: (*bands, in_features, out_features)
        bias: (*bands, out_features)
    """
    product = torch.baddbmm(
        bias.unsqueeze(-2).flatten(0, -3), x.flatten(0, -3), weight.flatten(0, -3)
    )
    return product.unflatten(0, weight.shape[:-2])


class BandSplit(nn.Module):
    """Normalise each band of a spectrogram over its bins and frames and map it to features.

    Args:
        widths: width of each band in bins; they sum to F.
        n_features: number of features N.
        n_planes: number P of real-valued planes of a spectrogram: 2 for the real and the
            imaginary part of one channel, 4 for those of two channels.
        eps: added to the variance.
        causal: whether each frame is normalised separately.

    Shape:
        (B, P, F, T) -> (T, K, B, N)
    """

    def __init__(
        self,
        widths: Sequence[int],
        n_features: int,
        *,
        n_planes: int = 2,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        self.runs = nn.ModuleList(
            _RunSplit(run, n_features, n_planes, eps, causal) for run in runs_of_equal_width(widths)
        )

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Split `spectrogram` into K bands of N features.

        Without gradients, the features are float32 even under autocast to bfloat16: every later
        layer adds to them, and a sum in bfloat16 would round the contributions of all layers.
        """
        if estimates_in_bfloat16(spectrogram):
            with torch.autocast(spectrogram.device.type, enabled=False):
                return self._split(spectrogram)
        return self._split(spectrogram)

    def _split(self, spectrogram: torch.Tensor) -> torch.Tensor:
        return torch.cat([run(spectrogram) for run in self.runs], dim=1)


class _RunSplit(nn.Module):
    """Split off the bands of one width: (B, P, F, T) -> (T, n_bands, B, N)."""

    def __init__(self, run: Run, n_features: int, n_planes: int, eps: float, causal: bool):
        super().__init__()
        self.run, self.eps = run, eps
        self.dim = (3, 4) if causal else (1, 3, 4)
        self.weight = nn.Parameter(torch.ones(run.n_bands, n_planes, run.width))
        self.bias = nn.Parameter(torch.zeros(run.n_bands, n_planes, run.width))
        self.linear = BandLinear((run.n_bands,), n_planes * run.width, n_features)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        bands = spectrogram[:, :, self.run.bins].unflatten(2, (self.run.n_bands, -1))
        bands = bands.permute(2, 4, 0, 1, 3)  # (n_bands, T, B, P, width)
        affine = (self.weight[:, None, None], self.bias[:, None, None])
        scale, shift = normalisation(bands, *affine, dim=self.dim, eps=self.eps)
        rows = torch.addcmul(shift, bands, scale).to(self.linear.weight.dtype)
        features = self.linear(rows.flatten(3).flatten(1, 2))
        return features.unflatten(1, bands.shape[1:3]).transpose(0, 1)
