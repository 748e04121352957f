"""Patches of the synthesiser for each role, as plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

SPLIT_WAVES = {
    "train": ("saw", "square", "triangle", "organ"),
    "valid": ("pulse",),
    "test": ("fm",),
}
"""Waves of each split, which other splits do not use."""

SHAPES = {
    "bass": ("bass",),
    "guitar": ("pluck",),
    "keys": ("keys", "pluck"),
    "pad": ("pad",),
    "strings": ("pad", "ensemble"),
    "lead": ("lead",),
    "brass": ("stab",),
}
"""Shapes of each role."""

# Ranges, drawn uniformly: seconds, octaves, cents, Hz (drawn in octaves), shares.
_SHAPES: dict[str, dict[str, tuple[float, float]]] = {
    "bass": {
        "attack": (0.002, 0.01), "decay": (0.15, 0.8), "sustain": (0.3, 1.0),
        "release": (0.02, 0.09), "cutoff": (350, 2500), "sweep": (0.5, 3.5),
        "filter_decay": (0.08, 0.5), "detune": (3, 12), "voices": (1, 3), "width": (0.0, 0.9),
        "sub": (0.0, 0.4), "drive": (0.3, 4.0), "vibrato": (0, 0),
    },
    "keys": {
        "attack": (0.002, 0.008), "decay": (0.5, 2.0), "sustain": (0.1, 0.7),
        "release": (0.08, 0.4), "cutoff": (600, 3500), "sweep": (0.3, 2.0),
        "filter_decay": (0.2, 0.9), "detune": (2, 9), "voices": (1, 3), "width": (0.3, 1.0),
        "sub": (0.0, 0.0), "drive": (0.0, 0.8), "vibrato": (0, 0),
    },
    "pluck": {
        "attack": (0.001, 0.004), "decay": (0.15, 0.5), "sustain": (0.0, 0.2),
        "release": (0.08, 0.3), "cutoff": (500, 2500), "sweep": (1.0, 3.5),
        "filter_decay": (0.06, 0.3), "detune": (3, 14), "voices": (1, 3), "width": (0.4, 1.0),
        "sub": (0.0, 0.0), "drive": (0.0, 1.0), "vibrato": (0, 0),
    },
    "pad": {
        "attack": (0.08, 0.6), "decay": (0.5, 2.0), "sustain": (0.6, 1.0), "release": (0.3, 1.2),
        "cutoff": (500, 3000), "sweep": (0.5, 2.5), "filter_decay": (0.5, 2.0), "detune": (7, 22),
        "voices": (3, 4), "width": (0.7, 1.0), "sub": (0.0, 0.0), "drive": (0.0, 0.5),
        "vibrato": (0, 8),
    },
    "ensemble": {
        "attack": (0.04, 0.2), "decay": (0.5, 2.0), "sustain": (0.7, 1.0), "release": (0.15, 0.5),
        "cutoff": (1500, 5000), "sweep": (0.2, 1.0), "filter_decay": (0.3, 1.0),
        "detune": (8, 18), "voices": (3, 4), "width": (0.6, 1.0), "sub": (0.0, 0.0),
        "drive": (0.0, 0.3), "vibrato": (5, 20),
    },
    "lead": {
        "attack": (0.004, 0.03), "decay": (0.3, 1.0), "sustain": (0.5, 0.9),
        "release": (0.05, 0.25), "cutoff": (800, 5000), "sweep": (0.3, 2.5),
        "filter_decay": (0.1, 0.6), "detune": (4, 14), "voices": (1, 3), "width": (0.1, 0.9),
        "sub": (0.0, 0.0), "drive": (0.0, 2.5), "vibrato": (5, 30),
    },
    "stab": {
        "attack": (0.01, 0.05), "decay": (0.2, 0.6), "sustain": (0.6, 0.9),
        "release": (0.05, 0.2), "cutoff": (700, 2500), "sweep": (0.8, 2.2),
        "filter_decay": (0.1, 0.4), "detune": (5, 14), "voices": (2, 3), "width": (0.3, 0.9),
        "sub": (0.0, 0.0), "drive": (0.2, 1.2), "vibrato": (0, 12),
    },
}  # fmt: skip
_MOVING = {"bass": 0.3, "pad": 0.5, "ensemble": 0.1, "lead": 0.2}


def parameters(shape: str, wave: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return the random parameters of `synthesizer.render` as plain numbers.

    Args:
        shape: one of the shapes in `SHAPES`.
        wave: one of the waves in `SPLIT_WAVES`.
        rng: random stream.
    """
    patch: dict[str, Any] = {
        name: round(float(rng.uniform(low, high)), 4)
        for name, (low, high) in _SHAPES[shape].items()
        if name not in ("cutoff", "voices")
    }
    low, high = _SHAPES[shape]["cutoff"]
    patch["cutoff"] = round(float(low * (high / low) ** rng.random()), 1)
    low, high = _SHAPES[shape]["voices"]
    patch["voices"] = int(rng.integers(low, high + 1))
    moving = ("lfo", "sweep")[int(rng.random() < 0.3)]
    still = "envelope" if rng.random() < 0.85 else "fixed"
    patch["filter"] = moving if rng.random() < _MOVING.get(shape, 0.0) else still
    patch["filter_rate"] = round(float(0.06 * 60 ** rng.random()), 4)
    patch["resonance"] = round(float(rng.uniform(0, 3.5) ** 2 / 3.5), 2)
    patch["tracking"] = round(float(rng.uniform(0.2, 0.7)), 3)
    patch["glide"] = round(float(rng.uniform(0.01, 0.06)), 4) if _glides(shape, rng) else 0.0
    patch["vibrato_rate"] = round(float(rng.uniform(4.2, 6.2)), 3)
    patch["pulse"] = round(float(rng.uniform(0.08, 0.35)), 3)
    patch["fm_ratio"] = int(rng.choice([1, 1, 2, 3, 4] if shape != "bass" else [1, 1, 2]))
    patch["fm_depth"] = round(float(rng.uniform(0.8, 3.0)), 3)
    patch["grit"] = round(float(rng.uniform(0.03, 0.35)), 3) if shape == "bass" else 0.0
    patch["touch"] = round(float(rng.uniform(0.8, 1.6)), 3)
    patch["wave"] = wave
    patch["shape"] = shape
    return patch


def _glides(shape: str, rng: np.random.Generator) -> bool:
    return bool(rng.random() < {"bass": 0.25, "lead": 0.35}.get(shape, 0.0))
