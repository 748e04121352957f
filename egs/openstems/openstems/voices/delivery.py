"""Parts of singing that all kinds of voices share: breaths, levels of consonants, chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..music import RATE, Note
from . import world
from .character import Character
from .world import HOP

LEAD_IN, RELEASE = 0.12, 0.1
"""Largest extent of the sound before and after the notes of a phrase in seconds, without breath."""
LEVEL = -20.0
"""Mean level of a note in dBFS."""
VOWEL_LEVEL = -20.0
"""Approximate level of vowels in banks in dB."""
HISS = -4.0
"""Level relative to vowels in dB above which unvoiced consonants are attenuated."""


@dataclass(frozen=True)
class Chunk:
    """Sound at a position in the song.

    Args:
        start: first sample in the song, possibly negative.
        audio: (L,) float64.
    """

    start: int
    audio: np.ndarray


def span(
    notes: Sequence[Note], character: Character, rng: np.random.Generator
) -> tuple[int, int, np.ndarray]:
    """Return the extent of a phrase with its lead-in, often with a breath before it.

    Args:
        notes: notes of the phrase.
        character: character with the probability of a breath.
        rng: random generator.

    Returns:
        Frames of the breath, often 0; first frame in the song; and the times of all frames in
        seconds.
    """
    wants = rng.random() < character.breath
    length = float(rng.uniform(0.15, 0.4))
    breath = length if wants and notes[0].start > length + LEAD_IN else 0.0
    begin = int(np.floor((notes[0].start - LEAD_IN - breath) / HOP))
    end = int(np.ceil((notes[-1].end + RELEASE) / HOP))
    return round(breath / HOP), begin, np.arange(begin, end) * HOP


def chunk(
    begin: int,
    f0: np.ndarray,
    frames: world.Frames,
    gain: np.ndarray,
    effort: np.ndarray,
    character: Character,
) -> Chunk:
    """Synthesise a phrase from its first frame in the song, with the timbre of a singer."""
    audio = world.synthesise(
        f0, frames.envelope, frames.aperiodicity, gain, effort,
        character.formant, character.presence, character.breathiness,
    )  # fmt: skip
    return Chunk(round(begin * HOP * RATE), audio)


def breathe(
    length: int,
    vowel: np.ndarray,
    character: Character,
    f0: np.ndarray,
    envelope: np.ndarray,
    gain: np.ndarray,
    effort: np.ndarray,
) -> None:
    """Replace the first frames of a phrase by a breath, in place.

    Args:
        length: number of frames.
        vowel: (60,) coded envelope of an average vowel of the voice.
        character: character with the level of breaths.
        f0: (T,) in Hz.
        envelope: (T, 60) coded.
        gain: (T,) in dB.
        effort: (T,) in dB an octave.
    """
    # The spectrum of a breath is a smoothed vowel.
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
    """Return gain and effort with consonants adapted to the singer.

    Args:
        gain: (T,) in dB.
        effort: (T,) in dB an octave.
        level: (T,) level of the frames in the speech in dB.
        voiced: (T,) bool.
        character: character with the level of consonants.

    Returns:
        Gain and effort in the same form.
    """
    gain = gain + np.where(voiced, 0, character.consonants)
    # Attenuates hisses that are louder than vowels, like a de-esser.
    over = gain + level - (LEVEL + HISS)
    gain = np.where(voiced, gain, gain - np.maximum(over, 0) * 0.8)
    # The effort mostly changes voiced sounds: hisses arise in front of the throat.
    return gain, np.where(voiced, effort, 0.3 * effort)
