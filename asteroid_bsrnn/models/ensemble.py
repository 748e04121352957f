"""Several networks whose estimates are averaged, as one network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from ..memory import release_kept_memory
from ..separation.chunks import any_channels
from .arguments import records_arguments
from .base import SourceModel, as_mixture, like_input
from .per_source import build_network


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
        confs = [
            {"model_name": type(network).__name__, "model_args": network.get_model_args()}
            for network in networks
        ]
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
