"""One network a source, as one separator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from asteroid import models
from torch import nn

from ..memory import release_kept_memory
from .arguments import records_arguments
from .base import SourceModel


def build_network(conf: Mapping) -> SourceModel:
    """A model with fresh weights from the `model_name` and `model_args` of what describes it.

    Asteroid's registry is a module, in which other things than models have names too; a file of
    weights must not get to call them.

    Args:
        conf: as `SourceModel.serialize` gives it; anything but these two entries is left alone.

    Raises:
        TypeError: for an unknown argument of the model.
        ValueError: if the description is malformed, names no model of this kind, or has a value
            that the model refuses.
    """
    if not isinstance(conf, Mapping) or not {"model_name", "model_args"} <= set(conf):
        raise ValueError(f"a network must have a model_name and model_args, got {conf!r}")
    model_class = models.get(conf["model_name"])
    if not (isinstance(model_class, type) and issubclass(model_class, SourceModel)):
        raise ValueError(f"{conf['model_name']!r} is not a model of named sources")
    return model_class(**conf["model_args"])


class PerSourceSeparator(SourceModel):
    """Networks of fewer sources side by side, which act as one network of all their sources.

    The mixture is transformed once for all of them.

    Args:
        networks: for each network a mapping with `model_name` and `model_args`, as `serialize`
            gives them. Their sources, in this order, are the sources of the separator.
        sample_rate: in hertz; None means that of the networks, and other values must equal it.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        ValueError: if there is no network, one is of no model of this project, two estimate the
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
        """The separator of existing networks, with copies of their weights."""
        confs = [
            {"model_name": type(network).__name__, "model_args": network.get_model_args()}
            for network in networks
        ]
        separator = cls(networks=confs)
        for own, network in zip(separator.networks, networks, strict=True):
            own.load_state_dict(network.state_dict())
        return separator

    def get_model_args(self) -> dict:
        """Every argument of the constructor, those of its networks included, as plain types."""
        return {
            "networks": [
                {"model_name": type(network).__name__, "model_args": network.get_model_args()}
                for network in self.networks
            ],
            "sample_rate": self.sample_rate,
        }

    @property
    def suits_bfloat16(self) -> bool:
        """Whether all networks do."""
        return all(network.suits_bfloat16 for network in self.networks)

    @property
    def encoder(self) -> nn.Module:
        """The analysis that all networks share."""
        return self.networks[0].encoder

    @property
    def decoder(self) -> nn.Module:
        """The synthesis that all networks share."""
        return self.networks[0].decoder

    def estimate_spectrogram(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """(B, C, 2F, T) of a mixture -> (B, S, C, 2F, T) of its sources."""
        estimates = []
        for network in self.networks:
            estimates.append(network.estimate_spectrogram(spectrogram))
            if not torch.is_grad_enabled():
                release_kept_memory()
        return torch.cat(estimates, dim=1)
