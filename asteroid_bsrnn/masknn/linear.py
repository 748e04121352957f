"""Linear layers that differ from band to band, as one batched product."""

from __future__ import annotations

import torch
from torch import nn


class BandLinear(nn.Module):
    """A linear layer for each band, all of one size, as one batched product.

    Every layer starts as a `torch.nn.Linear` of its own would: uniform within the inverse square
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
        """Apply each band's layer to its own rows."""
        return band_linear(x, self.weight, self.bias)


def band_linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """`x @ weight + bias` over any leading dimensions, as one batched product.

    Args:
        x: (*bands, rows, in_features)
        weight: (*bands, in_features, out_features)
        bias: (*bands, out_features)
    """
    product = torch.baddbmm(
        bias.unsqueeze(-2).flatten(0, -3), x.flatten(0, -3), weight.flatten(0, -3)
    )
    return product.unflatten(0, weight.shape[:-2])
