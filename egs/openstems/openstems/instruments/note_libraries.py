"""Recorded notes of basses and guitars: the libraries of Karoryfer Lecolds."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from openstems.errors import UserError
from openstems.instruments.sampling import ByteCache, add_at, read_recording, repitch
from openstems.materials import Materials
from openstems.music import RATE, Note

_FILE = re.compile(r"([a-g])(b?)(\d)_(pp|p|mp|mf|f|ff|fff)_rr\d+\.(wav|flac|ogg)", re.IGNORECASE)
_DYNAMICS = ("pp", "p", "mp", "mf", "f", "ff", "fff")
_PITCH_CLASSES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
_RELEASE = int(0.08 * RATE)
_SOUND_BYTES = 96 * 2**20


@dataclass(frozen=True)
class Library:
    """Recorded instrument.

    Args:
        name: unique name.
        role: "bass" or "guitar".
        split: "train", "valid" or "test".
        material: name of the material that contains it.
        folder: folder of its notes in the material.
        octaves: octaves from the pitch in file names, where c4 is 60, to the sounding pitch.
        programs: General MIDI programs whose mixes suit it; 29 and 30 are distorted.
    """

    name: str
    role: str
    split: str
    material: str
    folder: str
    octaves: int
    programs: tuple[int, ...]


_GUITARS = (27, 28, 29, 30)
LIBRARIES = {
    library.name: library
    for library in (
        Library("growlybass", "bass", "train", "karoryfer.growlybass", "sustain", -1, (34,)),
        Library("swagbass", "bass", "valid", "karoryfer.swagbass", "notes", -1, (33,)),
        Library("emilyguitar", "guitar", "train", "karoryfer.emilyguitar", "notes", 0, _GUITARS),
    )
}
"""All recorded instruments by name; each belongs to one split."""


def available(role: str, split: str, materials: Materials) -> tuple[Library, ...]:
    """Return the recorded instruments of a role that a split may use."""
    return tuple(
        library
        for library in LIBRARIES.values()
        if (library.role, library.split) == (role, split) and library.material in materials.names
    )


def open_library(library: Library, materials: Materials) -> RecordedNotes:
    """Return the notes of a recorded instrument.

    Raises:
        UserError: if there are none.
    """
    folder = Path(materials.path(library.material)) / library.folder
    return _open(str(folder), library.octaves)


class RecordedNotes:
    """Instrument that plays recordings of single notes.

    Args:
        folder: folder of files named by note, dynamics and number: `eb3_mf_rr2.wav`.
        octaves: octaves from the pitch in file names to the sounding pitch.

    Raises:
        UserError: if no file has such a name.
    """

    def __init__(self, folder: Path, octaves: int) -> None:
        takes: dict[int, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for path in sorted(folder.iterdir()):
            match = _FILE.fullmatch(path.name)
            if match:
                letter, flat, octave, dynamics = (text.lower() for text in match.groups()[:4])
                pitch = 12 * (int(octave) + 1 + octaves) + _PITCH_CLASSES[letter] - len(flat)
                takes[pitch][_DYNAMICS.index(dynamics)].append(path)
        if not takes:
            raise UserError(
                f"{folder}: contains no notes, such as 'eb3_mf_rr2.wav'; get its material again"
            )
        # From soft to loud.
        self.takes = {
            pitch: [layers[level] for level in sorted(layers)] for pitch, layers in takes.items()
        }
        self._sounds = ByteCache(_SOUND_BYTES)

    def render(
        self, notes: Iterable[Note], samples: int, rng: np.random.Generator, cents: float = 0.0
    ) -> np.ndarray:
        """Render a part.

        Args:
            notes: notes to play.
            samples: length of the result.
            rng: random stream of the choice among equal recordings.
            cents: tuning of the instrument.

        Returns:
            Float32 of shape (2, samples), the same in both channels.

        Raises:
            UserError: if a recording cannot be read.
        """
        stem = np.zeros((2, samples), np.float32)
        for note in notes:
            draw = rng.random()
            pitch = min(self.takes, key=lambda taken: (abs(taken - note.pitch), taken))
            layers = self.takes[pitch]
            number = min(int(note.velocity / 128 * len(layers)), len(layers) - 1)
            path = layers[number][int(draw * len(layers[number]))]
            # Mono recordings.
            sound = self._sounds.get(path, lambda path=path: read_recording(path).mean(axis=1))
            sound = repitch(sound, 100 * (note.pitch - pitch) + cents)
            # Within a layer, the level depends on the velocity.
            gain = note.velocity / (128 * (number + 0.5) / len(layers))
            add_at(stem, _ended(sound, note.duration), round(note.start * RATE), gain**0.5)
        return stem


@lru_cache(maxsize=4)
def _open(folder: str, octaves: int) -> RecordedNotes:
    return RecordedNotes(Path(folder), octaves)


def _ended(sound: np.ndarray, seconds: float) -> np.ndarray:
    """Return a sound that is damped after some time."""
    held = max(round(seconds * RATE), 1)
    if held >= len(sound):
        return sound
    ended = sound[: held + _RELEASE].copy()
    tail = len(ended) - held
    ended[held:] *= np.linspace(1, 0, tail, dtype=np.float32) ** 2
    return ended
