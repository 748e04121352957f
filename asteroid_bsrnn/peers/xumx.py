"""CrossNet-Open-Unmix of Asteroid (arXiv 2010.04228) for current versions of torch.

Asteroid 0.7 contains the network under another name but does not run it, because its STFT needs
a feature that torch has removed. The network here is Asteroid's; the transforms are this project's.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from asteroid.models import x_umx

from ..bands import SOURCES
from ..models.arguments import check_positive, records_arguments
from .base import SpectrogramPeer, bins_below


class XUMXPeer(SpectrogramPeer):
    """X-UMX: one recurrent network per source, with shared means of their hidden features.

    The defaults are those of Asteroid's recipe, made for 44.1 kHz stereo music.

    Args:
        sources: names of the estimated sources, in order.
        n_filters: size of the STFT.
        stride: hop of the STFT in samples.
        hidden_size: features between the layers.
        n_layers: number of layers of each recurrent network.
        bandwidth: highest frequency of the network's input in hertz; None means all.
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
        # The transforms have windows that would be stored in every file of weights.
        del self.network.encoder, self.network.decoder

    def estimate_magnitudes(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, S, C, F, T) of a mixture (B, C, F, T)."""
        spectrogram = magnitudes.permute(3, 0, 1, 2)
        # The network normalises its input in place.
        masks = self.network.forward_masker(spectrogram.clone())
        return (masks * spectrogram).permute(2, 0, 3, 4, 1)

    def set_statistics(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Set mean and standard deviation (F,) of the mixture's magnitudes."""
        n_bins = self.network.max_bin
        for source in self.sources:
            parameters = self.network.mean_scale
            parameters[f"input_mean_{source}"].data.copy_(-mean[:n_bins])
            parameters[f"input_scale_{source}"].data.copy_(1 / deviation[:n_bins])
