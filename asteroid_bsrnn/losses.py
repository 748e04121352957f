"""Training losses: tensors in, a scalar out."""

from __future__ import annotations

import torch
from torch import nn

DOMAINS = ("time", "stft", "time+stft")


class L1Loss(nn.Module):
    """L1 distance of waveforms, of STFTs, or the sum of both (arXiv 2209.15174).

    The STFT's part is the mean over its real parts plus the mean over its imaginary parts.

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
        """Whether spectrograms must be given."""
        return self.domain != "time"

    def forward(
        self,
        estimates: torch.Tensor,
        sources: torch.Tensor,
        estimated_spectrograms: torch.Tensor | None = None,
        spectrograms: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Distance of estimates from sources.

        Args:
            estimates: (batch, sources, channels, time)
            sources: the same shape.
            estimated_spectrograms: (batch, sources, channels, 2 * bins, frames), real and
                imaginary parts stacked; needed in the STFT domain.
            spectrograms: those of the sources.

        Returns:
            A scalar, in float32 at least.
        """
        loss = torch.zeros((), device=estimates.device)
        if self.domain != "stft":
            loss = loss + (estimates - sources).abs().mean()
        if self.needs_stft:
            # Real and imaginary parts are of one size: the sum of their means is twice the mean.
            loss = loss + 2 * (estimated_spectrograms - spectrograms).abs().mean()
        return loss
