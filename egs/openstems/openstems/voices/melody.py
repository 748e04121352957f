"""Pitch and loudness of sung notes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import signal

from ..music import Note
from .character import Character
from .world import HOP

BREATH = 0.2
"""Shortest rest between two phrases in seconds."""
SHORTEST = 0.06


def phrases(notes: Iterable[Note]) -> tuple[tuple[Note, ...], ...]:
    """Return monophonic groups of notes that are sung in one breath.

    Args:
        notes: notes in order of their starts; of notes that start together the last one is kept.
    """
    groups: list[list[Note]] = []
    for note in notes:
        if groups and note.start - groups[-1][-1].start < SHORTEST:
            continue
        if not groups or note.start - groups[-1][-1].end > BREATH:
            groups.append([note])
        else:
            groups[-1].append(note)
    return tuple(
        tuple(
            # Short gaps within a phrase are closed.
            Note(a.start, a.end if b is None else b.start, a.pitch, a.velocity)
            for a, b in zip(group, [*group[1:], None], strict=True)
        )
        for group in groups
    )


def humanise(
    notes: Sequence[Note], character: Character, rng: np.random.Generator
) -> tuple[Note, ...]:
    """Return the notes with random deviations of their onsets, still legato and in order.

    Args:
        notes: notes of the phrase.
        character: character with the deviation of onsets.
        rng: random generator.
    """
    shortest = min(note.duration for note in notes)
    spread = min(2 * character.timing, 0.3 * shortest)
    shifts = np.clip(rng.normal(0, character.timing + 1e-9, len(notes) + 1), -spread, spread)
    starts = [max(0.0, note.start + shift) for note, shift in zip(notes, shifts[:-1], strict=True)]
    ends = [*starts[1:], notes[-1].end + shifts[-1]]
    return tuple(
        Note(start, end, note.pitch, note.velocity)
        for start, end, note in zip(starts, ends, notes, strict=True)
    )


def wander(frames: int, cutoff: float, rng: np.random.Generator) -> np.ndarray:
    """Return low-pass noise of shape (frames,) with a standard deviation near 1.

    Args:
        frames: number of frames of `HOP` seconds.
        cutoff: upper frequency in Hz.
        rng: random generator.
    """
    pole = np.exp(-2 * np.pi * cutoff * HOP)
    noise = rng.standard_normal(frames + 400)
    return signal.lfilter([np.sqrt(1 - pole**2)], [1, -pole], noise)[400:]


def pitch_curve(
    notes: Sequence[Note],
    times: np.ndarray,
    character: Character,
    rng: np.random.Generator,
    vibrato: bool = True,
) -> np.ndarray:
    """Return the pitch curve of one phrase.

    Args:
        notes: legato notes of the phrase.
        times: (T,) seconds, `HOP` apart; the first and the last pitch hold beyond the notes.
        character: the singer.
        rng: random generator of scoops, vibrato and drift.
        vibrato: whether to add vibrato.

    Returns:
        (T,) MIDI numbers with fractions.
    """
    curve = np.full(len(times), float(notes[0].pitch))
    for before, note in zip(notes, notes[1:], strict=False):
        glide = min(
            character.portamento * float(rng.uniform(0.6, 1.4)),
            0.4 * min(before.duration, note.duration),
            0.12,
        )
        # Singers begin the transition before the beat.
        x = np.clip((times - (note.start - 0.5 * glide)) / max(glide, HOP), 0, 1)
        curve += (note.pitch - before.pitch) * (3 * x**2 - 2 * x**3)
    for number, note in enumerate(notes):
        since = times - note.start
        leap = 4 if number == 0 else note.pitch - notes[number - 1].pitch
        if note.duration > 0.15 and leap >= 3 and rng.random() < character.scoop:
            depth, length = rng.uniform(0.5, 2.0), rng.uniform(0.04, 0.1)
            dip = np.where(
                since < 0, np.exp(-((since / 0.03) ** 2)), np.exp(-((since / length) ** 2))
            )
            curve -= depth * (dip if number else np.where(since < 0, 1.0, dip))
        elif number and abs(leap) >= 2 and note.duration > 0.2:
            size = np.sign(leap) * character.overshoot / 100 * rng.uniform(0.3, 1)
            curve += size * np.where(since > 0, np.exp(-((since - 0.06) ** 2) / 0.0012), 0)
        wants = rng.random() < character.vibrato_probability
        if vibrato and wants and note.duration > 0.35:
            curve += _vibrato(since, note.duration, character, rng)
    curve += character.drift / 100 * wander(len(times), 0.7, rng)
    curve += character.roughness / 100 * wander(len(times), 25.0, rng)
    if notes[-1].duration > 0.3 and rng.random() < character.fall:
        x = np.clip((times - (notes[-1].end - 0.12)) / 0.2, 0, 1)
        curve -= rng.uniform(1, 5) * x**2
    return curve


def _vibrato(
    since: np.ndarray, duration: float, character: Character, rng: np.random.Generator
) -> np.ndarray:
    delay = min(rng.uniform(0.12, 0.4), 0.6 * duration)
    swell = np.clip((since - delay) / rng.uniform(0.1, 0.35), 0, 1)
    swell *= np.clip((duration - since) / 0.06, 0, 1)
    rate = character.vibrato_rate + 0.25 * wander(len(since), 1.0, rng)
    depth = character.vibrato_depth / 100 * rng.uniform(0.5, 1.0)
    return depth * swell * np.sin(2 * np.pi * np.cumsum(rate) * HOP + rng.uniform(0, 2 * np.pi))


def loudness(notes: Sequence[Note], character: Character, rng: np.random.Generator) -> np.ndarray:
    """Return the loudness of each note: an arc over the phrase, more for high notes and accents.

    Args:
        notes: notes of the phrase.
        character: character with the range.
        rng: random generator.

    Returns:
        (N,) in dB, around 0.
    """
    place = (np.arange(len(notes)) + 0.5) / len(notes)
    arc = np.sin(np.pi * place) - 0.5
    pitches = np.array([note.pitch for note in notes], float)
    high = np.clip((pitches - pitches.mean()) / 7, -1, 1)
    accent = (np.array([note.velocity for note in notes]) - 90) / 40
    random = rng.normal(0, 0.35, len(notes)) + rng.normal(0, 0.35)
    return character.dynamics * (0.2 * arc + 0.3 * high + 0.25 * accent + 0.35 * random)
