"""Transform-average-concatenate: what the channels of one recording tell each other.

From Y. Luo, Z. Chen, N. Mesgarani, T. Yoshioka, "End-to-end microphone permutation and number
invariant multi-channel speech separation" (ICASSP 2020), as SIMO Stereo BSRNN uses it.
"""

from __future__ import annotations

import torch
from torch import nn

ACTIVATIONS = {"tanh": nn.Tanh, "prelu": nn.PReLU}


class TAC(nn.Module):
    """Transform each channel, average over the channels, join both; added to the input.

    The order of the channels does not matter, and any number of them will do. The three
    activations are one module: with "prelu" they share one learned slope, in new networks as in
    the weights that the replication study (arXiv 2603.09187) released.

    Args:
        n_features: number of features N.
        activation: "tanh" or "prelu".
        expansion: hidden size as a multiple of N.

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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Exchange information between the channels of `x`."""
        transformed = self.activation(self.transform(x))
        average = self.activation(self.average(transformed.mean(dim=-2, keepdim=True)))
        joined = torch.cat([transformed, average.expand_as(transformed)], dim=-1)
        return x + self.activation(self.concatenate(joined))
