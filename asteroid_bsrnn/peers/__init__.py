"""Separators of other projects with the interface of this project's, for comparisons.

`names()` lists those that can be trained, and `build` returns one with fresh weights.
`spleeter.load` returns the trained `SpleeterPeer`. Importing this package registers
all peers with Asteroid, so that files of their weights load like those of BSRNN.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..models import register_models
from .networks import AsteroidPeer, OpenUnmixPeer, Peer, XUMXPeer
from .spleeter import SpleeterPeer

__all__ = ["AsteroidPeer", "OpenUnmixPeer", "Peer", "SpleeterPeer", "XUMXPeer", "build", "names"]

register_models(AsteroidPeer, OpenUnmixPeer, SpleeterPeer, XUMXPeer)

_ASTEROID = {
    "conv_tasnet": "ConvTasNet",
    "dprnn_tasnet": "DPRNNTasNet",
    "dptnet": "DPTNet",
    "sudormrf_improved": "SuDORMRFImprovedNet",
}
_OTHERS: dict[str, type[Peer]] = {"open_unmix": OpenUnmixPeer, "xumx": XUMXPeer}


def names() -> list[str]:
    """Return the names of all peers that can be trained."""
    return sorted([*_ASTEROID, *_OTHERS])


def build(name: str, sources: Sequence[str], **overrides) -> Peer:
    """Return a peer with fresh weights, to be trained.

    Args:
        name: one of `names()`.
        sources: names of the estimated sources, in order.
        **overrides: arguments of the network that replace the defaults. Asteroid's time-domain
            networks take Asteroid's own arguments, such as `n_filters` or `n_repeats`.

    Raises:
        TypeError: an override is unknown.
        ValueError: the name is unknown, or the network refuses a value.

    Example:
        >>> network = build("conv_tasnet", ["vocals", "other"], n_blocks=2, n_repeats=1)
        >>> network.sources
        ('vocals', 'other')
    """
    if name in _OTHERS:
        return _OTHERS[name](sources=sources, **overrides)
    if name not in _ASTEROID:
        raise ValueError(f"unknown peer {name!r}; valid names: {', '.join(names())}")
    rate = {"sample_rate": overrides.pop("sample_rate")} if "sample_rate" in overrides else {}
    return AsteroidPeer(network=_ASTEROID[name], sources=sources, settings=overrides, **rate)
