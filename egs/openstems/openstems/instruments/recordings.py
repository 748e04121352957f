"""Excerpts of recorded electric guitars for `other`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from openstems.instruments.sampling import at_rate, opened
from openstems.materials import Materials
from openstems.music import RATE

_SECTOID, _MULDJORD = "fretsonfire-songs-sectoid", "fretsonfire-songs-muldjord"
_SONGS = Path("usr/share/games/fretsonfire/data/songs")
SPLIT_SONGS = {
    "train": (
        (_SECTOID, "sectoid/Escape from chaosland"),
        (_SECTOID, "sectoid/Feelings"),
        (_MULDJORD, "muldjord/armygeddon"),
        (_MULDJORD, "muldjord/internal_degeneration"),
    ),
    "valid": ((_SECTOID, "sectoid/Metal madness"), (_MULDJORD, "muldjord/chaos_god")),
    "test": ((_SECTOID, "sectoid/War of freedom"), (_MULDJORD, "muldjord/mutilated_mime")),
}
"""Material and folder of the songs of each split."""

_FRAME = RATE // 10
_FLOOR = 10 ** (-45 / 20)
_TRIES = 6
_ENOUGH = 0.8
_FADE = RATE // 20


def available(split: str, materials: Materials) -> tuple[str, ...]:
    """Return the names of the recorded songs of a split."""
    return tuple(song for material, song in SPLIT_SONGS[split] if material in materials.names)


def excerpt(
    seconds: float, rng: np.random.Generator, split: str, materials: Materials
) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Return an excerpt of a recorded guitar in which it plays most of the time.

    Args:
        seconds: length; shorter recordings are followed by silence.
        rng: random stream of the song and the position.
        split: "train", "valid" or "test".
        materials: materials of the build.

    Returns:
        Float32 (2, samples) and a record of the excerpt; None if there is no recording.

    Raises:
        UserError: if a recording cannot be read.
    """
    songs = available(split, materials)
    if not songs:
        return None
    song = songs[int(rng.integers(len(songs)))]
    material = next(owner for owner, name in SPLIT_SONGS[split] if name == song)
    path = Path(materials.path(material)) / _SONGS / song / "guitar.ogg"
    with opened(path) as file:
        sound, start, activity = _most_active(file, seconds, rng)
    record = {
        "material": material,
        "recording": song,
        "start": round(start, 3),
        "activity": round(activity, 3),
        "uses": {"recording": [song]},
    }
    return sound, record


def _most_active(
    file: soundfile.SoundFile, seconds: float, rng: np.random.Generator
) -> tuple[np.ndarray, float, float]:
    """Return audio, start and activity of the first active random excerpt, else of the best."""
    wanted = round(seconds * file.samplerate)
    latest = max(file.frames - wanted, 0)
    best: tuple[np.ndarray, float, float] | None = None
    for _ in range(_TRIES):
        start = int(rng.integers(latest + 1))
        file.seek(start)
        sound = file.read(wanted, dtype="float32", always_2d=True)
        activity = _activity(sound, wanted)
        if best is None or activity > best[2]:
            best = sound, start / file.samplerate, activity
        if activity >= _ENOUGH:
            break
    sound, start, activity = best
    sound = at_rate(sound, file.samplerate)
    stem = np.zeros((2, round(seconds * RATE)), np.float32)
    length = min(len(sound), stem.shape[1])
    stem[:, :length] = sound[:length].T
    fade = min(_FADE, length // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    stem[:, :fade] *= ramp
    stem[:, length - fade : length] *= ramp[::-1]
    return stem, start, activity


def _activity(sound: np.ndarray, wanted: int) -> float:
    """Return the share of tenths of a second that are louder than -45 dBFS."""
    count = max(wanted // _FRAME, 1)
    whole = sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME * sound.shape[1])
    return float((np.sqrt((whole**2).mean(axis=1)) > _FLOOR).sum() / count) if len(whole) else 0.0
