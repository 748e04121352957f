"""Transform-average-concatenate: exchange of information between the channels of a recording.

From Y. Luo, Z. Chen, N. Mesgarani, T. Yoshioka, "End-to-end microphone permutation and number
invariant multi-channel speech separation" (ICASSP 2020), as SIMO Stereo BSRNN uses it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..kernels import ROWS, computing_type, in_pieces, linear

ACTIVATIONS = {"tanh": nn.Tanh, "prelu": nn.PReLU}


class TAC(nn.Module):
    """Transform each channel, average over the channels and concatenate both, as a residual.

    Channels can have any number and order. The three activations are one module: with "prelu"
    they share one learned slope, as in the released weights of the replication study (arXiv
    2603.09187).

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

    def forward(self, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        """Exchange information between the channels of `x`; `overwrite` allows overwriting it."""
        kind = computing_type(x)
        exchange = self._exchange if kind is None else self._fused(kind)
        return in_pieces(exchange, x, dim=0, size=ROWS, residual=True, overwrite=overwrite)

    def _exchange(self, x: torch.Tensor) -> torch.Tensor:
        transformed = self.activation(self.transform(x))
        average = self.activation(self.average(transformed.mean(dim=-2, keepdim=True)))
        # The linear layer of the concatenation, without a copy of the average for each channel.
        own, shared = self.concatenate.weight.chunk(2, dim=1)
        joined = F.linear(transformed, own, self.concatenate.bias) + F.linear(average, shared)
        return self.activation(joined)

    def _fused(self, kind: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
        """Return `_exchange` with fused activations and weights of type `kind`."""
        layers = (self.transform, self.average, self.concatenate)
        weights = [parameter.to(kind) for layer in layers for parameter in layer.parameters()]
        transform, transform_bias, average, average_bias, joint, joint_bias = weights
        # oneDNN is a hundred times slower with a part of a weight tensor that is not contiguous.
        own, shared = (part.contiguous() for part in joint.chunk(2, dim=1))
        no_bias = torch.zeros_like(joint_bias)
        slope = self.activation.weight.item() if isinstance(self.activation, nn.PReLU) else None
        activation = ("tanh" if slope is None else "leaky_relu", slope)

        def exchange(x: torch.Tensor) -> torch.Tensor:
            transformed = linear(x.to(kind), transform, transform_bias, *activation)
            # A sum of slices reads whole rows; a mean over such a short dimension is slower.
            mean = functools.reduce(torch.add, transformed.unbind(-2)) / transformed.shape[-2]
            averaged = linear(mean, average, average_bias, *activation)
            joined = linear(transformed, own, joint_bias)
            joined += linear(averaged, shared, no_bias).unsqueeze(-2)
            return joined.tanh_() if slope is None else F.leaky_relu_(joined, slope)

        return exchange
