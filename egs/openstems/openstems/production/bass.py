"""Mixing of the bass: mono at low frequencies, distortion and often width above."""

import numpy as np

from ..effects import process
from ..effects.dynamics import set_active_level
from . import draws
from .draws import Link, chance, link, spread, uniform

LEVEL = -20.0


def draw(rng: np.random.Generator, room: Link) -> list[Link]:
    """Return a random effect chain for a bass.

    Args:
        rng: random generator.
        room: reverberation that all stems share.

    Returns:
        Effects in order.
    """
    chain = [
        link("widen", factor=uniform(rng, 0.0, 0.5)),
        link("high_pass", frequency=uniform(rng, 26, 36)),
        link("low_shelf", frequency=spread(rng, 60, 120), gain=uniform(rng, -2, 5)),
        link("peak", frequency=spread(rng, 200, 450), gain=uniform(rng, -3, 4), q=0.7),
    ]
    chain += _grit(rng)
    chain.append(
        link(
            "peak",
            frequency=spread(rng, 500, 1500),
            gain=uniform(rng, 0, 7),
            q=uniform(rng, 0.5, 1.2),
        )
    )
    chain.append(link("high_shelf", frequency=spread(rng, 1500, 3500), gain=uniform(rng, 4, 14)))
    chain.append(draws.compressor(rng, (-28, -16), 6.0))
    if chance(rng, 0.5):
        chain.append(draws.compressor(rng, (-18, -12), 10.0))
    if chance(rng, 0.75):
        # Lowers the peaks of plucks relative to the sustained sound, as on recorded basses.
        chain.append(link("saturate", drive=uniform(rng, 4, 11)))
    if chance(rng, 0.5):
        chain += _width(rng)
    if chance(rng, 0.35):
        chain.append(draws.send(rng, -26, -16, {**room, "low_cut": 220.0}))
    return chain


def mix(sound: np.ndarray, chain: list[Link]) -> np.ndarray:
    """Mix a bass of shape (2, L) through its chain."""
    return process(set_active_level(sound, LEVEL), chain)


def _grit(rng: np.random.Generator) -> list[Link]:
    chain = []
    if chance(rng, 0.75):
        chain.append(
            link(
                "amplify",
                drive=uniform(rng, 8, 28),
                tone=uniform(rng, 0, 8),
                cabinet=spread(rng, 3500, 9000),
                mix=uniform(rng, 0.25, 0.8),
            )
        )
    if chance(rng, 0.6):
        chain.append(
            link(
                "saturate",
                drive=uniform(rng, 2, 14),
                asymmetry=uniform(rng, 0, 0.3),
                emphasis=uniform(rng, 2, 10),
            )
        )
    return chain


def _width(rng: np.random.Generator) -> list[Link]:
    if chance(rng, 0.6):
        motion = link(
            "chorus",
            rate=spread(rng, 0.2, 1.5),
            depth=spread(rng, 0.0008, 0.003),
            delay=uniform(rng, 0.006, 0.015),
            mix=uniform(rng, 0.2, 0.6),
        )
    else:
        motion = link("double", seed=draws.seed(rng), amount=uniform(rng, 0.2, 0.6), delay=0.012)
    return [motion, link("mono_below", frequency=uniform(rng, 120, 260))]
