"""Recorded phrases as the vocals of a song, with their own words and melody.

Phrases of one set start at notes of the melody, resampled to the song's key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..instruments.sampling import read_recording, repitch
from ..materials import Materials
from ..music import RATE, Score
from .arrangement import levelled

MATERIAL = "producer-space-vocals"
SINGERS = {"shv": "train", "dvs": "train", "etv": "valid"}
"""Split of each collection, which counts as one singer because singers are not named."""
LARGEST_SHIFT = 2
"""Largest transposition of phrases in semitones."""

_KEY = re.compile(r"\b([A-G])(b|#|sharp)? (minor|major)\b", re.IGNORECASE)
_PITCH_CLASSES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_SUFFIXES = (".wav", ".flac", ".ogg")
_PAUSE = 0.2
_FADE = RATE // 100


@dataclass(frozen=True)
class PhraseSet:
    """Phrases of one singer in one key.

    Args:
        singer: name of the collection.
        key: pitch class of the major key with the same tones; None for shouts without pitch.
        paths: paths of the recordings.
    """

    singer: str
    key: int | None
    paths: tuple[Path, ...]


def sets(split: str, materials: Materials) -> list[PhraseSet]:
    """Return the sets of a split in the order of their folders."""
    if MATERIAL not in materials.names:
        return []
    found = []
    for folder in sorted(Path(materials.path(MATERIAL)).iterdir()):
        singer = folder.name[:3]
        if SINGERS.get(singer) != split or not folder.is_dir():
            continue
        paths = tuple(sorted(p for p in folder.iterdir() if p.suffix.lower() in _SUFFIXES))
        if paths:
            found.append(PhraseSet(singer, key_of(paths[0].stem), paths))
    return found


def key_of(name: str) -> int | None:
    """Return the pitch class of a file name's key, or of its relative major; None without one.

    Example:
        >>> key_of("SHV - Fsharp minor - 122 BPM - Baby"), key_of("DVS - Yo 5")
        (9, None)
    """
    match = _KEY.search(name)
    if match is None:
        return None
    letter, sign, mode = match.groups(default="")
    tonic = _PITCH_CLASSES[letter.lower()] + {"": 0, "b": -1}.get(sign.lower(), 1)
    return (tonic + (3 if mode.lower() == "minor" else 0)) % 12


def sing(
    score: Score, samples: int, rng: np.random.Generator, split: str, materials: Materials
) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Return recorded phrases in place of the vocal melody.

    Args:
        score: the song, with a part "vocals".
        samples: its length.
        rng: random generator of set, phrases and levels.
        split: train, valid or test.
        materials: what the build may use.

    Returns:
        (2, samples) float32, its active parts at -20 dBFS, and a record of the choices in plain
        types; None if no recordings fit.

    Raises:
        UserError: if a recording cannot be read.
    """
    fitting = [
        (a, shift) for a in sets(split, materials) if (shift := _shift(a, score)) is not None
    ]
    if not fitting:
        return None
    chosen, shift = fitting[int(rng.integers(len(fitting)))]
    mix = np.zeros((2, samples), np.float32)
    placed, free = [], 0.0
    order: list[Path] = []
    for start in sorted(note.start for note in score.part("vocals")[0].notes):
        if start < free:
            continue
        if not order:
            order = [chosen.paths[number] for number in rng.permutation(len(chosen.paths))]
        path = order.pop()
        sound = repitch(read_phrase(path), 100 * shift)
        first = round(start * RATE)
        sound = _faded(sound[:, : samples - first])
        gain = np.float32(10 ** (float(rng.uniform(-2, 2)) / 20))
        mix[:, first : first + sound.shape[1]] += gain * sound
        placed.append([path.stem, round(start, 3)])
        free = start + sound.shape[1] / RATE + _PAUSE
    if not np.any(mix):
        return None
    voice = {
        "speaker": f"{MATERIAL} {chosen.singer}",
        "kind": "phrases",
        "split": split,
        "material": MATERIAL,
        "set": chosen.paths[0].parent.name,
    }
    return levelled(mix), {"voice": voice, "semitones": shift, "phrases": placed}


def _shift(phrases: PhraseSet, score: Score) -> int | None:
    """Return the semitones from a set's key to the song's; None if there are too many."""
    if phrases.key is None:
        return 0
    key = score.key + (3 if score.mode == "minor" else 0)
    shift = (key - phrases.key + 6) % 12 - 6
    return shift if abs(shift) <= LARGEST_SHIFT else None


def read_phrase(path: Path) -> np.ndarray:
    """Return a recording as float32 (2, samples) at a common level.

    Raises:
        UserError: if it cannot be read.
    """
    sound = read_recording(path)
    stereo = sound.T if sound.shape[1] == 2 else np.repeat(sound.mean(axis=1)[None], 2, axis=0)
    return levelled(stereo)


def _faded(sound: np.ndarray) -> np.ndarray:
    """Return the sound with short fades."""
    faded = sound.copy()
    count = min(_FADE, sound.shape[1])
    if count:
        faded[:, -count:] *= np.linspace(1, 0, count, dtype=np.float32)
    return faded
