"""What is alike for every kind of voice: breaths, the level of consonants, and a take's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..music import Note
from .character import Character

LEAD_IN, RELEASE = 0.12, 0.1
"""Seconds sounding before the first and after the last note of a phrase at most, breath aside."""
LEVEL = -20.0
"""Level of an ordinary note in dBFS."""
VOWEL_LEVEL = -20.0
"""Level of vowels in banks in dB, about."""
HISS = -4.0
"""Level in dB against vowels above which unvoiced consonants are held down."""


@dataclass(frozen=True)
class Chunk:
    """A stretch of sound.

    Args:
        start: index of its first sample in the song; may be negative.
        audio: (L,) float64.
    """

    start: int
    audio: np.ndarray


def breath_length(notes: Sequence[Note], character: Character, rng: np.random.Generator) -> float:
    """Return seconds of breath to take before a phrase, often none.

    Args:
        notes: of the phrase.
        character: gives the probability.
        rng: decides.
    """
    wants = rng.random() < character.breath
    length = float(rng.uniform(0.15, 0.4))
    return length if wants and notes[0].start > length + LEAD_IN else 0.0


def breathe(
    length: int,
    vowel: np.ndarray,
    character: Character,
    f0: np.ndarray,
    envelope: np.ndarray,
    gain: np.ndarray,
    effort: np.ndarray,
) -> None:
    """Turn the first frames of a phrase into a breath, in place.

    Args:
        length: number of frames.
        vowel: (60,) coded envelope of an average vowel of the voice.
        character: gives the level.
        f0: (T,) in Hz.
        envelope: (T, 60) coded.
        gain: (T,) in dB.
        effort: (T,) in dB an octave.
    """
    # The mouth is open and the throat wide: a blurred vowel.
    blurred = vowel.copy()
    blurred[12:] *= 0.3
    envelope[:length] = blurred
    f0[:length] = 0
    effort[:length] = 3.0
    shape = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 0.7
    gain[:length] = LEVEL - VOWEL_LEVEL + character.breath_level + 20 * np.log10(shape)


def consonants(
    gain: np.ndarray,
    effort: np.ndarray,
    level: np.ndarray,
    voiced: np.ndarray,
    character: Character,
) -> tuple[np.ndarray, np.ndarray]:
    """Return gain and effort with those of the consonants adapted to the singer.

    Args:
        gain: (T,) in dB.
        effort: (T,) in dB an octave.
        level: (T,) level in dB of the frames as they were spoken.
        voiced: (T,) bool.
        character: gives the level of consonants.

    Returns:
        Gain and effort, as given.
    """
    gain = gain + np.where(voiced, 0, character.consonants)
    # What a sound engineer's de-esser does: no hiss above the vowels.
    over = gain + level - (LEVEL + HISS)
    gain = np.where(voiced, gain, gain - np.maximum(over, 0) * 0.8)
    # A voice is bright or dark by its throat, which hisses do not pass.
    return gain, np.where(voiced, effort, 0.3 * effort)
