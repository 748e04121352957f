"""Dual-path separator: alternating layers along time and along bands (arXiv 2209.15174)."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


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
            x = self.tac(x.unflatten(2, (-1, n_channels)), **options).flatten(2, 3)
        if self.attention is not None:
            x = self.attention(x, **options)
        return x


class DualPathSeparator(nn.Module):
    """A sequence of dual-path blocks.

    Args:
        blocks: in their order.

    Attributes:
        activation_checkpointing: whether training saves only the input of each block and
            recomputes the block for its gradients. A setting of the training, not stored with
            the model.

    Shape:
        (T, K, B * C, N) -> (T, K, B * C, N)
    """

    def __init__(self, blocks: list[DualPathBlock]):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.activation_checkpointing = False

    def forward(self, x: torch.Tensor, n_channels: int, *, overwrite: bool = False) -> torch.Tensor:
        """Process features of `n_channels` channels; `overwrite` allows overwriting `x`."""
        for block in self.blocks:
            if self.activation_checkpointing and torch.is_grad_enabled():
                # A block contains nothing random, so the state of the generator is not needed.
                x = checkpoint(block, x, n_channels, use_reentrant=False, preserve_rng_state=False)
            else:
                x = block(x, n_channels, overwrite=overwrite)
        return x


def set_activation_checkpointing(network: nn.Module, enabled: bool) -> None:
    """Enable or disable activation checkpointing: less memory and a third more time in training.

    Args:
        network: contains one or more `DualPathSeparator`s.
        enabled: whether only the inputs of the blocks are saved.
    """
    for module in network.modules():
        if isinstance(module, DualPathSeparator):
            module.activation_checkpointing = enabled
