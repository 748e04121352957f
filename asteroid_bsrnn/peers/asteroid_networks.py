"""Asteroid's time-domain networks for single-channel speech, applied to each channel of music."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from asteroid import models

from ..bands import SOURCES
from ..models.arguments import check_choice, records_arguments
from .base import Peer

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
