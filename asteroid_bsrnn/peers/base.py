"""Base class of peers: networks of other projects with the interface of this project's models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ..filterbank import FFTSTFTFB, Encoder
from ..models import SourceModel
from ..models.base import as_mixture, at_least, like_input


class Peer(SourceModel):
    """A peer: (batch, channels, time) -> (batch, sources, channels, time).

    The `encoder` of every peer is the STFT of BSRNN's base model (2048 samples, hop 512), so that a
    training loss in the STFT domain is the same for all peers and BSRNN.

    Args:
        sources: names of the estimated sources, in order.
        sample_rate: in hertz.
        in_channels: number of channels that the network needs; None for any number.
        shortest: number of samples that the network needs; shorter mixtures are padded with zeros,
            and their estimates are cropped.
    """

    def __init__(
        self, sources: Sequence[str], sample_rate: float, in_channels: int | None, shortest: int
    ):
        super().__init__(sources, sample_rate, in_channels)
        filterbank = FFTSTFTFB(2048, 2048, 512, sample_rate=sample_rate)
        self.encoder = Encoder(filterbank, as_conv1d=False)
        self.shortest = shortest

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, S, C, L) of a mixture (B, C, L)."""
        raise NotImplementedError

    def fit_input(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set statistics of the input before training; does nothing for most networks.

        Args:
            mixtures: tensors (batch, channels, time), as in training.
        """

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Estimate the sources of a mixture; shapes and errors as in `SourceModel`."""
        return like_input(self._estimates(wav).to(wav.dtype), wav)

    def forward_with_spectrogram(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the estimates and their spectrograms, for losses on both."""
        estimates = self._estimates(wav)
        shortest = self.encoder.filterbank.n_filters // 2 + 1
        return estimates, self.encoder(at_least(estimates, shortest))

    def _estimates(self, wav: torch.Tensor) -> torch.Tensor:
        mixture = as_mixture(wav, self.in_channels)
        estimates = self.estimate(at_least(mixture, self.shortest))
        return estimates[..., : mixture.shape[-1]]
