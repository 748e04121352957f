"""Vocals of a song: a lead, and in some songs and sections additional voices.

Effects are applied later, by `production`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..materials import Materials
from ..music import RATE, Chord, Note, Section
from . import bank, character, melody
from .character import Character
from .choice import record
from .singer import BankPerformer
from .sinsy import SinsyPerformer
from .speakers import available
from .studio import Studio, at_octave, spread

LOUDNESS = 0.1
"""Root mean square of the active tenths of a second, over both channels."""
EXTRAS = {"doubles": 0.32, "stacks": 0.28, "pads": 0.14, "answers": 0.12, "ornaments": 0.15}
"""Share of songs with each addition."""
LOUD_SECTION = 0.65


def sing(
    notes: Sequence[Note],
    voice: dict[str, Any],
    samples: int,
    rng: np.random.Generator,
    *,
    materials: Materials,
    phrases: int,
    chords: Sequence[Chord] = (),
    sections: Sequence[Section] = (),
    cache: Path | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Render a melody with a lead singer and additional voices.

    Args:
        notes: melody, monophonic.
        voice: lead singer, from `choose_voice`.
        samples: length of the song.
        rng: random generator of words, expression and arrangement.
        materials: materials of the build, needed only for voices that are not cached.
        phrases: number of phrases in voice banks; a few are enough for a trial.
        chords: chords for second voices; without them these keep a fixed interval to the melody.
        sections: the form; additions are in choruses and other loud sections. Without it they may
            be anywhere.
        cache: folder for voice banks; by default in the user's cache.

    Returns:
        (2, samples) float32, its active parts at -20 dBFS, and a record of the choices in plain
        types.
    """
    lead = melody.phrases(notes)
    mix = np.zeros((2, samples))
    if not lead:
        return mix.astype(np.float32), {"voice": voice, "octave": 0, "additions": []}
    who = performer(voice, materials, phrases, cache)
    manner = Character(**voice["character"])
    pitches = [note.pitch for phrase in lead for note in phrase]
    octave = round((who.centre(manner) - float(np.median(pitches))) / 12)
    lead = at_octave(lead, octave)
    learnt = who.learn(lead, manner, rng)
    studio = Studio(mix, who, manner, lead, learnt, chords, rng)
    studio.take(
        range(len(lead)), lead, learnt, manner, pan=float(rng.uniform(-0.05, 0.05)), decibels=0
    )
    chosen = {name for name, share in EXTRAS.items() if rng.random() < share}
    loud = _in_sections(lead, sections, rng)
    additions: list[dict[str, Any]] = []
    if "doubles" in chosen and loud:
        additions.append(studio.doubles(loud))
    if "stacks" in chosen and loud:
        additions.append(studio.stacks(loud))
    if "pads" in chosen and chords:
        additions.append(studio.pads(_pad_span(sections, samples, rng)))
    if "ornaments" in chosen:
        additions.append(studio.ornaments(samples / RATE))
    if "answers" in chosen:
        other = _other_singer(voice, materials, rng)
        additions.append(
            studio.answers(samples / RATE, other, performer(other, materials, phrases, cache))
        )
    stereo, width = spread(mix, bool(additions), rng)
    return levelled(stereo), {
        "voice": voice,
        "octave": octave,
        "additions": additions,
        "width": width,
    }


def performer(
    voice: dict[str, Any], materials: Materials, phrases: int, cache: Path | None
) -> BankPerformer | SinsyPerformer:
    """Return the performer of a voice.

    Args:
        voice: voice from `choice.choose_voice`.
        materials: materials of the build.
        phrases: number of phrases in voice banks.
        cache: folder for voice banks.
    """
    if voice["kind"] == "sinsy":
        return SinsyPerformer(voice["alpha"])
    return BankPerformer(bank.load(voice["speaker"], materials, phrases, cache))


def _in_sections(
    lead: Sequence[Sequence[Note]], sections: Sequence[Section], rng: np.random.Generator
) -> list[int]:
    """Return the numbers of the phrases with doubles and stacks."""
    if not sections:
        first = int(rng.integers(0, max(1, len(lead) // 2) + 1))
        return list(range(first, len(lead)))
    loud = [s for s in sections if s.name == "chorus" or s.energy >= LOUD_SECTION]
    return [
        number
        for number, phrase in enumerate(lead)
        if any(section.start - 0.3 <= phrase[0].start < section.end for section in loud)
    ]


def _pad_span(
    sections: Sequence[Section], samples: int, rng: np.random.Generator
) -> tuple[float, float]:
    spans = [(s.start, s.end) for s in sections if s.name in ("chorus", "bridge", "break")]
    if spans:
        return spans[int(rng.integers(len(spans)))]
    seconds = samples / RATE
    start = float(rng.uniform(0, 0.5)) * seconds
    return start, start + 0.5 * seconds


def _other_singer(
    voice: dict[str, Any], materials: Materials, rng: np.random.Generator
) -> dict[str, Any]:
    """Return another singer of the split, or another character of the same speaker."""
    others = [s for s in available(voice["split"], materials) if s.kind != "sinsy"]
    others = [s for s in others if s.name != voice["speaker"]] or others
    if not others:
        return {**voice, "character": character.draw(rng, 0.0).record()}
    return record(others[int(rng.integers(len(others)))], rng)


def levelled(stereo: np.ndarray) -> np.ndarray:
    """Scale the active tenths of a second to `LOUDNESS`."""
    blocks = stereo[:, : stereo.shape[1] // 4410 * 4410].reshape(2, -1, 4410)
    power = (blocks**2).mean(axis=(0, 2)) if blocks.size else np.zeros(0)
    sounding = power[power > 1e-3 * power.max(initial=0)]
    if len(sounding) == 0:
        return stereo.astype(np.float32)
    return (stereo * (LOUDNESS / np.sqrt(sounding.mean()))).astype(np.float32)
