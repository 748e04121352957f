"""Training losses: tensors in, a scalar out."""

from __future__ import annotations

import torch
from torch import nn

DOMAINS = ("time", "stft", "time+stft")


class L1Loss(nn.Module):
    """L1 distance of waveforms, of STFTs, or the sum of both (arXiv 2209.15174).

    The distance of STFTs is the mean over the real parts plus the mean over the imaginary parts.
    If only some sources or sums of sources are known, they are compared with the same sums of
    estimates, and the means are over known signals only.

    Args:
        domain: "time", "stft" or "time+stft".

    Raises:
        ValueError: for another domain.
    """

    def __init__(self, domain: str = "time+stft"):
        super().__init__()
        if domain not in DOMAINS:
            raise ValueError(f"unknown loss domain {domain!r}; valid: {', '.join(DOMAINS)}")
        self.domain = domain

    @property
    def needs_stft(self) -> bool:
        """Whether the loss needs spectrograms."""
        return self.domain != "time"

    def forward(
        self,
        estimates: torch.Tensor,
        sources: torch.Tensor,
        estimated_spectrograms: torch.Tensor | None = None,
        spectrograms: torch.Tensor | None = None,
        known: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the distance of estimates from sources.

        Args:
            estimates: (batch, sources, channels, time)
            sources: (batch, signals, channels, time), the true sources or, with `known`, sums of
                them.
            estimated_spectrograms: (batch, sources, channels, 2 * bins, frames), real and
                imaginary parts stacked; required in the STFT domain.
            spectrograms: those of `sources`.
            known: (batch, signals, sources), 1 where a signal contains a source, else 0. Signals
                without a source are ignored. None means that the signals are the sources.

        Returns:
            A scalar, in float32 at least; 0 if no signal is known.
        """
        loss = torch.zeros((), device=estimates.device)
        if self.domain != "stft":
            loss = loss + _mean_distance(estimates, sources, known)
        if self.needs_stft:
            # Real and imaginary parts have the same size: the sum of their means is twice the mean.
            loss = loss + 2 * _mean_distance(estimated_spectrograms, spectrograms, known)
        return loss


def _mean_distance(
    estimates: torch.Tensor, signals: torch.Tensor, known: torch.Tensor | None
) -> torch.Tensor:
    """Return the mean absolute difference of estimates from the known signals."""
    if known is None:
        return (estimates - signals).abs().mean()
    differences = _sums_minus_signals(known, estimates.flatten(2), signals.flatten(2))
    distances = differences.abs().mean(dim=2)
    # Weights instead of an index, whose size would synchronise a GPU.
    compared = known.any(dim=2)
    return (distances * compared).sum() / compared.sum().clamp(min=1)


def _sums_minus_signals(
    known: torch.Tensor, estimates: torch.Tensor, signals: torch.Tensor
) -> torch.Tensor:
    """Return sums of estimates (batch, sources, n) minus the signals (batch, signals, n)."""
    # Autocast would compute the product in half precision.
    with torch.autocast(estimates.device.type, enabled=False):
        return torch.baddbmm(signals.float(), known.float(), estimates.float(), beta=-1)
