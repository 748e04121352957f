"""Drums from recordings of single strokes: Hydrogen kits and one-shot samples."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from openstems.errors import UserError
from openstems.instruments import percussion
from openstems.instruments.kit_files import (
    Drum,
    Layer,
    hydrogen_drums,
    public_domain_names,
    role_of,
)
from openstems.instruments.percussion import Hit
from openstems.instruments.sampling import ByteCache, repitch
from openstems.music import RATE, Note

_NEEDED = ("kick", "snare", "closed_hat")
_LONGEST = 6 * RATE
_CENTS = (-30, -12, 0, 12, 30)
# Long sounds, such as cymbals, are not retuned for each stroke: they are large.
_RETUNED = int(1.2 * RATE)
_SOUND_BYTES = 48 * 2**20


class Kit:
    """Sampled drum kit.

    Args:
        drums: instruments; a role may have several.
    """

    def __init__(self, drums: Iterable[Drum]) -> None:
        self.drums: dict[str, list[Drum]] = {}
        for drum in drums:
            self.drums.setdefault(drum.role, []).append(drum)
        self._sounds = ByteCache(_SOUND_BYTES)

    def render(
        self,
        notes: Iterable[Note],
        samples: int,
        rng: np.random.Generator,
        *,
        picks: dict[str, int] | None = None,
        cents: float = 0.0,
        width: float = 1.0,
    ) -> np.ndarray:
        """Render a drum part.

        Args:
            notes: notes with General MIDI percussion pitches.
            samples: length of the result.
            rng: random stream of the choice of recordings, and of level and tuning of strokes.
            picks: number of the drum to use for a role, modulo the number of drums.
            cents: tuning of the whole kit.
            width: factor on the pan of drums that the kit leaves in the middle, -1 to 1.

        Returns:
            Float32 of shape (2, samples).
        """
        hits = []
        for note in notes:
            layer_draw, level, tuning = rng.random(), float(rng.normal(0, 0.6)), rng.integers(5)
            wanted = percussion.ROLE_OF_PITCH.get(note.pitch)
            role = percussion.role_for(wanted, self.drums) if wanted else None
            if role is None:
                continue
            choices = self.drums[role]
            drum = choices[(picks or {}).get(role, 0) % len(choices)]
            layer = _layer(drum, note.velocity / 127, layer_draw)
            sound = self._sound(layer, cents, int(tuning))
            # Layered recordings contain part of the dynamics.
            curve = 1.0 if len({(one.low, one.high) for one in drum.layers}) > 1 else 1.5
            gain = drum.gain * layer.gain * (note.velocity / 127) ** curve * 10 ** (level / 20)
            pan = drum.pan or percussion.PAN.get(role, 0.0) * width
            hits.append(Hit(round(note.start * RATE), wanted, sound, gain, pan))
        return percussion.mix(hits, samples)

    def _sound(self, layer: Layer, cents: float, tuning: int) -> np.ndarray:
        base = self._sounds.get(layer.path, lambda: read_sound(layer.path))
        if base.shape[1] > _RETUNED:
            tuning = len(_CENTS) // 2
        total = cents + 100 * layer.semitones + _CENTS[tuning]
        if total == 0:
            return base
        return self._sounds.get((layer.path, round(total, 1)), lambda: repitch(base, total))


def read_sound(path: Path) -> np.ndarray:
    """Return a recording as float32 (2, samples) at `RATE`, at most six seconds, faded at the end.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            sound = file.read(6 * rate, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot be read ({error}); fetch its package again") from error
    sound = sound if rate == RATE else soxr.resample(sound, rate, RATE)
    sound = np.ascontiguousarray(sound[:_LONGEST, :2].T)
    sound = np.repeat(sound, 2, axis=0) if len(sound) == 1 else sound
    fade = min(400, sound.shape[1])
    sound[:, sound.shape[1] - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    return sound


@lru_cache(maxsize=3)
def open_hydrogen(folder: Path) -> Kit:
    """Return the Hydrogen drum kit in `folder`, cached; recordings are read when they are used.

    Raises:
        UserError: if drumkit.xml is missing or of another format, or has no kick, snare or
            hi-hat.
    """
    drums = hydrogen_drums(Path(folder))
    return _complete(Kit(drums), Path(folder) / "drumkit.xml")


def open_one_shots(folder: Path, copyright_file: Path) -> Kit:
    """Return a kit of Sonic Pi's drum samples that are under CC0 according to the copyright file.

    Raises:
        UserError: if the file is missing, or the samples do not make a kit.
    """
    return _open_one_shots(Path(folder), Path(copyright_file))


@lru_cache(maxsize=1)
def _open_one_shots(folder: Path, copyright_file: Path) -> Kit:
    drums = []
    for name in public_domain_names(copyright_file):
        path = folder / name
        kind = re.match(r"(bd|sn|drum|elec|perc)_", name)
        words = path.stem.replace("drum_bass", "drum_kick").replace("elec_cymbal", "elec_crash")
        words = words.replace("cymbal_closed", "hat").replace("cymbal_open", "hat open")
        words = words.replace("cymbal_pedal", "hat pedal")
        role = role_of(words)
        if kind and role and path.is_file() and not re.search("roll|loop", name):
            drums.append(Drum(path.stem, role, (Layer(path, 0, 1, 1, 0),), 0.8, 0))
    return _complete(Kit(drums), copyright_file)


def _complete(kit: Kit, source: Path) -> Kit:
    missing = [role for role in _NEEDED if role not in kit.drums]
    if missing:
        raise UserError(f"{source}: no {', '.join(missing)} in this kit; choose another")
    return kit


def _layer(drum: Drum, strength: float, draw: float) -> Layer:
    """Return a layer for a velocity, or the nearest one."""
    fitting = [layer for layer in drum.layers if layer.low <= strength <= layer.high]
    if fitting:
        return fitting[int(draw * len(fitting))]
    return min(drum.layers, key=lambda layer: abs((layer.low + layer.high) / 2 - strength))
