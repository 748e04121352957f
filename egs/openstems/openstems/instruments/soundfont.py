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
from scipy import signal

from openstems.instruments.sampling import ByteCache, add_at, read_at, without_offset
from openstems.instruments.soundfont_file import SoundFontFile, Zone
from openstems.music import RATE, Note

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
        notes: Iterable[Note],
        samples: int,
        program: int,
        *,
        cents: float = 0.0,
        drum_bank: int | None = None,
    ) -> np.ndarray:
        """Render a part.

        Args:
            notes: notes in the order of their starts.
            samples: length of the result.
            program: General MIDI program; for drums, the number of the kit.
            cents: tuning, except for drums.
            drum_bank: for drums, the bank of the kits: `DRUM_BANK`, or 0 for a file whose only kit
                is the ordinary preset 0.

        Returns:
            Float32 of shape (2, samples).
        """
        stem = np.zeros((2, samples), np.float32)
        if drum_bank is not None:
            self._play_drums(stem, tuple(notes), program, drum_bank)
        else:
            for note in notes:
                for zone in self.zones(0, program, note.pitch, note.velocity):
                    self._play(stem, zone, note, note.duration, cents, drum=False)
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
        self, stem: np.ndarray, notes: tuple[Note, ...], program: int, bank: int
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
        sound = self._sound(zone, note.pitch, cents, held + fade)
        if held <= 0 or not sound.size:
            return
        if fade and len(sound) > held:
            sound = sound.copy()
            # The release falls by 70 dB over the faded length; the format defines it for 100 dB.
            sound[held:] *= _decay(fade)[: len(sound) - held]
        pan = np.clip(zone[17] / 500, -1, 1)
        add_at(stem, sound, start, (note.velocity / 127) ** 2, pan)

    def _sound(self, zone: Zone, key: int, cents: float, length: int) -> np.ndarray:
        """Return the first `length` samples of a zone at a key, mono."""

        def make(wanted: int) -> np.ndarray:
            # A sound that has decayed to silence needs no further samples.
            sound = render_zone(self.file, zone, key, cents, wanted)
            return np.pad(sound, (0, wanted - len(sound)))

        return self._sounds.beginning((zone.number, key, round(cents, 2)), length, make, RATE)


@lru_cache(maxsize=256)
def _decay(length: int) -> np.ndarray:
    curve = (10.0 ** (-3.5 * np.arange(length) / length)).astype(np.float32)
    # The last samples fade to zero to avoid a click.
    tail = min(64, length)
    curve[-tail:] *= np.linspace(1, 0, tail, dtype=np.float32)
    return curve


def render_zone(file: SoundFontFile, zone: Zone, key: int, cents: float, length: int) -> np.ndarray:
    """Render the beginning of a zone at a key, with loop, filter and envelope, at full level.

    Args:
        file: SoundFont of the zone.
        zone: zone to render.
        key: MIDI number.
        cents: tuning.
        length: number of samples; a sample without a loop may give fewer.

    Returns:
        Float32 of shape (N,).
    """
    header = file.headers[zone.sample]
    sample = file.sample(zone.sample)
    if len(sample) < 8:
        return np.zeros(0, np.float32)
    key = zone[46] if zone[46] >= 0 else key
    root = zone[58] if zone[58] >= 0 else header.root
    tuned = (key - root) * zone[56] + zone[51] * 100 + zone[52] + header.correction + cents
    speed = 2.0 ** (tuned / 1200) * header.rate / RATE
    first = min(zone[0] + 32768 * zone[4], len(sample) - 8)
    loop_start, loop_end = file.loop(zone.sample)
    loop_start += zone[2] + 32768 * zone[45]
    loop_end += zone[3] + 32768 * zone[50]
    looped = zone[54] & 1 and 0 <= loop_start < loop_end - 2 and loop_end <= len(sample)
    if not looped:
        length = min(length, max(int((len(sample) - 2 - first) / speed), 1))
    positions = first + np.arange(length) * speed
    if looped:
        # The first samples of the loop are appended for interpolation across its end.
        seam = sample[loop_start + np.arange(4) % (loop_end - loop_start)]
        sample = np.concatenate([sample[:loop_end], seam])
        beyond = positions >= loop_end
        positions[beyond] = loop_start + (positions[beyond] - loop_start) % (loop_end - loop_start)
    sound = _filtered(read_at(sample, positions), zone, speed)
    sound *= _envelope(zone, key, length) * np.float32(10 ** (-0.4 * zone[48] / 200))
    return sound


def _filtered(sound: np.ndarray, zone: Zone, speed: float) -> np.ndarray:
    """Apply the zone's low-pass; if its envelope moves it, as a blend of both extremes."""
    resting = zone[8]
    if resting >= 13500 and zone[11] >= 0:
        return sound
    peak = resting + zone[11]
    sustained = resting + zone[11] * (1 - np.clip(zone[29], 0, 1000) / 1000)
    ends = [_low_pass(sound, pitch, zone[9]) for pitch in (peak, sustained)]
    if abs(peak - sustained) < 50:
        return ends[0]
    time = np.arange(len(sound), dtype=np.float32) / RATE
    hold = seconds_of(zone[26]) + seconds_of(zone[27])
    weight = np.exp(-np.maximum(time - hold, 0) / max(seconds_of(zone[28]) / 4, 1e-3))
    return ends[1] + (ends[0] - ends[1]) * weight.astype(np.float32)


def _low_pass(sound: np.ndarray, pitch: float, resonance: int) -> np.ndarray:
    frequency = 8.176 * 2.0 ** (pitch / 1200)
    if frequency > 0.4 * RATE:
        return sound
    return signal.sosfilt(_low_pass_sections(round(frequency), resonance), sound).astype(np.float32)


@lru_cache(maxsize=512)
def _low_pass_sections(frequency: int, resonance: int) -> np.ndarray:
    quality = 10 ** (min(max(resonance, 0), 240) / 200) / np.sqrt(2)
    angle = 2 * np.pi * max(frequency, 40) / RATE
    alpha, cosine = np.sin(angle) / (2 * quality), np.cos(angle)
    gain = (1 - cosine) / np.sqrt(max(quality, 1))
    row = np.array([gain / 2, gain, gain / 2, 1 + alpha, -2 * cosine, 1 - alpha])
    return (row / row[3])[None]


def _envelope(zone: Zone, key: int, length: int) -> np.ndarray:
    """Return the envelope: delay, attack, hold, and decay to the sustained level."""
    delay, attack, hold = (seconds_of(zone[number]) for number in (33, 34, 35))
    decay = seconds_of(zone[36] + zone[40] * (60 - key))
    floor = -min(max(zone[37], 0), 1000) / 10
    time = np.arange(length, dtype=np.float32) / RATE - np.float32(delay)
    level = np.maximum(-100 * (time - np.float32(attack + hold)) / np.float32(decay), floor)
    curve = np.power(10, np.minimum(level, 0) / 20, dtype=np.float32)
    rising = int((delay + attack) * RATE) + 1
    curve[:rising] = np.clip(time[:rising] / max(attack, 1e-3), 0, 1)
    return curve


def seconds_of(timecents: float) -> float:
    """Convert a time of the format to seconds."""
    return float(2.0 ** (np.clip(timecents, -12000, 8000) / 1200))
