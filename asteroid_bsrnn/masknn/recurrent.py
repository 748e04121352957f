"""Residual recurrent layers along time or bands (arXiv 2209.15174)."""

from __future__ import annotations

import torch
from torch import nn

from ..kernels import (
    computing_type,
    implementation,
    in_pieces,
    keeps_little,
    lstm,
    normalised_lstm,
    sequences_at_once,
)
from .norm import SequenceNorm

RECURRENT = {"lstm": nn.LSTM, "gru": nn.GRU}


class ResidualRecurrent(nn.Module):
    """Normalisation, a recurrent layer and a linear layer, added to the input.

    Args:
        n_features: number of features N.
        cell: "lstm" or "gru".
        expansion: hidden size of each direction as a multiple of N.
        bidirectional: whether the sequence is read in both directions.
        n_groups: groups of the normalisation.
        eps: added to the variance.
        causal: whether no step may depend on a later one: each step is normalised separately and
            the sequence is read forwards only.

    Attributes:
        recomputes: whether a bidirectional LSTM on a CPU keeps its input alone in training and
            computes the rest again in the backward pass. Not stored with the model.

    Shape:
        (steps, ..., N) -> (steps, ..., N); every sequence is processed separately.
    """

    def __init__(
        self,
        n_features: int,
        *,
        cell: str = "lstm",
        expansion: int = 2,
        bidirectional: bool = True,
        n_groups: int = 1,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        n_hidden = expansion * n_features
        bidirectional = bidirectional and not causal
        self.norm = SequenceNorm(n_features, n_groups=n_groups, eps=eps, step_wise=causal)
        self.rnn = RECURRENT[cell](n_features, n_hidden, bidirectional=bidirectional)
        self.linear = nn.Linear(2 * n_hidden if bidirectional else n_hidden, n_features)
        self.recomputes = False

    def forward(self, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        """Process every sequence of `x`; `overwrite` allows overwriting it."""
        size = sequences_at_once(x, self.rnn.hidden_size, computing_type(x) or x.dtype)
        return in_pieces(self._update, x, dim=1, size=size, residual=True, overwrite=overwrite)

    def _update(self, x: torch.Tensor) -> torch.Tensor:
        if self._keeps_little(x):
            layers = {"module": self.rnn, "linear": self.linear, "recompute": self.recomputes}
            return normalised_lstm(x, *self.norm.affine(x), **layers)
        if isinstance(self.rnn, nn.LSTM):
            update = lstm(x, self.rnn, linear=self.linear, norm=self.norm)
        else:
            update = self.linear(self.rnn(self.norm(x).flatten(1, -2))[0])
        return update.reshape(x.shape)

    def _keeps_little(self, x: torch.Tensor) -> bool:
        """Whether the function for training on a CPU computes all three layers."""
        is_lstm = isinstance(self.rnn, nn.LSTM) and implementation() != "triton"
        return is_lstm and keeps_little(x, self.rnn, self.linear)
