"""Several networks of fewer sources as one separator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from asteroid import models
from torch import nn

from ..memory import release_kept_memory
from .arguments import records_arguments
from .base import SourceModel, as_mixture


def build_network(conf: Mapping) -> SourceModel:
    """Build a model with fresh weights from its `model_name` and `model_args`.

    Asteroid's registry is a module that also contains functions. Only names of models are
    accepted, so that a file of weights cannot call anything else.

    Args:
        conf: a result of `SourceModel.serialize`; other entries are ignored.

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
        confs = [
            {"model_name": type(network).__name__, "model_args": network.get_model_args()}
            for network in networks
        ]
        separator = cls(networks=confs)
        for own, network in zip(separator.networks, networks, strict=True):
            own.load_state_dict(network.state_dict())
        return separator

    def get_model_args(self) -> dict:
        """Return every argument of the constructor and of its networks, as plain types."""
        return {
            "networks": [
                {"model_name": type(network).__name__, "model_args": network.get_model_args()}
                for network in self.networks
            ],
            "sample_rate": self.sample_rate,
        }

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
