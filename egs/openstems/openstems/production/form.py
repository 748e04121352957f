"""The form of a production: absent stems, pauses of some bars, and the loudness of sections."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter1d

from ..effects.dynamics import HOP, apply_gain
from ..music import RATE, STEMS, Part, Score
from . import draws

# Shares of songs without a stem.
ABSENT = {"vocals": 0.13, "drums": 0.03, "bass": 0.03}
# Events of 2 to 8 bars: their probabilities, and the stems that are silent.
PAUSES = (
    ("instrumental", 0.30, ("vocals",)),
    ("breakdown", 0.20, ("drums",)),
    ("no bass", 0.14, ("bass",)),
    ("drums and bass", 0.08, ("vocals", "other")),
    ("drums and vocals", 0.08, ("bass", "other")),
    ("a cappella", 0.10, ("drums", "bass", "other")),
    ("quiet", 0.10, ("drums", "bass")),
)


def stem_of(role: str) -> str:
    """Return the stem of a role."""
    return role if role in STEMS else "other"


def arrange(score: Score, rng: np.random.Generator) -> tuple[Score, dict[str, Any]]:
    """Remove stems from a score, some for the whole song, some for 2 to 8 bars.

    Notes that start in a pause are dropped. Notes that reach into it end at its start, so that
    their sound rings out.

    Args:
        score: the song.
        rng: random generator.

    Returns:
        The reduced score and a record of what was removed.
    """
    absent = [stem for stem, share in ABSENT.items() if draws.chance(rng, share)]
    pauses = []
    # About one event per half minute.
    for _ in range(int(rng.poisson(score.seconds / 40))):
        pause = _pause(score, rng)
        if pause and not any(
            pause["start"] < p["end"] and p["start"] < pause["end"] for p in pauses
        ):
            pauses.append(pause)
    parts = []
    for part in score.parts:
        stem = stem_of(part.role)
        spans = [(p["start"], p["end"]) for p in pauses if stem in p["silent"]]
        kept = part if stem not in absent else replace(part, notes=())
        for start, end in spans:
            kept = without(kept, start, end)
        if kept.notes:
            parts.append(kept)
    return replace(score, parts=tuple(parts)), {"absent": absent, "pauses": pauses}


def without(part: Part, start: float, end: float) -> Part:
    """Return a part that is silent between two times in seconds."""
    notes = []
    for note in part.notes:
        if start <= note.start < end:
            continue
        if note.start < start < note.end:
            note = replace(note, end=start)
        notes.append(note)
    return replace(part, notes=tuple(notes))


def silence(sound: np.ndarray, stem: str, pauses: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return a recorded sound, silenced in the pauses of its stem.

    Args:
        sound: shape (2, L), float32.
        stem: name of its stem.
        pauses: pauses as recorded by `arrange`.

    Returns:
        Shape (2, L), float32.
    """
    gain = np.ones(-(-sound.shape[-1] // HOP))
    for pause in pauses:
        if stem in pause["silent"]:
            start, end = (int(pause[edge] * RATE / HOP) for edge in ("start", "end"))
            gain[start:end] = 0
    return apply_gain(sound, uniform_filter1d(gain, 9, mode="nearest"))


def section_gain(score: Score, depth: float) -> np.ndarray:
    """Return the loudness of the sections as a gain curve.

    Args:
        score: the song.
        depth: difference between sections of energy 0 and 1 in dB.

    Returns:
        One gain per hop for `effects.dynamics.apply_gain`; 1 in the most energetic section.
    """
    hops = -(-int(round(score.seconds * RATE)) // HOP) + 1
    level = np.zeros(hops)
    highest = max((section.energy for section in score.sections), default=1.0)
    for section in score.sections:
        start, end = (int(time * RATE / HOP) for time in (section.start, section.end))
        level[start:end] = depth * (section.energy - highest)
    # The gain changes within about 60 ms.
    width = 41
    padded = np.pad(level, width // 2, mode="edge")
    smooth = np.convolve(padded, np.full(width, 1 / width), mode="valid")
    return 10 ** (smooth / 20)


def balance(rng: np.random.Generator) -> dict[str, float]:
    """Return random levels of the active parts of the stems in dBFS."""
    targets = {"vocals": -21.0, "drums": -20.5, "bass": -19.8, "other": -21.5}
    sigmas = {"vocals": 2.5, "drums": 2.5, "bass": 2.5, "other": 3.0}
    return {
        stem: round(float(np.clip(rng.normal(level, sigmas[stem]), level - 7, level + 7)), 2)
        for stem, level in targets.items()
    }


def _pause(score: Score, rng: np.random.Generator) -> dict[str, Any] | None:
    names, shares, silent = zip(*PAUSES, strict=True)
    choice = int(rng.choice(len(PAUSES), p=np.array(shares) / sum(shares)))
    count = int(rng.choice([2, 4, 8], p=[0.4, 0.45, 0.15]))
    # A pause must leave some of the stem; songs without a stem are drawn elsewhere.
    count = min(count, len(score.bars) // 3)
    if count < 1:
        return None
    first = int(rng.integers(0, len(score.bars) - count + 1))
    last = first + count
    end = score.bars[last] if last < len(score.bars) else score.seconds
    return {
        "name": names[choice],
        "start": round(float(score.bars[first]), 4),
        "end": round(float(end), 4),
        "silent": list(silent[choice]),
    }
