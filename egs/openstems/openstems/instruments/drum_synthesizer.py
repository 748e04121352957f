"""Synthetic drums: oscillators, noise and envelopes, like drum machines or recorded drums.

The kit of a song is a dict of random numbers. Each drum is rendered once for four strengths and a
few variants; the strokes of a song are copies of these.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from openstems.instruments import percussion
from openstems.instruments.drum_voices import VOICES, room_tail
from openstems.instruments.percussion import Hit
from openstems.music import RATE, Note
from openstems.randomness import generator

SPLIT_MODES = {
    "train": ("deep", "punchy", "acoustic", "dusty"),
    "valid": ("arena",),
    "test": ("metal",),
}
"""Modes of each split."""

# Ranges: kick pitch in Hz, pitch sweep in octaves, decays in seconds, shares 0..1.
_MODES: dict[str, dict[str, tuple[float, float]]] = {
    "deep": {
        "kick_pitch": (40, 56), "kick_sweep": (0.6, 1.8), "kick_decay": (0.25, 0.8),
        "kick_click": (0.02, 0.2), "kick_sub": (0.3, 0.7), "snare_pitch": (165, 230),
        "snare_decay": (0.1, 0.22), "snare_noise": (0.5, 0.8), "metal": (0.7, 1.0),
        "hat_decay": (0.03, 0.08), "cymbal_decay": (0.5, 1.2), "drive": (0.5, 2.0),
        "room": (0.0, 0.06), "crush": (0.0, 0.0),
    },
    "punchy": {
        "kick_pitch": (48, 66), "kick_sweep": (1.6, 2.8), "kick_decay": (0.16, 0.4),
        "kick_click": (0.2, 0.6), "kick_sub": (0.1, 0.4), "snare_pitch": (180, 260),
        "snare_decay": (0.12, 0.25), "snare_noise": (0.6, 0.9), "metal": (0.4, 0.8),
        "hat_decay": (0.03, 0.09), "cymbal_decay": (0.8, 1.8), "drive": (1.0, 3.0),
        "room": (0.0, 0.1), "crush": (0.0, 0.0),
    },
    "acoustic": {
        "kick_pitch": (50, 72), "kick_sweep": (0.5, 1.2), "kick_decay": (0.12, 0.3),
        "kick_click": (0.15, 0.5), "kick_sub": (0.1, 0.5), "snare_pitch": (170, 250),
        "snare_decay": (0.12, 0.3), "snare_noise": (0.55, 0.8), "metal": (0.1, 0.4),
        "hat_decay": (0.04, 0.1), "cymbal_decay": (1.2, 2.8), "drive": (0.2, 1.0),
        "room": (0.1, 0.35), "crush": (0.0, 0.0),
    },
    "dusty": {
        "kick_pitch": (50, 70), "kick_sweep": (0.8, 1.8), "kick_decay": (0.12, 0.3),
        "kick_click": (0.05, 0.3), "kick_sub": (0.2, 0.5), "snare_pitch": (170, 240),
        "snare_decay": (0.09, 0.2), "snare_noise": (0.5, 0.85), "metal": (0.2, 0.7),
        "hat_decay": (0.03, 0.07), "cymbal_decay": (0.5, 1.3), "drive": (1.0, 3.5),
        "room": (0.03, 0.2), "crush": (0.4, 1.0),
    },
    "arena": {
        "kick_pitch": (46, 62), "kick_sweep": (1.0, 2.0), "kick_decay": (0.2, 0.45),
        "kick_click": (0.3, 0.7), "kick_sub": (0.2, 0.6), "snare_pitch": (150, 200),
        "snare_decay": (0.2, 0.4), "snare_noise": (0.6, 0.85), "metal": (0.15, 0.4),
        "hat_decay": (0.05, 0.12), "cymbal_decay": (1.8, 3.2), "drive": (0.6, 1.6),
        "room": (0.35, 0.6), "crush": (0.0, 0.0),
    },
    "metal": {
        "kick_pitch": (52, 72), "kick_sweep": (2.2, 3.4), "kick_decay": (0.1, 0.22),
        "kick_click": (0.5, 0.9), "kick_sub": (0.3, 0.6), "snare_pitch": (210, 300),
        "snare_decay": (0.08, 0.18), "snare_noise": (0.4, 0.7), "metal": (0.85, 1.0),
        "hat_decay": (0.02, 0.06), "cymbal_decay": (0.9, 2.0), "drive": (2.5, 5.0),
        "room": (0.05, 0.2), "crush": (0.0, 0.3),
    },
}  # fmt: skip
_STRENGTHS = 4
_VARIANTS = 3
_GAINS = {
    "kick": 0.55, "snare": 0.7, "clap": 0.5, "stick": 0.4, "closed_hat": 0.15, "pedal_hat": 0.12,
    "open_hat": 0.15, "low_tom": 0.55, "mid_tom": 0.5, "high_tom": 0.45, "crash": 0.22,
    "splash": 0.25, "ride": 0.2, "ride_bell": 0.22, "tambourine": 0.16, "cowbell": 0.25,
    "shaker": 0.12, "conga": 0.4, "block": 0.3,
}  # fmt: skip


def parameters(mode: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return the random parameters of a kit as plain numbers.

    Args:
        mode: one of the modes in `SPLIT_MODES`.
        rng: random stream.
    """
    kit: dict[str, Any] = {
        name: round(float(rng.uniform(low, high)), 4) for name, (low, high) in _MODES[mode].items()
    }
    kit["mode"] = mode
    kit["seed"] = int(rng.integers(2**31))
    kit["tune"] = round(float(rng.uniform(-2.5, 2.5)), 3)
    kit["bright"] = round(float(rng.uniform(0.75, 1.25)), 4)
    kit["width"] = round(float(rng.uniform(0.2, 1.0)), 4) * (-1 if rng.random() < 0.5 else 1)
    kit["gains"] = {role: round(float(rng.normal(0, 1.5)), 3) for role in _GAINS}
    return kit


def render(
    notes: Iterable[Note], samples: int, kit: dict[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Render a drum part.

    Args:
        notes: notes with General MIDI percussion pitches.
        samples: length of the result.
        kit: result of `parameters`.
        rng: random stream of the small differences between strokes.

    Returns:
        Float32 of shape (2, samples).
    """
    sounds: dict[tuple[str, int, int, int], np.ndarray] = {}
    hits = []
    for note in notes:
        role = percussion.ROLE_OF_PITCH.get(note.pitch)
        variant, jitter = int(rng.integers(_VARIANTS)), float(rng.normal(0, 0.6))
        if role is None:
            continue
        strength = min(note.velocity * _STRENGTHS // 128, _STRENGTHS - 1)
        key = (role, note.pitch, strength, variant)
        if key not in sounds:
            sounds[key] = _sound(kit, *key)
        # The timbre depends on the class of the velocity, the level on the velocity itself.
        decibels = jitter + kit["gains"][role]
        gain = _GAINS[role] * (note.velocity / 127) ** 1.5 * 10 ** (decibels / 20)
        pan = percussion.PAN.get(role, 0.0) * kit["width"]
        hits.append(Hit(round(note.start * RATE), role, sounds[key], gain, pan))
    return percussion.mix(hits, samples)


def _sound(kit: dict[str, Any], role: str, pitch: int, strength: int, variant: int) -> np.ndarray:
    """Return one stroke at full level, mono, or stereo if it has a room."""
    rng = generator(kit["seed"], role, pitch, strength, variant)
    hardness = (strength + 1) / _STRENGTHS
    sound = VOICES[role](kit, role, hardness, rng)
    sound = _processed(sound, kit, role)
    if kit["room"] > 0.02:
        sound = room_tail(sound, kit["room"], kit["bright"], rng)
    return sound


def _processed(sound: np.ndarray, kit: dict[str, Any], role: str) -> np.ndarray:
    """Apply drive, the loss of old samplers and a fade-out; the peak becomes 1."""
    sound = sound / (np.abs(sound).max() + 1e-9)
    if role in ("kick", "snare", "low_tom", "mid_tom", "high_tom", "clap"):
        sound = np.tanh(sound * (0.5 + kit["drive"])) / np.tanh(0.5 + kit["drive"])
    if kit["crush"] > 0.05:
        step = 2.0 ** -(12 - 5 * kit["crush"])
        sound = np.round(sound / step) * step
        hold = 2 if kit["crush"] > 0.5 else 1
        sound = np.repeat(sound[::hold], hold)[: len(sound)]
    fade = min(len(sound) // 4, 2000)
    sound[-fade:] *= np.linspace(1, 0, fade)
    return sound.astype(np.float32)
