"""Self-attention over frames in which each frame is compared in all of its bands.

From Z.-Q. Wang et al., "TF-GridNet: Integrating full- and sub-band modeling for speech separation"
(arXiv 2211.12433), as the replication of BSRNN (arXiv 2603.09187) uses it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..kernels import ROWS, affine, attention, in_pieces
from .norm import normalisation


class HeadProjection(nn.Module):
    """For each head a linear layer, a PReLU and a normalisation over bands and features.

    Args:
        n_features: number of features N.
        n_heads: number of heads.
        head_dim: features of one head.
        n_bands: number of bands K.
        eps: added to the variance.

    Shape:
        (T, K, B, N) -> (T, K, B, n_heads, head_dim)
    """

    def __init__(self, n_features: int, n_heads: int, head_dim: int, n_bands: int, eps: float):
        super().__init__()
        self.eps = eps
        self.linear = nn.Linear(n_features, n_heads * head_dim)
        self.slope = nn.Parameter(torch.full((n_heads,), 0.25))
        self.weight = nn.Parameter(torch.ones(n_bands, n_heads, head_dim))
        self.bias = nn.Parameter(torch.zeros(n_bands, n_heads, head_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project `x` for every head."""
        return in_pieces(self._project, x, dim=0, size=ROWS)

    def _project(self, x: torch.Tensor) -> torch.Tensor:
        n_heads, head_dim = self.weight.shape[1:]
        y = self.linear(x)
        # Given for each feature instead of each head, slopes are applied to whole rows at once.
        slopes = self.slope.to(y.dtype).repeat_interleave(head_dim)
        y = F.prelu(y.flatten(0, 2), slopes).view(*y.shape[:3], n_heads, head_dim)
        # Apart, neither scale nor shift is as large as the features.
        one, zero = self.weight.new_ones(()), self.weight.new_zeros(())
        y = affine(y, *normalisation(y, one, zero, dim=(1, 4), eps=self.eps))
        return affine(y, self.weight.unsqueeze(1), self.bias.unsqueeze(1))


class FullBandAttention(nn.Module):
    """Multi-head attention over frames, over all bands at once, added to the input.

    Args:
        n_features: number of features N.
        n_bands: number of bands K.
        n_heads: number of heads; divides N.
        head_dim: features of queries and keys, for each band and head.
        eps: added to the variance.
        causal: whether a frame attends to itself and earlier ones only.

    Shape:
        (T, K, B, N) -> (T, K, B, N)

    Raises:
        ValueError: if N is no multiple of `n_heads`.
    """

    def __init__(
        self,
        n_features: int,
        n_bands: int,
        *,
        n_heads: int = 1,
        head_dim: int = 8,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        if n_features % n_heads:
            raise ValueError(
                f"feature_dim ({n_features}) must be a multiple of attention_heads ({n_heads})"
            )
        self.causal = causal
        self.query = HeadProjection(n_features, n_heads, head_dim, n_bands, eps)
        self.key = HeadProjection(n_features, n_heads, head_dim, n_bands, eps)
        self.value = HeadProjection(n_features, n_heads, n_features // n_heads, n_bands, eps)
        self.output = HeadProjection(n_features, 1, n_features, n_bands, eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Let the frames of `x` attend to each other."""
        query, key, value = (
            project(x).permute(2, 3, 0, 1, 4).flatten(3)  # (B, heads, T, K * dim)
            for project in (self.query, self.key, self.value)
        )
        attended = attention(query, key, value, is_causal=self.causal)
        attended = attended.unflatten(3, (x.shape[1], -1)).permute(2, 3, 0, 1, 4)
        return x + self.output(attended.flatten(3)).squeeze(3)
