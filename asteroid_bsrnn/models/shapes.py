"""Input and output shapes as Asteroid's own models treat them, also in traced models."""

from __future__ import annotations

import torch
from asteroid.utils.torch_utils import script_if_tracing
from torch.nn import functional as F


@script_if_tracing
def batch_channels_time(waveform: torch.Tensor) -> torch.Tensor:
    """(time,) and (batch, time) as mono (batch, 1, time); three dimensions stay as they are."""
    if waveform.dim() == 1:
        return waveform.reshape(1, 1, -1)
    if waveform.dim() == 2:
        return waveform.unsqueeze(1)
    return waveform


@script_if_tracing
def like_input(estimates: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
    """(batch, sources, channels, time) without the dimensions that `waveform` did not have."""
    if waveform.dim() == 1:
        return estimates[0, :, 0]
    if waveform.dim() == 2:
        return estimates[:, :, 0]
    return estimates


@script_if_tracing
def at_least(waveform: torch.Tensor, length: int) -> torch.Tensor:
    """`waveform` with zeros at its end up to `length` samples, where it is shorter."""
    missing = length - waveform.shape[-1]
    if missing > 0:
        waveform = F.pad(waveform, (0, missing))
    return waveform
