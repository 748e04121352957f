"""Peers: Asteroid's networks, CrossNet-Open-Unmix and Open-Unmix with this project's interface.

Asteroid's time-domain networks are for single-channel speech and are applied to each channel of
music. Asteroid 0.7 contains CrossNet-Open-Unmix (arXiv 2010.04228) under another name but does not
run it, because its STFT needs a feature that torch has removed. Open-Unmix (JOSS
10.21105/joss.01667) is from the package openunmix. The recurrent layers are those of the other
projects; the transforms are this project's.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from asteroid import models
from asteroid.models import x_umx
from torch import nn

from ..bands import SOURCES
from ..errors import UserError
from ..filterbank import FFTSTFTFB, Decoder, Encoder
from ..models import SourceModel
from ..models.base import (
    as_mixture,
    at_least,
    check_choice,
    check_positive,
    like_input,
    records_arguments,
)


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


# Asteroid's own arguments, adapted to 44.1 kHz. At 8 kHz, for which these networks were designed, a
# filter is 2 ms long and the hop is 1 ms. At 44.1 kHz that would be 88 and 44 samples. 64 and 32,
# the next lower powers of two, increase the number of frames per second by a factor of 1.4, so
# that the receptive field in seconds and the cost stay similar.
SETTINGS: dict[str, dict[str, Any]] = {
    # 512 filters are 8 times the length of a filter, which is still redundant.
    # The receptive field is 2 * 3 * 255 frames, 1.1 s.
    "ConvTasNet": {"n_filters": 512, "kernel_size": 64, "stride": 32},
    # 4 filters per sample, as at 8 kHz. 100 frames per chunk are near the square root of twice the
    # 4131 frames of a 3 s example, which makes both paths equally long.
    "DPRNNTasNet": {"n_filters": 256, "kernel_size": 64, "stride": 32, "chunk_size": 100},
    # Its kernel size must be odd; the hop is half of it, regardless of `stride`.
    "SuDORMRFImprovedNet": {"n_filters": 512, "kernel_size": 65, "stride": 32},
    # The attention is as wide as the number of filters, so there is one filter per sample only.
    "DPTNet": {"n_filters": 64, "kernel_size": 64, "stride": 32, "chunk_size": 100},
}


class AsteroidPeer(Peer):
    """One of Asteroid's time-domain networks, its channels folded into the batch.

    Args:
        network: name of Asteroid's class, a key of `SETTINGS`.
        sources: names of the estimated sources, in order.
        settings: arguments of Asteroid's class that replace those of `SETTINGS`, except for its
            number of sources and sample rate, which follow from the other arguments.
        sample_rate: in hertz.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        TypeError: a setting is unknown.
        ValueError: the network is unknown or refuses a setting.
    """

    @records_arguments
    def __init__(
        self,
        *,
        network: str,
        sources: Sequence[str] = SOURCES,
        settings: Mapping[str, Any] | None = None,
        sample_rate: float = 44100,
    ):
        check_choice("network", network, SETTINGS)
        network_class = getattr(models, network)
        _check_names(network_class, settings or {})
        chosen = {**SETTINGS[network], **(settings or {})}
        # A few frames, because some networks compute statistics over them.
        shortest = 4 * chosen["kernel_size"]
        super().__init__(sources, sample_rate, None, shortest)
        n_sources = len(self.sources)
        try:
            self.network = network_class(n_sources, sample_rate=sample_rate, **chosen)
        except AssertionError as error:
            raise ValueError(f"{network}: {error}") from error

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """Return the sources (B, S, C, L) of a mixture (B, C, L), channel by channel."""
        n_batch, n_channels, length = mixture.shape
        estimates = self.network(mixture.reshape(n_batch * n_channels, 1, length))
        return estimates.reshape(n_batch, n_channels, -1, length).transpose(1, 2)


def _check_names(network_class: type, settings: Mapping[str, Any]) -> None:
    """Refuse unknown arguments, which some of Asteroid's parts ignore."""
    parameters = inspect.signature(network_class).parameters.values()
    taken = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    valid = sorted(taken - {"n_src", "sample_rate", "in_chan"})
    for name in settings:
        if name not in valid:
            raise TypeError(
                f"{network_class.__name__}: unknown setting {name!r}; valid: {', '.join(valid)}"
            )


class SpectrogramPeer(Peer):
    """A recurrent peer that estimates magnitudes, which are combined with the phase of the mixture.

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
        super().__init__(sources, sample_rate, in_channels, shortest=n_filters // 2 + 1)
        filterbank = FFTSTFTFB(n_filters, n_filters, stride, sample_rate=sample_rate)
        self.analysis = Encoder(filterbank, as_conv1d=False)
        self.synthesis = Decoder(filterbank)
        shared = {"hidden_size": hidden_size, "nb_layers": n_layers, "nb_channels": in_channels}
        shared["max_bin"] = n_bins = n_filters // 2 + 1
        if bandwidth is not None:
            shared["max_bin"] = max(1, min(n_bins, int(bandwidth * n_filters / sample_rate) + 1))
        self._add_network(filterbank, bidirectional, shared)

    def _add_network(
        self, filterbank: FFTSTFTFB, bidirectional: bool, shared: Mapping[str, Any]
    ) -> None:
        """Add the network, whose arguments `shared` have names that both projects use."""
        raise NotImplementedError

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


class XUMXPeer(SpectrogramPeer):
    """X-UMX: one recurrent network per source, with shared means of their hidden features.

    The defaults are those of Asteroid's recipe, made for 44.1 kHz stereo music. Arguments and
    shapes are those of `SpectrogramPeer`.
    """

    def _add_network(
        self, filterbank: FFTSTFTFB, bidirectional: bool, shared: Mapping[str, Any]
    ) -> None:
        network_class = getattr(x_umx, "BrokenXUMX", x_umx.XUMX)
        self.network = network_class(
            list(self.sources),
            window_length=filterbank.n_filters,
            in_chan=filterbank.n_filters,
            n_hop=filterbank.stride,
            sample_rate=self.sample_rate,
            bidirectional=bidirectional,
            **shared,
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


class OpenUnmixPeer(SpectrogramPeer):
    """Open-Unmix: one recurrent network per source, trained together.

    The defaults are those of its published `umxhq`. Its own training compares magnitudes of each
    source; here it is trained with the loss of all peers. Its optional multichannel filter is left
    out, as for all peers. Arguments and shapes are those of `SpectrogramPeer`.

    Raises:
        UserError: openunmix is not installed.
    """

    def _add_network(
        self, filterbank: FFTSTFTFB, bidirectional: bool, shared: Mapping[str, Any]
    ) -> None:
        try:
            from openunmix.model import OpenUnmix
        except ImportError as error:
            raise UserError(
                f"openunmix cannot be imported ({error}); run 'pip install asteroid-bsrnn[compare]'"
            ) from error
        n_bins = filterbank.n_filters // 2 + 1
        self.networks = nn.ModuleDict(
            {
                source: OpenUnmix(nb_bins=n_bins, unidirectional=not bidirectional, **shared)
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
