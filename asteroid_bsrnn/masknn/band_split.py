"""From a spectrogram to one feature vector for each band and frame (arXiv 2209.15174)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..bands import Run, runs_of_equal_width
from ..kernels import estimates_in_bfloat16
from .linear import BandLinear
from .norm import normalisation


class BandSplit(nn.Module):
    """Normalise each band of a spectrogram over its bins and frames, then map it to features.

    Args:
        widths: width of each band in bins; they sum to F.
        n_features: number of features N.
        n_planes: real-valued planes P of the spectrogram that one band sees: 2 for the real and
            the imaginary part of one channel, 4 for those of two channels.
        eps: added to the variance.
        causal: whether each frame is normalised on its own.

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

        Without gradients in float32 even under autocast in bfloat16: the features are what every
        later layer adds to, and each sum in bfloat16 would round all that was added before.
        """
        if estimates_in_bfloat16(spectrogram):
            with torch.autocast(spectrogram.device.type, enabled=False):
                return self._split(spectrogram)
        return self._split(spectrogram)

    def _split(self, spectrogram: torch.Tensor) -> torch.Tensor:
        return torch.cat([run(spectrogram) for run in self.runs], dim=1)


class _RunSplit(nn.Module):
    """The bands of one width: (B, P, F, T) -> (T, n_bands, B, N)."""

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
