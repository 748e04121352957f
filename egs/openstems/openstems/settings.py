"""Settings of songs."""

from __future__ import annotations

from dataclasses import dataclass, field

from .materials import Materials
from .splits import SPLITS

VOICE_PHRASES = 48
"""Default number of phrases from which a voice is built."""


@dataclass(frozen=True)
class SongSettings:
    """Settings of the songs of a split, which determine a song together with its number.

    Args:
        split: "train", "valid" or "test", which have different pieces, instruments and voices.
        seconds: length of a song.
        seed: seed of all random choices.
        materials: materials of the songs.
        voice_phrases: phrases from which each voice is built; a few are enough for a trial.
    """

    split: str = "train"
    seconds: float = 30.0
    seed: int = 1
    materials: Materials = field(default_factory=Materials)
    voice_phrases: int = VOICE_PHRASES

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"split must be among {SPLITS}, got {self.split!r}")
