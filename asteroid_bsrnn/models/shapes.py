"""Input and output shapes as Asteroid's own models treat them, also in traced models."""

from __future__ import annotations

import torch
from asteroid.utils.torch_utils import script_if_tracing
from torch.nn import functional as F


def check_mixture(waveform: torch.Tensor, in_channels: int | None) -> None:
    """Refuse what is no mixture, or has other than `in_channels` channels (None: any number).

    Raises:
        ValueError: with what was given and what would be right.
    """
    if not waveform.is_floating_point() or waveform.dim() not in (1, 2, 3):
        raise ValueError(
            "a mixture must be floating point of shape (batch, channels, time), (batch, time) or "
            f"(time,), got {waveform.dtype} of shape {tuple(waveform.shape)}"
        )
    if torch.jit.is_tracing():  # sizes are tensors then, and checking them would freeze them
        return
    if waveform.numel() == 0:
        raise ValueError(f"the mixture is empty: its shape is {tuple(waveform.shape)}")
    n_channels = waveform.shape[1] if waveform.dim() == 3 else 1
    if in_channels not in (None, n_channels):
        raise ValueError(
            f"this model needs {in_channels} channels but the mixture has {n_channels}; "
            "pass it as (batch, channels, time)"
        )


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
