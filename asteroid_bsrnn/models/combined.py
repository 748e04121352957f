"""Several networks as one: `PerSourceSeparator`, with a network for each source, and `Ensemble`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from asteroid import models
from torch import nn

from ..memory import release_kept_memory
from ..separation.chunks import any_channels
from .base import SourceModel, as_mixture, like_input, records_arguments


def build_network(conf: Mapping) -> SourceModel:
    """Build a model with fresh weights from what `SourceModel.describe` returned.

    Asteroid's registry is a module that also contains functions. Only names of models are
    accepted, so that a file of weights cannot call anything else.

    Raises:
        TypeError: for an unknown argument of the model.
        ValueError: if an entry is missing, the name is not that of a model of this kind, or the
            model refuses a value.
    """
    if not isinstance(conf, Mapping) or not {"model_name", "model_args"} <= set(conf):
        raise ValueError(f"a network must have a model_name and model_args, got {conf!r}")
    model_class = models.get(conf["model_name"])
    if not (isinstance(model_class, type) and issubclass(model_class, SourceModel)):
        raise ValueError(f"{conf['model_name']!r} is not a model of named sources")
    return model_class(**conf["model_args"])


class PerSourceSeparator(SourceModel):
    """Networks of fewer sources that act as one network of all their sources.

    They share one STFT of the mixture.

    Args:
        networks: for each network a mapping with `model_name` and `model_args`, as returned by
            `serialize`. Their sources, in this order, are the sources of the separator.
        sample_rate: in hertz; None means that of the networks, which any other value must equal.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        ValueError: if there is no network, one is not a model of this project, two estimate the
            same source, or they differ in sample rate or filterbank.
    """

    @records_arguments
    def __init__(self, *, networks: Sequence[Mapping], sample_rate: float | None = None):
        built = [build_network(conf) for conf in networks]
        if not built:
            raise ValueError("PerSourceSeparator needs at least one network")
        if sample_rate not in (None, built[0].sample_rate):
            raise ValueError(
                f"sample_rate ({sample_rate}) is not that of the networks ({built[0].sample_rate})"
            )
        configs = [network.encoder.filterbank.get_config() for network in built]
        if any(config != configs[0] for config in configs):
            raise ValueError(f"networks of one separator must share their filterbank: {configs}")
        channels = {network.in_channels for network in built} - {None}
        if len(channels) > 1:
            raise ValueError(f"networks of one separator differ in in_channels: {channels}")
        sources = [source for network in built for source in network.sources]
        super().__init__(sources, built[0].sample_rate, next(iter(channels), None))
        self.networks = nn.ModuleList(built)

    @classmethod
    def of(cls, networks: Sequence[SourceModel]) -> PerSourceSeparator:
        """Return the separator of existing networks, with copies of their weights."""
        separator = cls(networks=[network.describe() for network in networks])
        for own, network in zip(separator.networks, networks, strict=True):
            own.load_state_dict(network.state_dict())
        return separator

    def get_model_args(self) -> dict:
        """Return every argument of the constructor and of its networks, as plain types."""
        networks = [network.describe() for network in self.networks]
        return {"networks": networks, "sample_rate": self.sample_rate}

    @property
    def suits_bfloat16(self) -> bool:
        """Whether all networks suit bfloat16."""
        return all(network.suits_bfloat16 for network in self.networks)

    @property
    def encoder(self) -> nn.Module:
        """The filterbank that all networks share."""
        return self.networks[0].encoder

    @property
    def decoder(self) -> nn.Module:
        """The inverse filterbank that all networks share."""
        return self.networks[0].decoder

    def forward_with_spectrogram(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate the sources and their spectrograms; see `SourceModel`."""
        waveform = as_mixture(wav, self.in_channels)  # (B, C, L)
        length = waveform.shape[-1]
        mixture = self.networks[0].forward_encoder(waveform)  # (B, C, 2F, T)
        estimates = self.estimate_spectrogram(mixture)  # (B, S, C, 2F, T)
        waveforms = self.networks[0].forward_decoder(estimates, length)  # (B, S, C, L)
        return waveforms, estimates

    def estimate_spectrogram(self, mixture: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms of the sources: (B, C, 2F, T) -> (B, S, C, 2F, T)."""
        estimates = []
        for network in self.networks:
            estimates.append(network.estimate_spectrogram(mixture))
            if not torch.is_grad_enabled():
                release_kept_memory()
        return torch.cat(estimates, dim=1)


class Ensemble(SourceModel):
    """Networks of one sample rate whose waveforms are averaged with weights.

    Each source is the weighted mean of its estimates by the networks that serve it. Networks may
    have any sources, numbers of channels and filterbanks. All of them stay in memory, and each
    chunk passes through one after the other. The input of a network is the mixture, or the
    residual: the mixture minus the sources that the networks before it serve.

    Args:
        networks: for each network a mapping with `model_name` and `model_args`, as returned by
            `serialize`.
        weights: for each network a mapping from source to weight. A network does not serve a source
            whose weight is 0 or absent.
        residual: for each network whether its input is the residual; None means that of all
            networks is the mixture.
        sample_rate: in hertz; None means that of the networks, which any other value must equal.

    Attributes:
        sources: all sources that are served, in the order of their first appearance.
        weights: for each network its share of each source that it serves. The shares of a source
            add up to 1.
        residual: for each network whether its input is the residual.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        ValueError: if there is no network, one is not a model of this project, they differ in
            sample rate, one serves no source or lacks a source that it is to serve, a weight is not
            a finite number of at least 0, the input of the first network is the residual, or a
            source that a residual lacks is served again.
    """

    @records_arguments
    def __init__(
        self,
        *,
        networks: Sequence[Mapping],
        weights: Sequence[Mapping[str, float]],
        residual: Sequence[bool] | None = None,
        sample_rate: float | None = None,
    ):
        built = [build_network(conf) for conf in networks]
        if not built or len(weights) != len(built):
            raise ValueError(
                f"an Ensemble needs networks with weights for each, got {len(built)} network(s) "
                f"and weights for {len(weights)}"
            )
        rates = list(dict.fromkeys([network.sample_rate for network in built]))
        if len(rates) > 1 or sample_rate not in (None, rates[0]):
            given = "" if sample_rate is None else f" and sample_rate {sample_rate}"
            raise ValueError(
                f"networks of an Ensemble must have one sample rate, got {rates}{given}"
            )
        served = [
            _served(network.sources, given) for network, given in zip(built, weights, strict=True)
        ]
        sources = list(dict.fromkeys(source for given in served for source in given))
        super().__init__(sources, rates[0], None)
        self.residual = [False] * len(built) if residual is None else list(residual)
        _check_residual(self.residual, served)
        totals = {source: sum(given.get(source, 0.0) for given in served) for source in sources}
        self.weights = [
            {source: weight / totals[source] for source, weight in given.items()}
            for given in served
        ]
        self.networks = nn.ModuleList(built)

    @classmethod
    def of(
        cls,
        networks: Sequence[SourceModel],
        weights: Sequence[Mapping[str, float]],
        residual: Sequence[bool] | None = None,
    ) -> Ensemble:
        """Return the ensemble of existing networks, which are not copied."""
        confs = [network.describe() for network in networks]
        with torch.device("meta"):  # no weights are made only to be replaced
            ensemble = cls(networks=confs, weights=weights, residual=residual)
        ensemble.networks = nn.ModuleList(networks)
        return ensemble

    @property
    def suits_bfloat16(self) -> bool:
        """Whether all networks suit bfloat16."""
        return all(network.suits_bfloat16 for network in self.networks)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Estimate the sources of a mixture; shapes and errors as in `SourceModel`."""
        mixture = as_mixture(wav, self.in_channels)  # (B, C, L)
        means: dict[str, torch.Tensor] = {}
        for network, shares, residual in zip(
            self.networks, self.weights, self.residual, strict=True
        ):
            heard = mixture - sum(means.values()) if residual else mixture
            estimates = any_channels(network, network.in_channels)(heard)  # (B, S, C, L)
            for source, share in shares.items():
                part = share * estimates[:, network.sources.index(source)]
                means[source] = means[source] + part if source in means else part
            del estimates
            if not torch.is_grad_enabled():
                release_kept_memory()
        stacked = torch.stack([means[source] for source in self.sources], dim=1)
        return like_input(stacked.to(wav.dtype), wav)


def _served(sources: Sequence[str], weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights above 0 of a network, in the order of its sources, after a check."""
    for source, weight in weights.items():
        if source not in sources:
            raise ValueError(
                f"no source {source!r} in a network of the Ensemble; it has {', '.join(sources)}"
            )
        if not (isinstance(weight, (int, float)) and 0 <= weight < math.inf):
            raise ValueError(f"the weight of {source!r} must be a number of at least 0: {weight!r}")
    served = {source: float(weights[source]) for source in sources if weights.get(source)}
    if not served:
        raise ValueError("a network of the Ensemble serves no source; leave it out")
    return served


def _check_residual(residual: Sequence[bool], served: Sequence[Mapping[str, float]]) -> None:
    """Raise if a residual is not defined, or lacks a source that is served later."""
    if len(residual) != len(served) or any(residual[:1]):
        raise ValueError(
            "residual must have a value for each network, and the first network has no networks "
            f"before it: {list(residual)}"
        )
    for number in (number for number, given in enumerate(residual) if given):
        before = {source for sources in served[:number] for source in sources}
        again = before & {source for sources in served[number:] for source in sources}
        if again:
            raise ValueError(
                f"the residual of network {number + 1} of the Ensemble lacks "
                f"{', '.join(sorted(again))}, which it or a later network is to serve"
            )
