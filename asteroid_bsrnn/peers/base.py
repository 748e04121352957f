"""Base classes of peers: networks of other projects with the interface of this project's models."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ..filterbank import FFTSTFTFB, Decoder, Encoder
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


class SpectrogramPeer(Peer):
    """A peer that estimates magnitudes, which are combined with the phase of the mixture.

    Args:
        sources: names of the estimated sources, in order.
        sample_rate: in hertz.
        in_channels: number of channels that the network needs.
        n_filters: size of the network's own STFT.
        stride: hop of that STFT in samples.
    """

    def __init__(
        self,
        sources: Sequence[str],
        sample_rate: float,
        in_channels: int,
        *,
        n_filters: int,
        stride: int,
    ):
        super().__init__(sources, sample_rate, in_channels, shortest=n_filters // 2 + 1)
        filterbank = FFTSTFTFB(n_filters, n_filters, stride, sample_rate=sample_rate)
        self.analysis = Encoder(filterbank, as_conv1d=False)
        self.synthesis = Decoder(filterbank)
        self.n_bins = n_filters // 2 + 1

    def estimate_magnitudes(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, S, C, F, T) of a mixture (B, C, F, T)."""
        raise NotImplementedError

    def set_statistics(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Set mean and standard deviation (F,) of the mixture's magnitudes."""
        raise NotImplementedError

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, S, C, L) of a mixture (B, C, L)."""
        real, imaginary = self.analysis(mixture).chunk(2, dim=-2)
        magnitudes = torch.hypot(real, imaginary)
        estimates = self.estimate_magnitudes(magnitudes).float()
        tiny = torch.finfo(magnitudes.dtype).tiny
        gains = estimates / magnitudes.clamp_min(tiny).unsqueeze(1)
        parts = [gains * part.unsqueeze(1) for part in (real, imaginary)]
        return self.synthesis(torch.cat(parts, dim=-2), mixture.shape[-1])

    @torch.no_grad()
    def fit_input(self, mixtures: Iterable[torch.Tensor]) -> None:
        """Set mean and standard deviation of each bin's magnitudes, used for normalisation."""
        count, total, squares = 0, 0.0, 0.0
        for mixture in mixtures:
            filled = at_least(mixture, self.shortest)
            real, imaginary = self.analysis(filled).double().chunk(2, dim=-2)
            magnitudes = torch.hypot(real, imaginary).movedim(-2, 0).flatten(1)
            count += magnitudes.shape[1]
            total = total + magnitudes.sum(dim=1)
            squares = squares + magnitudes.square().sum(dim=1)
        if not count:
            return
        mean = total / count
        deviation = (squares / count - mean.square()).clamp_min(0).sqrt()
        # Almost silent bins must not be amplified without limit.
        deviation = deviation.clamp_min(1e-4 * float(deviation.max()) or 1.0)
        self.set_statistics(mean.float(), deviation.float())


def bins_below(bandwidth: float | None, n_filters: int, sample_rate: float) -> int:
    """Return the number of bins of an STFT up to a frequency in hertz; None means all."""
    n_bins = n_filters // 2 + 1
    if bandwidth is None:
        return n_bins
    return max(1, min(n_bins, int(bandwidth * n_filters / sample_rate) + 1))
