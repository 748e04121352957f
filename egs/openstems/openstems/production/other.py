"""Mixing of the instruments of `other`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..effects import dynamics, process
from ..effects.dynamics import amplitude, set_active_level
from ..music import Note
from . import draws
from .draws import Link, chance, link, spread, uniform

LEVEL = -20.0
# Mean levels relative to each other in dB; "recording" is a recorded guitar.
BALANCE = {
    "guitar": 0.0,
    "recording": 0.0,
    "keys": -1.5,
    "pad": -4.0,
    "strings": -3.0,
    "lead": -1.0,
    "brass": -2.0,
}


@dataclass(frozen=True)
class Track:
    """Rendered part.

    Args:
        role: role of the part, or "recording".
        sound: shape (2, L), float32.
        notes: notes of the part.
        program: its General MIDI program.
        name: distinguishes tracks of one role.
        wide: whether it is spread over left and right already, as two takes are.
        amplified: whether it has passed through an amplifier already.
    """

    role: str
    sound: np.ndarray
    notes: tuple[Note, ...] = ()
    program: int = 0
    name: str = ""
    wide: bool = False
    amplified: bool = False

    @property
    def distorted(self) -> bool:
        """Return whether it is an overdriven or distorted guitar of General MIDI."""
        return self.program in (29, 30)


def draw(track: Track, rng: np.random.Generator, room: Link, tempo: float) -> dict[str, Any]:
    """Return random settings of the mix of an instrument.

    Args:
        track: the instrument.
        rng: random generator.
        room: reverberation that all stems share.
        tempo: beats per minute, for echoes.

    Returns:
        Arguments of `mix`, in plain types.
    """
    role = track.role
    chain = [
        link("high_pass", frequency=spread(rng, 60, 170)),
        *draws.bells(rng, 2),
        *(_COLOURS[role](rng, track) if role in _COLOURS else ()),
        draws.compressor(rng, (-20, -8), 3.0),
        *_place(rng, track, room, tempo),
    ]
    level = BALANCE[role] + float(np.clip(rng.normal(0, 2.0), -4, 4))
    pump = None
    if role in ("pad", "keys", "strings") and chance(rng, 0.2):
        pump = {"depth": uniform(rng, 3, 14), "recovery": uniform(rng, 0.12, 0.4)}
    return {"chain": chain, "level": round(level, 2), "pump": pump}


def mix(
    sound: np.ndarray,
    chain: Sequence[Link],
    level: float,
    pump: Mapping[str, float] | None,
    kicks: Sequence[float],
) -> np.ndarray:
    """Mix one instrument.

    Args:
        sound: shape (2, L).
        chain: effects.
        level: level relative to the other instruments in dB.
        pump: depth in dB and recovery in seconds of ducking by the kicks, or None.
        kicks: times of the kicks in seconds.

    Returns:
        Shape (2, L), float32.
    """
    mixed = process(set_active_level(sound, LEVEL), chain)
    if pump:
        mixed = dynamics.duck(mixed, kicks, pump["depth"], pump["recovery"])
    return set_active_level(mixed, LEVEL) * np.float32(amplitude(level))


def draw_bus(rng: np.random.Generator, room: Link) -> list[Link]:
    """Return random effects for the sum of the instruments."""
    chain = [link("widen", factor=uniform(rng, 0.5, 1.0)), *draws.bells(rng, 1, 2.0)]
    chain.append(draws.compressor(rng, (-16, -8), 2.0))
    chain.append(draws.send(rng, -22, -10, room))
    return chain


def _guitar(rng: np.random.Generator, track: Track) -> list[Link]:
    distorted = track.distorted
    chain = []
    if not track.amplified and (distorted or chance(rng, 0.45)):
        chain.append(
            link(
                "amplify",
                drive=uniform(rng, 10, 28) if distorted else uniform(rng, 4, 16),
                tone=uniform(rng, 0, 8),
                cabinet=spread(rng, 3500, 6000),
                mix=uniform(rng, 0.5, 1.0),
            )
        )
    if chance(rng, 0.25):
        chain.append(_chorus(rng))
    if not track.wide and chance(rng, 0.8 if distorted else 0.45):
        # The copies replace further takes.
        chain.append(
            link("double", seed=draws.seed(rng), amount=uniform(rng, 0.4, 1.0), spread=1.0)
        )
    return chain


def _keys(rng: np.random.Generator, track: Track) -> list[Link]:
    chain = []
    if chance(rng, 0.25):
        chain.append(link("saturate", drive=uniform(rng, 2, 10), asymmetry=uniform(rng, 0, 0.3)))
    if chance(rng, 0.3):
        chain.append(_chorus(rng))
    if chance(rng, 0.1):
        chain.append(link("wow", seed=draws.seed(rng), depth=spread(rng, 0.0002, 0.001)))
    return chain


def _pad(rng: np.random.Generator, track: Track) -> list[Link]:
    chain = [link("low_pass", frequency=spread(rng, 3000, 14000))]
    if chance(rng, 0.6):
        chain.append(_chorus(rng))
    chain.append(link("widen", factor=uniform(rng, 0.8, 1.3)))
    return chain


def _strings(rng: np.random.Generator, track: Track) -> list[Link]:
    chain = [link("high_shelf", frequency=6000.0, gain=uniform(rng, -4, 3))]
    if chance(rng, 0.4):
        chain.append(link("double", seed=draws.seed(rng), amount=uniform(rng, 0.4, 1.0)))
    return chain


def _lead(rng: np.random.Generator, track: Track) -> list[Link]:
    chain = []
    if chance(rng, 0.5):
        chain.append(link("saturate", drive=uniform(rng, 3, 14), asymmetry=uniform(rng, 0, 0.2)))
    if chance(rng, 0.4):
        chain.append(link("double", seed=draws.seed(rng), amount=uniform(rng, 0.3, 1.0)))
    return chain


def _brass(rng: np.random.Generator, track: Track) -> list[Link]:
    if not chance(rng, 0.4):
        return []
    return [link("saturate", drive=uniform(rng, 1, 8)), _chorus(rng)]


_COLOURS = {
    "guitar": _guitar,
    "keys": _keys,
    "pad": _pad,
    "strings": _strings,
    "lead": _lead,
    "brass": _brass,
}


def _place(rng: np.random.Generator, track: Track, room: Link, tempo: float) -> list[Link]:
    """Return the spatial effects of an instrument: pan, echoes and reverberation."""
    role = track.role
    reach = 0.1 if track.wide or role == "pad" else 0.6
    chain = [link("pan", position=uniform(rng, -reach, reach))]
    if chance(rng, {"lead": 0.6, "guitar": 0.25, "keys": 0.25}.get(role, 0.1)):
        beats = float(rng.choice([0.5, 0.75, 1.0, 1.5]))
        chain.append(
            link(
                "delay",
                seconds=round(min(beats * 60 / tempo, 1.0), 4),
                feedback=uniform(rng, 0.1, 0.5),
                mix=uniform(rng, 0.1, 0.35),
                cutoff=spread(rng, 2000, 7000),
                ping_pong=chance(rng, 0.5),
            )
        )
    if chance(rng, {"pad": 0.6, "strings": 0.7, "lead": 0.4}.get(role, 0.2)):
        hall = draws.room(rng, (1.0, 3.0), early=uniform(rng, 0.0, 0.15))
        chain.append(draws.send(rng, -16, -4, hall))
    return chain


def _chorus(rng: np.random.Generator) -> Link:
    return link(
        "chorus",
        rate=spread(rng, 0.2, 2.0),
        depth=spread(rng, 0.0008, 0.004),
        delay=uniform(rng, 0.008, 0.02),
        mix=uniform(rng, 0.3, 0.8),
    )
