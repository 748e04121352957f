"""Sounds of the real validation songs, with their origins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..effects.space import reverberate
from ..errors import UserError
from ..instruments.note_libraries import available, open_library
from ..instruments.recordings import excerpt
from ..instruments.sampling import opened
from ..materials import Materials, find
from ..music import RATE, Note
from ..voices.arrangement import levelled
from ..voices.phrases import MATERIAL as PHRASES
from ..voices.phrases import PhraseSet, read_phrase

BASS_ROOTS = (28, 31, 33, 35, 38, 40)
"""MIDI notes of the roots of the bass line, E1 to E2."""


class Sound(NamedTuple):
    """Stem with its origin.

    Attributes:
        samples: float32 (2, samples) at 44.1 kHz.
        origin: plain types, with the `licence` and the `credit`.
    """

    samples: np.ndarray
    origin: dict[str, Any]


def read_excerpt(path: Path, start: float, seconds: float) -> np.ndarray:
    """Return part of a stereo recording as float32 (2, samples).

    Args:
        path: path of a file at 44.1 kHz.
        start: start, from 0 (start of the recording) to 1 (the excerpt ends with it).
        seconds: length; a shorter recording is returned whole.

    Raises:
        UserError: if the file cannot be read, or has another format.
    """
    with opened(path) as file:
        if (file.samplerate, file.channels) != (RATE, 2):
            raise UserError(f"{path}: must be stereo at {RATE} Hz; get it again")
        frames = min(round(seconds * RATE), file.frames)
        file.seek(round(start * (file.frames - frames)))
        return np.ascontiguousarray(file.read(frames, dtype="float32").T)


def voice(collection: PhraseSet, seconds: float, rng: np.random.Generator) -> Sound:
    """Return phrases of a set in sequence, with pauses and reverberation.

    Args:
        collection: set of phrases.
        seconds: length of the stem.
        rng: random generator of order, pauses and reverberation.
    """
    stem = np.zeros((2, round(seconds * RATE)), np.float32)
    first, used = round(rng.uniform(0, 1) * RATE), []
    for number in rng.permutation(len(collection.paths)):
        if first >= stem.shape[1] - RATE:
            break
        phrase = read_phrase(collection.paths[number])[:, : stem.shape[1] - first]
        stem[:, first : first + phrase.shape[1]] += phrase
        first += phrase.shape[1] + round(rng.uniform(0.1, 0.8) * RATE)
        used.append(collection.paths[number].stem)
    room = {"seed": int(rng.integers(1000)), "decay": float(rng.uniform(0.5, 2.0))}
    stem = levelled(reverberate(stem, float(rng.uniform(-22, -12)), room))
    return Sound(stem, {**_facts(PHRASES), "set": collection.paths[0].parent.name, "files": used})


def bass_line(seconds: float, rng: np.random.Generator, materials: Materials) -> Sound:
    """Return a bass line of roots, octaves and fifths of recorded notes.

    Args:
        seconds: length of the stem.
        rng: random generator of tempo, chords and rhythm.
        materials: with the recorded bass of the split "valid".
    """
    library = available("bass", "valid", materials)[0]
    eighth = 30 / rng.uniform(84, 140)
    steps = int(seconds / eighth)
    notes = []
    for step in range(steps):
        if step % 16 == 0:
            root = int(rng.choice(BASS_ROOTS))
        if step % 4 and rng.random() < 0.4:
            continue
        pitch = root + int(rng.choice((0, 0, 0, 7, 12)))
        length = eighth * rng.uniform(0.7, 1.8)
        start = step * eighth
        notes.append(Note(start, start + length, pitch, int(rng.integers(70, 120))))
    stem = open_library(library, materials).render(notes, round(seconds * RATE), rng)
    return Sound(levelled(stem), {**_facts(library.material), "instrument": library.name})


def guitar(seconds: float, rng: np.random.Generator, materials: Materials) -> Sound:
    """Return an excerpt of a recorded guitar of the split "valid".

    Raises:
        UserError: if there is none.
    """
    found = excerpt(seconds, rng, "valid", materials)
    if found is None:
        raise UserError("no recorded guitar is there; run: generate.py fetch")
    samples, record = found
    facts = {name: record[name] for name in ("recording", "start")}
    return Sound(levelled(samples), {**_facts(record["material"]), **facts})


def mixed(stems: dict[str, Sound], gains_db: Sequence[float]) -> dict[str, Sound]:
    """Return the stems, of equal loudness, scaled to a mixture with a peak of 0.9."""
    factors = [10 ** (gain / 20) for gain in gains_db]
    louder = [
        sound.samples * np.float32(factor)
        for sound, factor in zip(stems.values(), factors, strict=True)
    ]
    peak = max(float(np.abs(signal).max()) for signal in [*louder, sum(louder)])
    return {
        name: Sound(signal * np.float32(0.9 / peak), sound.origin)
        for (name, sound), signal in zip(stems.items(), louder, strict=True)
    }


def _facts(name: str) -> dict[str, Any]:
    material = find(name)
    item = material.items[0]
    return {
        "material": name,
        "link": f"{material.package} {material.version}",
        "licence": item.licence,
        "credit": item.credit,
    }
