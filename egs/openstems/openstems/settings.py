"""What decides how a song sounds, besides its number."""

from __future__ import annotations

from dataclasses import dataclass, field

from .materials import Materials
from .splits import SPLITS

VOICE_PHRASES = 48
"""Phrases that a voice is learnt from, ordinarily."""


@dataclass(frozen=True)
class SongSettings:
    """Settings of the songs of one split; with a song's number they decide every sample of it.

    Args:
        split: "train", "valid" or "test": which pieces, instruments and voices may be used.
        seconds: length of a song.
        seed: of all choices.
        materials: what songs may be made from.
        voice_phrases: phrases that each voice is learnt from, once; a few make a quick trial.
    """

    split: str = "train"
    seconds: float = 30.0
    seed: int = 1
    materials: Materials = field(default_factory=Materials)
    voice_phrases: int = VOICE_PHRASES

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"split must be among {SPLITS}, got {self.split!r}")
