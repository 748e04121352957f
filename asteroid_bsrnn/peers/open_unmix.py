"""Open-Unmix (JOSS 10.21105/joss.01667), a common baseline, from the package openunmix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ..bands import SOURCES
from ..errors import UserError
from ..models.arguments import check_positive, records_arguments
from .base import SpectrogramPeer, bins_below


class OpenUnmixPeer(SpectrogramPeer):
    """Open-Unmix: one recurrent network per source, trained together.

    The defaults are those of its published `umxhq`. Its own training compares magnitudes of each
    source; here it is trained with the loss of all peers. Its optional multichannel filter is left
    out, as for all peers.

    Args:
        sources: names of the estimated sources, in order.
        n_filters: size of the STFT.
        stride: hop of the STFT in samples.
        hidden_size: features between the layers.
        n_layers: number of layers of the recurrent network.
        bandwidth: highest frequency of the network's input in hertz; None means all.
        bidirectional: whether the recurrent layers read in both directions.
        in_channels: number of channels.
        sample_rate: in hertz.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        UserError: openunmix is not installed.
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
        network_class = _import_open_unmix()
        self.networks = nn.ModuleDict(
            {
                source: network_class(
                    nb_bins=self.n_bins,
                    nb_channels=in_channels,
                    hidden_size=hidden_size,
                    nb_layers=n_layers,
                    unidirectional=not bidirectional,
                    max_bin=bins_below(bandwidth, n_filters, sample_rate),
                )
                for source in self.sources
            }
        )

    def estimate_magnitudes(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, S, C, F, T) of a mixture (B, C, F, T)."""
        return torch.stack([network(magnitudes) for network in self.networks.values()], dim=1)

    def set_statistics(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        """Set mean and standard deviation (F,) of the mixture's magnitudes."""
        for network in self.networks.values():
            network.input_mean.data.copy_(-mean[: network.nb_bins])
            network.input_scale.data.copy_(1 / deviation[: network.nb_bins])


def _import_open_unmix() -> type[nn.Module]:
    try:
        from openunmix.model import OpenUnmix
    except ImportError as error:
        raise UserError(
            f"openunmix cannot be imported ({error}); run 'pip install asteroid-bsrnn[compare]'"
        ) from error
    return OpenUnmix
