"""Asteroid's time-domain networks, made for one channel of speech, on each channel of music."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from asteroid import models

from ..bands import SOURCES
from ..models.arguments import check_choice, records_arguments
from .base import Peer

# Asteroid's own arguments, but for what 44.1 kHz asks for. At the 8 kHz that these networks were
# made for, a filter is 2 ms long and the hop 1 ms. At 44.1 kHz that would be 88 and 44 samples;
# 64 and 32, the powers of two below, keep the number of frames within 1.4 times of that at 8 kHz,
# so that the time that a network sees at once, and what it costs, stay near what they were.
SETTINGS: dict[str, dict[str, Any]] = {
    # 512 filters are 8 times as many as a filter has samples: still redundant.
    # The receptive field is 2 * 3 * 255 frames, 1.1 s.
    "ConvTasNet": {"n_filters": 512, "kernel_size": 64, "stride": 32},
    # 4 filters a sample, as at 8 kHz. 100 frames a chunk are near the square root of twice the
    # 4131 frames of a 3 s example, where both paths are equally long.
    "DPRNNTasNet": {"n_filters": 256, "kernel_size": 64, "stride": 32, "chunk_size": 100},
    # Its filter must be odd; half of it is the hop, whatever `stride` says.
    "SuDORMRFImprovedNet": {"n_filters": 512, "kernel_size": 65, "stride": 32},
    # The attention is as wide as there are filters, so there are no more than a filter has samples.
    "DPTNet": {"n_filters": 64, "kernel_size": 64, "stride": 32, "chunk_size": 100},
}


class AsteroidPeer(Peer):
    """One of Asteroid's time-domain networks, its channels folded into the batch.

    Args:
        network: name of Asteroid's class, a key of `SETTINGS`.
        sources: names of the estimated sources, in order.
        settings: arguments of Asteroid's class that replace those of `SETTINGS`; its number of
            sources and sample rate are given by the others here.
        sample_rate: in hertz.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        TypeError: for an unknown setting.
        ValueError: for an unknown network or a setting that it refuses.
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
        # A few frames, for networks that take statistics over them.
        shortest = 4 * chosen["kernel_size"]
        super().__init__(sources, sample_rate, None, shortest)
        n_sources = len(self.sources)
        try:
            self.network = network_class(n_sources, sample_rate=sample_rate, **chosen)
        except AssertionError as error:
            raise ValueError(f"{network}: {error}") from error

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(B, C, L) of a mixture -> (B, S, C, L) of its sources, channel by channel."""
        n_batch, n_channels, length = mixture.shape
        estimates = self.network(mixture.reshape(n_batch * n_channels, 1, length))
        return estimates.reshape(n_batch, n_channels, -1, length).transpose(1, 2)


def _check_names(network_class: type, settings: Mapping[str, Any]) -> None:
    """Asteroid hands unknown arguments on, and some of its parts swallow them."""
    parameters = inspect.signature(network_class).parameters.values()
    taken = {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
    valid = sorted(taken - {"n_src", "sample_rate", "in_chan"})
    for name in settings:
        if name not in valid:
            raise TypeError(
                f"{network_class.__name__}: unknown setting {name!r}; valid: {', '.join(valid)}"
            )
