"""Random parameters of effects, rounded so that manifests stay readable."""

from collections.abc import Mapping
from typing import Any

import numpy as np

Link = dict[str, Any]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a uniformly distributed float between two bounds, rounded to four decimals."""
    return round(float(rng.uniform(low, high)), 4)


def spread(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a float that is uniformly distributed in octaves, for frequencies and times."""
    return round(float(np.exp(rng.uniform(np.log(low), np.log(high)))), 4)


def seed(rng: np.random.Generator) -> int:
    """Return a seed for an effect with its own noise."""
    return int(rng.integers(2**31))


def chance(rng: np.random.Generator, probability: float) -> bool:
    """Return True with the given probability."""
    return bool(rng.random() < probability)


def bells(rng: np.random.Generator, count: int, gain: float = 3.5) -> list[Link]:
    """Return random peaking filters from 150 Hz to 7 kHz with gains up to +-`gain` dB."""
    return [
        link(
            "peak",
            frequency=spread(rng, 150, 7000),
            gain=uniform(rng, -gain, gain),
            q=uniform(rng, 0.5, 1.8),
        )
        for _ in range(count)
    ]


def compressor(rng: np.random.Generator, threshold: tuple[float, float], ratio: float) -> Link:
    """Return a random compressor with a range of the threshold in dBFS and a largest ratio."""
    return link(
        "compress",
        threshold=uniform(rng, *threshold),
        ratio=uniform(rng, 1.4, ratio),
        attack=spread(rng, 0.003, 0.03),
        release=spread(rng, 0.06, 0.25),
    )


def room(rng: np.random.Generator, decay: tuple[float, float], early: float, **more: float) -> Link:
    """Return random arguments of `space.impulse_response`, with a range of the decay in seconds."""
    return {
        "seed": seed(rng),
        "decay": spread(rng, *decay),
        "predelay": uniform(rng, 0.0, 0.03),
        "damping": uniform(rng, 0.2, 0.9),
        "early": early,
        "size": uniform(rng, 0.01, 0.04),
        "width": uniform(rng, 0.6, 1.0),
        **more,
    }


def send(rng: np.random.Generator, low: float, high: float, space: Mapping[str, float]) -> Link:
    """Return a reverberation with an energy in a range of dB relative to the direct sound."""
    return link("reverberate", send=uniform(rng, low, high), room=dict(space))


def link(effect: str, **arguments: Any) -> Link:
    """Return one link of an effect chain."""
    return {"effect": effect, **arguments}
