"""Mixing of drums: sub-bass, room, parallel compression."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..effects import process
from ..effects.dynamics import set_active_level
from ..music import RATE, Note
from . import draws
from .draws import Link, chance, link, spread, uniform

KICKS = (35, 36)
LEVEL = -20.0


def draw(rng: np.random.Generator, room: Link) -> dict[str, Any]:
    """Return random settings of the drum mix.

    Args:
        rng: random generator.
        room: reverberation that all stems share.

    Returns:
        Arguments of `mix`, in plain types.
    """
    kit_room = draws.room(rng, (0.2, 0.9), early=uniform(rng, 0.2, 0.6), low_cut=90.0)
    chain = [
        link("high_pass", frequency=uniform(rng, 22, 32)),
        link("low_shelf", frequency=spread(rng, 60, 110), gain=uniform(rng, 3, 9)),
        link("peak", frequency=spread(rng, 150, 240), gain=uniform(rng, 0, 6), q=0.8),
        link("peak", frequency=spread(rng, 300, 550), gain=uniform(rng, -4, 1), q=0.8),
        link("peak", frequency=spread(rng, 600, 1200), gain=uniform(rng, 0, 6), q=0.6),
        *draws.bells(rng, 1),
        link("high_shelf", frequency=spread(rng, 5500, 9000), gain=uniform(rng, -5, 2)),
    ]
    if chance(rng, 0.5):
        chain.append(link("shape_transients", gain=uniform(rng, -3, 5)))
    chain.append(draws.compressor(rng, (-18, -8), 3.5))
    if chance(rng, 0.6):
        # A strongly compressed parallel copy brings out the room and the tails.
        chain.append(
            link(
                "compress",
                threshold=uniform(rng, -32, -24),
                ratio=uniform(rng, 5, 12),
                attack=spread(rng, 0.002, 0.01),
                release=spread(rng, 0.08, 0.2),
                makeup=uniform(rng, 6, 12),
                mix=uniform(rng, 0.15, 0.45),
            )
        )
    if chance(rng, 0.4):
        chain.append(link("saturate", drive=uniform(rng, 0, 8), asymmetry=uniform(rng, 0, 0.2)))
    chain.append(link("widen", factor=uniform(rng, 0.2, 0.8)))
    chain.append(draws.send(rng, -18, -7, kit_room))
    if chance(rng, 0.4):
        chain.append(draws.send(rng, -24, -15, room))
    return {"chain": chain, "sub": _draw_sub(rng)}


def mix(
    sound: np.ndarray, notes: Sequence[Note], chain: Sequence[Link], sub: dict[str, float] | None
) -> np.ndarray:
    """Mix the drums of a song.

    Args:
        sound: sound of the kit, shape (2, L).
        notes: the drum part, for the kicks of the sub.
        chain: effects.
        sub: level in dB relative to the kit, frequency in Hz and decay in seconds of a sine at the
            kicks, or None.

    Returns:
        Shape (2, L), float32.
    """
    mixed = set_active_level(sound, LEVEL)
    if sub:
        layer = sub_kick(notes, sound.shape[-1], sub["frequency"], sub["decay"])
        mixed = mixed + set_active_level(layer, LEVEL + sub["level"])
    return process(mixed, chain)


def sub_kick(notes: Sequence[Note], samples: int, frequency: float, decay: float) -> np.ndarray:
    """Return a sine that falls to a low frequency at every kick.

    Args:
        notes: the drum part.
        samples: length of the result.
        frequency: final frequency of the sine in Hz.
        decay: time constant in seconds.

    Returns:
        Shape (2, samples), float32.
    """
    time = np.arange(int(6 * decay * RATE)) / RATE
    phase = 2 * np.pi * frequency * (time + 0.025 * (1 - np.exp(-time / 0.025)))
    hit = np.sin(phase) * np.exp(-time / decay) * np.minimum(time / 0.002, 1)
    layer = np.zeros(samples, np.float32)
    for note in notes:
        start = int(note.start * RATE)
        if note.pitch in KICKS and 0 <= start < samples:
            end = min(start + len(hit), samples)
            layer[start:end] += (hit[: end - start] * note.velocity / 127).astype(np.float32)
    return np.stack([layer, layer])


def kick_times(notes: Sequence[Note]) -> list[float]:
    """Return the times of the kicks in seconds."""
    return [note.start for note in notes if note.pitch in KICKS]


def _draw_sub(rng: np.random.Generator) -> dict[str, float] | None:
    if not chance(rng, 0.6):
        return None
    return {
        "level": uniform(rng, -10, 0),
        "frequency": uniform(rng, 42, 62),
        "decay": spread(rng, 0.05, 0.2),
    }
