"""Voice banks: analysed phrases of a speaker, cached on disk.

A bank has a few MB. Its file name depends on speaker, settings and the version of this code. Files
are written atomically and replaced if they are unreadable, so processes may share the folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from ..errors import UserError
from ..files import replacing
from ..materials import Materials
from ..randomness import generator
from . import speech, syllables, world
from .speakers import CATALOGUE, Speaker

VERSION = 1
"""Version of the code; raise it with any change of the banks."""


@dataclass(frozen=True)
class Bank:
    """Voice bank of a speaker, with T frames and N syllables.

    Args:
        frames: frames of all phrases.
        syllables: (N, 4) first frame, start and end of the nucleus, end; see `syllables.cut`.
        pitch: median pitch of the speech as a MIDI number.
    """

    frames: world.Frames
    syllables: np.ndarray
    pitch: float

    @functools.cached_property
    def follows(self) -> np.ndarray:
        """Return (N,) bool, whether the next syllable starts where this one ends."""
        same = self.syllables[1:, 0] == self.syllables[:-1, 3]
        return np.append(same, False)

    @functools.cached_property
    def nucleus_level(self) -> np.ndarray:
        """Return the median level of each nucleus in dB, shape (N,)."""
        level = self.frames.level
        return np.array([np.median(level[a:b]) for a, b in self.syllables[:, 1:3]])

    @functools.cached_property
    def vowel(self) -> np.ndarray:
        """Return the coded envelope of the average vowel, shape (60,)."""
        envelope = self.frames.envelope
        return np.mean([envelope[a:b].mean(axis=0) for a, b in self.syllables[:, 1:3]], axis=0)

    def read(self, position: np.ndarray) -> world.Frames:
        """Interpolate frames at fractional positions, smoothed across jumps.

        Args:
            position: (T,) in frames; negative ones are silent.
        """
        source = np.maximum(position, 0)
        low = np.minimum(source.astype(int), len(self.frames.f0) - 2)
        part = (source - low)[:, None]
        stored = self.frames
        envelope = stored.envelope[low] * (1 - part) + stored.envelope[low + 1] * part
        noise = stored.aperiodicity[low] * (1 - part) + stored.aperiodicity[low + 1] * part
        jumps = np.flatnonzero(np.abs(np.diff(position)) > 4) + 1
        for jump in jumps:
            a, b = jump - 3, jump + 2
            if a >= 0 and b < len(position) and position[a] >= 0 and position[b] >= 0:
                blend = np.linspace(0, 1, b - a + 1)[:, None]
                for array in (envelope, noise):
                    array[a : b + 1] = array[a] * (1 - blend) + array[b] * blend
        nearest = np.minimum(np.round(source).astype(int), len(stored.f0) - 1)
        return world.Frames(
            stored.f0[nearest].astype(float),
            envelope,
            noise,
            stored.level[nearest],
            stored.sonority[nearest],
        )


@functools.lru_cache(maxsize=6)
def load(name: str, materials: Materials, phrases: int, cache: Path | None = None) -> Bank:
    """Return the bank of a speaker from the cache, after building it if need be.

    Args:
        name: name in `speakers.CATALOGUE`.
        materials: materials of the speech, if it must be synthesised.
        phrases: number of phrases in the bank.
        cache: folder for banks; by default `openstems/voices` in the user's cache.

    Raises:
        UserError: if the speech has too few syllables that can be sung.
    """
    speaker = CATALOGUE[name]
    folder = default_cache() if cache is None else cache
    path = folder / f"{name}-{_key(speaker, phrases, 'hibari-tts' in materials.names)}.npz"
    stored = read(path)
    if stored is not None:
        return stored
    folder.mkdir(parents=True, exist_ok=True)
    # Some speakers take a minute; of several processes one builds the bank.
    with FileLock(f"{path}.lock"):
        stored = read(path)
        if stored is None:
            stored = build(speaker, phrases, materials)
            write(stored, path)
    return stored


def default_cache() -> Path:
    """Return the folder for banks in the user's cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "openstems" / "voices"


def _key(speaker: Speaker, phrases: int, english: bool) -> str:
    # Some speakers say other lines if English is available.
    text = json.dumps([VERSION, speaker.kind, speaker.detail, phrases, english], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def build(speaker: Speaker, phrases: int, materials: Materials) -> Bank:
    """Build a bank: synthesise, analyse and segment phrases of a speaker.

    Args:
        speaker: a speaker of any kind except sinsy.
        phrases: number of phrases.
        materials: materials of the speech.

    Raises:
        UserError: if fewer than six syllables can be sung.
    """
    rng = generator("voice bank", speaker.name, phrases)
    analysed, cuts, offset = [], [], 0
    for audio, rate in speech.phrases(speaker, phrases, materials, rng):
        if len(audio) < 0.15 * rate:
            continue
        frames = world.analyse(audio, rate)
        found = syllables.cut(frames)
        if len(found):
            first, end = found[0, 0], found[-1, 3]
            analysed.append((frames, first, end))
            cuts.append(found - first + offset)
            offset += end - first
    count = sum(len(found) for found in cuts)
    if count < 6:
        raise UserError(
            f"{speaker.name}: only {count} syllables that can be sung in what {speaker.material} "
            f"gave; fetch it again"
        )
    arrays = {
        field: np.concatenate([getattr(frames, field)[a:b] for frames, a, b in analysed])
        for field in ("f0", "envelope", "aperiodicity", "level", "sonority")
    }
    return _bank(world.Frames(**arrays), np.concatenate(cuts))


def _bank(frames: world.Frames, cuts: np.ndarray) -> Bank:
    voiced = frames.f0[frames.f0 > 0]
    return Bank(frames, cuts, float(69 + 12 * np.log2(np.median(voiced) / 440)))


def write(bank: Bank, path: Path) -> None:
    """Write a bank atomically to a .npz file."""
    with replacing(path) as file:
        np.savez(file, syllables=bank.syllables, **vars(bank.frames))


def read(path: Path) -> Bank | None:
    """Read a bank from a .npz file; None if it is missing or unreadable."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            fields = {name: stored[name] for name in stored.files}
        cuts = fields.pop("syllables")
        return _bank(world.Frames(**fields), cuts)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None
