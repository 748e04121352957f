"""Dual-path separator: alternating layers along time and along bands (arXiv 2209.15174)."""

from __future__ import annotations

import torch
from torch import nn

from .attention import HeadProjection
from .convolutional import SequenceConv
from .mask import MaskEstimator
from .recompute import recomputed
from .recurrent import ResidualRecurrent
from .tac import TAC


class DualPathBlock(nn.Module):
    """A layer along time, a layer along bands, then optional TAC and attention.

    Layers are called with `overwrite=True` if they may overwrite their input.

    Args:
        time_layer: (steps, ..., N) -> (steps, ..., N) along time; None omits it.
        band_layer: (steps, ..., N) -> (steps, ..., N) along bands; None omits it.
        tac: (..., C, N) -> (..., C, N); None omits it.
        attention: (T, K, B, N) -> (T, K, B, N); None omits it.
        feature_groups: number of groups of the N features; the time and the band layer process
            each group of N / feature_groups features separately with the same weights.

    Attributes:
        recomputes: whether training keeps only the inputs of TAC and attention and computes them
            again for their gradients. Not stored with the model.

    Shape:
        (T, K, B * C, N) -> (T, K, B * C, N)
    """

    def __init__(
        self,
        time_layer: nn.Module | None,
        band_layer: nn.Module | None,
        *,
        tac: nn.Module | None = None,
        attention: nn.Module | None = None,
        feature_groups: int = 1,
    ):
        super().__init__()
        self.time_layer, self.band_layer = time_layer, band_layer
        self.tac, self.attention = tac, attention
        self.feature_groups = feature_groups
        self.recomputes = False

    def forward(self, x: torch.Tensor, n_channels: int, *, overwrite: bool = False) -> torch.Tensor:
        """Process features of `n_channels` channels; `overwrite` allows overwriting `x`."""
        options = {"overwrite": True} if overwrite else {}
        grouped = x.unflatten(-1, (self.feature_groups, -1))
        if self.time_layer is not None:
            grouped = self.time_layer(grouped, **options)
        if self.band_layer is not None:
            grouped = self.band_layer(grouped.transpose(0, 1), **options)
            grouped = grouped.transpose(0, 1)
        x = grouped.flatten(-2)
        if self.tac is not None:
            x = self._run(self.tac, x.unflatten(2, (-1, n_channels)), options).flatten(2, 3)
        if self.attention is not None:
            x = self._run(self.attention, x, options)
        return x

    def _run(self, layer: nn.Module, x: torch.Tensor, options: dict) -> torch.Tensor:
        return recomputed(layer, x) if self.recomputes else layer(x, **options)


class DualPathSeparator(nn.Module):
    """A sequence of dual-path blocks.

    Args:
        blocks: in their order.

    Attributes:
        recomputes: whether training keeps only the input of each block and computes the block
            again for its gradients. Not stored with the model.

    Shape:
        (T, K, B * C, N) -> (T, K, B * C, N)
    """

    def __init__(self, blocks: list[DualPathBlock]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.recomputes = False

    def forward(self, x: torch.Tensor, n_channels: int, *, overwrite: bool = False) -> torch.Tensor:
        """Process features of `n_channels` channels; `overwrite` allows overwriting `x`."""
        for block in self.blocks:
            if self.recomputes and torch.is_grad_enabled():
                x = recomputed(block, x, n_channels)
            else:
                x = block(x, n_channels, overwrite=overwrite)
        return x


_PARTS = (HeadProjection, SequenceConv, TAC)
RECOMPUTED: dict[str, tuple[type[nn.Module], ...]] = {
    "none": (),
    "layers": (*_PARTS, ResidualRecurrent),
    "selective": (*_PARTS, ResidualRecurrent, DualPathBlock, MaskEstimator),
    "block": (*_PARTS, DualPathSeparator, MaskEstimator),
}
"""Modules whose attribute `recomputes` is set, by the mode of `set_activation_checkpointing`."""
MODES = tuple(RECOMPUTED)


def set_activation_checkpointing(network: nn.Module, mode: str | bool) -> None:
    """Choose what training computes twice to save memory. The gradients stay the same.

    Args:
        network: contains one or more `DualPathSeparator`s.
        mode: "none", or False; "layers" keeps only the inputs of bidirectional LSTMs on a CPU with
            their normalisation and linear layer, of convolutions with their normalisation, and of
            the activations in attention and TAC; "selective" keeps only the inputs of these LSTMs
            and convolutions, of TAC, of attention, and of the mask estimator; "block", or True,
            keeps only the inputs of dual-path blocks and of the mask estimator.

    Raises:
        ValueError: for another mode.
    """
    if isinstance(mode, bool):
        mode = "block" if mode else "none"
    if mode not in MODES:
        raise ValueError(f"activation checkpointing is one of {', '.join(MODES)}, not {mode!r}")
    for module in network.modules():
        if hasattr(module, "recomputes"):
            module.recomputes = isinstance(module, RECOMPUTED[mode])
