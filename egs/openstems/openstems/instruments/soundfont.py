"""Rendering of parts with a SoundFont.

Every zone is rendered once for each key, at full level with envelope and filter, and cached. A note
is a copy of its beginning with a level and a release. As songs repeat pitches, this is many times
faster than rendering each note.

symusic's player is three times faster still. However, it has no tuning, ignores pitch bends, does
not let a closed hi-hat end an open one, and would change the songs of the published data set.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np

from openstems.instruments.sampling import ByteCache, add_at, without_offset
from openstems.instruments.soundfont_file import DRUM_BANK, SoundFontFile, Zone
from openstems.instruments.soundfont_zones import render_zone, seconds_of
from openstems.music import RATE, Note, Part

BROKEN_PROGRAMS = {
    "FluidR3Mono": (9, 31, 47, 55, 58),
    "MuseScoreGeneral": (0, 1, 3, 5, 9, 31, 42, 47, 55, 58, 62, 63, 86, 88, 91),
    "GMbank": (8, 9, 31, 47, 55, 58, 87),
    "TimGM6mb": (8, 9, 31, 47, 55, 58, 78, 87),
    "sonivox": (14, 47, 55),
}
"""Programs of each SoundFont that are silent in part of the range, are out of tune, or
depend on the file's own modulators for their level."""

DRUM_PROGRAMS = {
    "fluid": (0, 8, 16, 24, 25, 32, 40),
    "gmbank": (0, 8, 16, 24, 25, 32, 40),
    "sonivox": (0, 32, 40),
}
"""Drum kits of each family; other kits would be replaced by the standard kit."""

_SOUND_BYTES = 48 * 2**20
_LONGEST_RELEASE = 3.0
_LONGEST_HIT = 5.0
_CHOKE = 0.015


@lru_cache(maxsize=3)
def open_bank(path: Path) -> Bank:
    """Return the bank at `path`, cached."""
    return Bank(path)


class Bank:
    """Opened SoundFont.

    Args:
        path: file of the format sf2 or sf3.
    """

    def __init__(self, path: Path) -> None:
        self.file = SoundFontFile(path)
        self._sounds = ByteCache(_SOUND_BYTES)

    def render(
        self,
        parts: Iterable[Part],
        samples: int,
        *,
        programs: Iterable[int] | None = None,
        cents: float = 0.0,
    ) -> np.ndarray:
        """Render parts together.

        Args:
            parts: parts; drum parts use the bank's drum kits, others its presets.
            samples: length of the result.
            programs: General MIDI programs that replace those of the parts, one per part.
            cents: tuning of all parts except drums.

        Returns:
            Float32 of shape (2, samples).
        """
        parts = tuple(parts)
        chosen = tuple(part.program for part in parts) if programs is None else tuple(programs)
        stem = np.zeros((2, samples), np.float32)
        for part, program in zip(parts, chosen, strict=True):
            if part.role == "drums":
                self._play_drums(stem, part.notes, program)
            else:
                for note in part.notes:
                    for zone in self.zones(0, program, note.pitch, note.velocity):
                        self._play(stem, zone, note, note.duration, cents, drum=False)
        return without_offset(stem)

    def render_drum_preset(self, notes: Iterable[Note], samples: int) -> np.ndarray:
        """Render a drum part with a bank whose only kit is the ordinary preset 0."""
        stem = np.zeros((2, samples), np.float32)
        self._play_drums(stem, tuple(notes), 0, bank=0)
        return without_offset(stem)

    def zones(self, bank: int, program: int, key: int, velocity: int) -> tuple[Zone, ...]:
        """Return the zones of a key and velocity; number 0 replaces a missing kit or preset."""
        zones = self.file.presets.get((bank, program)) or self.file.presets.get((bank, 0), ())
        return tuple(
            zone
            for zone in zones
            if zone.keys[0] <= key <= zone.keys[1]
            and zone.velocities[0] <= velocity <= zone.velocities[1]
        )

    def _play_drums(
        self, stem: np.ndarray, notes: tuple[Note, ...], program: int, bank: int = DRUM_BANK
    ) -> None:
        """Render drums; a stroke rings out unless a later one of its class ends it (hi-hats)."""
        choked: dict[int, float] = {}
        for note in reversed(notes):
            zones = self.zones(bank, program, note.pitch, note.velocity)
            for zone in zones:
                end = choked.get(zone[57], np.inf) if zone[57] else np.inf
                length = min(end - note.start, _LONGEST_HIT)
                self._play(stem, zone, note, length, 0.0, drum=True, quick=np.isfinite(end))
            choked.update({zone[57]: note.start for zone in zones if zone[57]})

    def _play(
        self,
        stem: np.ndarray,
        zone: Zone,
        note: Note,
        seconds: float,
        cents: float,
        *,
        drum: bool,
        quick: bool = False,
    ) -> None:
        start = round(note.start * RATE)
        held = min(max(int(seconds * RATE), 1), max(stem.shape[1] - start, 0))
        release = _CHOKE if quick else min(seconds_of(zone[38]), _LONGEST_RELEASE)
        fade = 0 if drum and not quick else max(int(release * RATE * 0.7), 64)
        sound = self._sound(zone, note.pitch, cents, held + fade)[: held + fade]
        if held <= 0 or not sound.size:
            return
        if fade and len(sound) > held:
            sound = sound.copy()
            # The release falls by 70 dB over the faded length; the format defines it for 100 dB.
            sound[held:] *= _decay(fade)[: len(sound) - held]
        pan = np.clip(zone[17] / 500, -1, 1)
        add_at(stem, sound, start, (note.velocity / 127) ** 2, pan)

    def _sound(self, zone: Zone, key: int, cents: float, length: int) -> np.ndarray:
        """Return the beginning of a zone at a key, mono, at least `length` samples if possible."""
        name = (zone.number, key, round(cents, 2))
        kept = self._sounds.peek(name)
        if kept is None or len(kept) < length:
            # Doubling the length avoids rendering each of ever longer notes.
            wanted = max(length, RATE, 0 if kept is None else 2 * len(kept))
            kept = render_zone(self.file, zone, key, cents, wanted)
            # A sound that has decayed to silence needs no further samples.
            if len(kept) < wanted:
                kept = np.concatenate([kept, np.zeros(wanted - len(kept), np.float32)])
            self._sounds.put(name, kept)
        return kept


@lru_cache(maxsize=256)
def _decay(length: int) -> np.ndarray:
    curve = (10.0 ** (-3.5 * np.arange(length) / length)).astype(np.float32)
    # The last samples fade to zero to avoid a click.
    tail = min(64, length)
    curve[-tail:] *= np.linspace(1, 0, tail, dtype=np.float32)
    return curve
