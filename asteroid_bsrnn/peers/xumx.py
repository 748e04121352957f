"""CrossNet-Open-Unmix of Asteroid (arXiv 2010.04228) on the torch of today.

Asteroid 0.7 keeps the network, under another name, but refuses to run it: its STFT asks torch for
something that torch no longer gives. The network itself is used here as Asteroid has it; the
transforms around it are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from asteroid.models import x_umx

from ..bands import SOURCES
from ..models.arguments import check_positive, records_arguments
from .base import SpectrogramPeer, bins_below


class XUMXPeer(SpectrogramPeer):
    """X-UMX: a recurrent network a source, which share the means of their hidden features.

    The defaults are those of Asteroid's recipe, made for 44.1 kHz stereo music.

    Args:
        sources: names of the estimated sources, in order.
        n_filters: size of the STFT.
        stride: its hop in samples.
        hidden_size: features between the layers.
        n_layers: of each recurrent network.
        bandwidth: in hertz, up to which the network sees the mixture; None means all of it.
        bidirectional: whether the recurrent layers read in both directions.
        in_channels: number of channels.
        sample_rate: in hertz.

    Shape:
        (B, C, L) -> (B, S, C, L)
    """

    @records_arguments
    def __init__(
        self,
        *,
        sources: Sequence[str] = SOURCES,
        n_filters: int = 4096,
        stride: int = 1024,
        hidden_size: int = 512,
        n_layers: int = 3,
        bandwidth: float | None = 16000,
        bidirectional: bool = True,
        in_channels: int = 2,
        sample_rate: float = 44100,
    ):
        check_positive(hidden_size=hidden_size, n_layers=n_layers, in_channels=in_channels)
        super().__init__(sources, sample_rate, in_channels, n_filters=n_filters, stride=stride)
        network_class = getattr(x_umx, "BrokenXUMX", x_umx.XUMX)
        self.network = network_class(
            list(self.sources),
            window_length=n_filters,
            in_chan=n_filters,
            n_hop=stride,
            hidden_size=hidden_size,
            nb_channels=in_channels,
            sample_rate=sample_rate,
            nb_layers=n_layers,
            max_bin=bins_below(bandwidth, n_filters, sample_rate),
            bidirectional=bidirectional,
        )
        # Its own transforms, with a window each that would go into every file of weights.
        del self.network.encoder, self.network.decoder

    def estimate_magnitudes(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """(B, C, F, T) of a mixture -> (B, S, C, F, T) of its sources."""
        spectrogram = magnitudes.permute(3, 0, 1, 2)
        # It normalises its input in place.
        masks = self.network.forward_masker(spectrogram.clone())
        return (masks * spectrogram).permute(2, 0, 3, 4, 1)

    def set_statistics(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Take over mean and standard deviation (F,) of the mixture's magnitudes."""
        n_bins = self.network.max_bin
        for source in self.sources:
            parameters = self.network.mean_scale
            parameters[f"input_mean_{source}"].data.copy_(-mean[:n_bins])
            parameters[f"input_scale_{source}"].data.copy_(1 / deviation[:n_bins])
