"""Transform-average-concatenate: what the channels of one recording tell each other.

From Y. Luo, Z. Chen, N. Mesgarani, T. Yoshioka, "End-to-end microphone permutation and number
invariant multi-channel speech separation" (ICASSP 2020), as SIMO Stereo BSRNN uses it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..kernels import ROWS, in_pieces

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
        return in_pieces(self._exchange, x, dim=0, size=ROWS, residual=True)

    def _exchange(self, x: torch.Tensor) -> torch.Tensor:
        transformed = self.activation(self.transform(x))
        average = self.activation(self.average(transformed.mean(dim=-2, keepdim=True)))
        # A linear layer over both, without a copy of the average for each channel.
        own, shared = self.concatenate.weight.chunk(2, dim=1)
        joined = F.linear(transformed, own, self.concatenate.bias) + F.linear(average, shared)
        return self.activation(joined)
