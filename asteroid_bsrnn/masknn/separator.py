"""The dual-path separator: layers along time and along bands by turns (arXiv 2209.15174)."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class DualPathBlock(nn.Module):
    """A layer along time, one along bands, then channels (TAC) and attention where given.

    Where the input may be overwritten, layers are called with `overwrite=True`.

    Args:
        time_layer: processes (steps, ..., N) along time; None leaves it out.
        band_layer: the same along bands.
        tac: processes (..., C, N); None leaves it out.
        attention: processes (T, K, B, N); None leaves it out.
        feature_groups: the N features are split into so many groups, which the time and the band
            layer process alike and apart, each on N / feature_groups features.

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

    def forward(self, x: torch.Tensor, n_channels: int, *, overwrite: bool = False) -> torch.Tensor:
        """Process features of `n_channels` channels, which may be overwritten."""
        options = {"overwrite": True} if overwrite else {}
        grouped = x.unflatten(-1, (self.feature_groups, -1))
        if self.time_layer is not None:
            grouped = self.time_layer(grouped, **options)
        if self.band_layer is not None:
            grouped = self.band_layer(grouped.transpose(0, 1), **options)
            grouped = grouped.transpose(0, 1)
        x = grouped.flatten(-2)
        if self.tac is not None:
            x = self.tac(x.unflatten(2, (-1, n_channels)), **options).flatten(2, 3)
        if self.attention is not None:
            x = self.attention(x, **options)
        return x


class DualPathSeparator(nn.Module):
    """Dual-path blocks, one after the other.

    Args:
        blocks: the blocks.

    Attributes:
        activation_checkpointing: whether training keeps each block's input alone and computes the
            block a second time for its gradients. No part of the model: set it where it trains.

    Shape:
        (T, K, B * C, N) -> (T, K, B * C, N)
    """

    def __init__(self, blocks: list[DualPathBlock]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.activation_checkpointing = False

    def forward(self, x: torch.Tensor, n_channels: int, *, overwrite: bool = False) -> torch.Tensor:
        """Process features of `n_channels` channels, which may be overwritten."""
        for block in self.blocks:
            if self.activation_checkpointing and torch.is_grad_enabled():
                # Nothing in a block is random, so no generator's state has to be kept.
                x = checkpoint(block, x, n_channels, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, n_channels, overwrite=overwrite)
        return x


def set_activation_checkpointing(network: nn.Module, enabled: bool) -> None:
    """Trade time for memory in a network's training: a third more time, a fraction of the memory.

    Args:
        network: with a `DualPathSeparator` somewhere in it.
        enabled: whether its blocks keep their inputs alone.
    """
    for module in network.modules():
        if isinstance(module, DualPathSeparator):
            module.activation_checkpointing = enabled
