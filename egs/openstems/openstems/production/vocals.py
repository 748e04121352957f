"""Mixing of vocals: filters, compression, doubling, echoes, plate reverberation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..effects import process, space
from ..effects.dynamics import set_active_level
from ..music import RATE, Note
from . import draws
from .draws import Link, chance, link, spread, uniform

LEVEL = -20.0
# A phrase ends at a rest of at least this length in seconds.
PHRASE_GAP = 0.4


def draw(rng: np.random.Generator, room: Link, tempo: float) -> dict[str, Any]:
    """Return random settings of the mix of a voice.

    Args:
        rng: random generator.
        room: reverberation that all stems share.
        tempo: beats per minute, for echoes.

    Returns:
        Arguments of `mix`, in plain types.
    """
    chain = [
        link("high_pass", frequency=uniform(rng, 70, 130)),
        link("peak", frequency=spread(rng, 200, 500), gain=uniform(rng, -4, 1), q=1.0),
        *draws.bells(rng, 2, 3.0),
        link("peak", frequency=spread(rng, 2500, 5000), gain=uniform(rng, 0, 4), q=0.8),
        link("high_shelf", frequency=spread(rng, 6500, 10000), gain=uniform(rng, -2, 4)),
        link(
            "deess", frequency=spread(rng, 5000, 7000), threshold=uniform(rng, -30, -18), ratio=4.0
        ),
        draws.compressor(rng, (-22, -14), 4.0),
        draws.compressor(rng, (-14, -8), 6.0),
    ]
    if chance(rng, 0.35):
        chain.append(link("saturate", drive=uniform(rng, 2, 12), asymmetry=uniform(rng, 0, 0.3)))
    if chance(rng, 0.4):
        chain.append(
            link("double", seed=draws.seed(rng), amount=uniform(rng, 0.15, 0.5), delay=0.014)
        )
    after = []
    if chance(rng, 0.75):
        plate = draws.room(rng, (0.8, 2.6), early=uniform(rng, 0.0, 0.1), low_cut=250.0)
        after.append(draws.send(rng, -18, -7, plate))
    if chance(rng, 0.6):
        after.append(draws.send(rng, -22, -12, room))
    return {"chain": chain, "throws": _draw_throws(rng, tempo), "after": after}


def mix(
    sound: np.ndarray,
    notes: Sequence[Note],
    chain: Sequence[Link],
    throws: dict[str, Any] | None,
    after: Sequence[Link],
) -> np.ndarray:
    """Mix the voices of a song.

    Args:
        sound: shape (2, L).
        notes: the melody, for echoes at the ends of phrases.
        chain: effects before the echoes.
        throws: arguments of `effects.space.delay`, and `always`, whether every note has an echo; or
            None.
        after: effects on voice and echoes.

    Returns:
        Shape (2, L), float32.
    """
    mixed = process(set_active_level(sound, LEVEL), chain)
    if throws:
        arguments = {key: value for key, value in throws.items() if key != "always"}
        thrown = mixed if throws["always"] else mixed * _phrase_ends(notes, sound.shape[-1])
        mixed = mixed + space.delay(thrown, **arguments) - thrown
    return process(mixed, after)


def _draw_throws(rng: np.random.Generator, tempo: float) -> dict[str, Any] | None:
    if not chance(rng, 0.5):
        return None
    always = chance(rng, 0.5)
    return {
        "seconds": round(min(float(rng.choice([0.5, 0.75, 1.0])) * 60 / tempo, 0.9), 4),
        "feedback": uniform(rng, 0.1, 0.5),
        "mix": uniform(rng, 0.06, 0.2) if always else uniform(rng, 0.2, 0.5),
        "cutoff": spread(rng, 1800, 6000),
        "ping_pong": chance(rng, 0.5),
        "always": always,
    }


def _phrase_ends(notes: Sequence[Note], samples: int) -> np.ndarray:
    """Return 1 during the last note of each phrase and 0 elsewhere, with ramps of 30 ms."""
    gate = np.zeros(samples, np.float32)
    for note, following in zip(notes, [*notes[1:], None], strict=True):
        if following is None or following.start - note.end > PHRASE_GAP:
            gate[int(note.start * RATE) : int((note.end + 0.1) * RATE)] = 1.0
    ramp = int(0.03 * RATE)
    total = np.cumsum(np.pad(gate, (ramp, 0)), dtype=np.float64)
    return ((total[ramp:] - total[:-ramp]) / ramp).astype(np.float32)
