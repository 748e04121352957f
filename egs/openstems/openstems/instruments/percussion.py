"""Roles of General MIDI's percussion pitches, and mixing of strokes into a stem."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

import numpy as np

from openstems.instruments.sampling import add_at, without_offset
from openstems.music import RATE

_ROLE_PITCHES = {
    "kick": (35, 36), "stick": (31, 37), "snare": (38, 40), "clap": (39,), "closed_hat": (42,),
    "pedal_hat": (44,), "open_hat": (46,), "low_tom": (41, 43), "mid_tom": (45, 47),
    "high_tom": (48, 50), "crash": (49, 52, 57), "splash": (55,), "ride": (51, 59),
    "ride_bell": (53,), "tambourine": (54,), "cowbell": (56, 67, 68), "shaker": (69, 70, 82),
    "conga": (60, 61, 62, 63, 64, 65, 66), "block": (75, 76, 77),
}  # fmt: skip
ROLE_OF_PITCH = {pitch: role for role, pitches in _ROLE_PITCHES.items() for pitch in pitches}
"""Role of each General MIDI percussion pitch; other pitches stay silent."""

FALLBACKS = {
    "stick": ("snare",), "clap": ("snare",), "closed_hat": ("pedal_hat", "open_hat"),
    "pedal_hat": ("closed_hat", "open_hat"), "open_hat": ("crash", "ride", "closed_hat"),
    "low_tom": ("mid_tom", "high_tom", "kick"), "mid_tom": ("low_tom", "high_tom", "snare"),
    "high_tom": ("mid_tom", "low_tom", "snare"), "crash": ("splash", "ride", "open_hat"),
    "splash": ("crash", "open_hat"), "ride": ("ride_bell", "crash", "closed_hat"),
    "ride_bell": ("ride", "cowbell"), "tambourine": ("shaker", "closed_hat"),
    "cowbell": ("block", "stick"), "shaker": ("tambourine", "closed_hat"),
    "conga": ("high_tom", "mid_tom"), "block": ("stick", "cowbell"),
}  # fmt: skip
"""Replacements of roles that a kit lacks, the nearest first."""

PAN = {
    "closed_hat": 0.35, "pedal_hat": 0.35, "open_hat": 0.35, "low_tom": -0.45, "mid_tom": -0.1,
    "high_tom": 0.3, "crash": -0.5, "splash": 0.4, "ride": 0.5, "ride_bell": 0.5, "tambourine": 0.4,
    "cowbell": -0.3, "shaker": -0.4, "conga": 0.3, "block": 0.45, "snare": 0.04,
}  # fmt: skip
"""Pan of each role as seen by the drummer, -1 to 1; others are in the middle."""

_HATS = ("closed_hat", "pedal_hat", "open_hat")
_CHOKE = round(0.025 * RATE)


@dataclass(frozen=True)
class Hit:
    """Stroke on a drum.

    Args:
        start: first sample.
        role: role of the drum.
        sound: shape (L,) or (2, L).
        gain: linear gain.
        pan: -1 to 1.
    """

    start: int
    role: str
    sound: np.ndarray
    gain: float
    pan: float


def role_for(role: str, available: Container[str]) -> str | None:
    """Return `role` or its nearest available replacement; None if there is none."""
    return next((name for name in (role, *FALLBACKS.get(role, ())) if name in available), None)


def mix(hits: Iterable[Hit], samples: int) -> np.ndarray:
    """Mix strokes into a stem (2, samples); the next stroke on the hi-hat ends an open one."""
    stem = np.zeros((2, samples), np.float32)
    closing: int | None = None
    for hit in sorted(hits, key=lambda hit: hit.start, reverse=True):
        sound = hit.sound
        if hit.role in _HATS:
            if closing is not None and hit.role == "open_hat":
                sound = _choked(sound, closing - hit.start)
            closing = hit.start
        add_at(stem, sound, hit.start, hit.gain, hit.pan)
    return without_offset(stem)


def _choked(sound: np.ndarray, length: int) -> np.ndarray:
    if length + _CHOKE >= sound.shape[-1]:
        return sound
    sound = sound[..., : length + _CHOKE].copy()
    sound[..., length:] *= np.linspace(1, 0, _CHOKE, dtype=np.float32) ** 2
    return sound
