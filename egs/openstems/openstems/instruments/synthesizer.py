"""Synthesiser: wavetables or frequency modulation, filter, envelopes, drive, glide.

A patch is a dict of random numbers for a part. Without glide and without a filter that follows the
song's clock, a note is rendered once per pitch and strength, and copied afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from openstems.instruments import amplifiers, wavetables
from openstems.instruments.sampling import ByteCache, add_at, without_offset
from openstems.music import RATE, Note

_SOUND_BYTES = 48 * 2**20
_GLIDE_GAP = 0.05


def render(
    notes: Iterable[Note], samples: int, patch: dict[str, Any], rng: np.random.Generator
) -> np.ndarray:
    """Render notes with a patch.

    Args:
        notes: notes in the order of their starts, any number at a time.
        samples: length of the result.
        patch: result of `parameters`.
        rng: random stream of the oscillators' phases.

    Returns:
        Float32 of shape (2, samples).
    """
    stem = np.zeros((2, samples), np.float32)
    phases = rng.random((patch["voices"], 2))
    sounds = ByteCache(_SOUND_BYTES)
    previous: Note | None = None
    for note in notes:
        start = round(note.start * RATE)
        if start >= samples:
            break
        held = min(wavetables.sample_count(note.duration), samples - start)
        length = min(held + wavetables.sample_count(patch["release"]), samples - start)
        origin = _glide_origin(patch, previous, note)
        previous = note
        strength = min(note.velocity // 22, 5)
        if origin is None and patch["filter"] in ("envelope", "fixed"):

            def make(wanted: int, pitch=note.pitch, strength=strength) -> np.ndarray:
                return _voice(pitch, None, strength, 0.0, wanted, patch, phases)

            sound = sounds.beginning((note.pitch, strength), length, make).copy()
        else:
            sound = _voice(note.pitch, origin, strength, note.start, length, patch, phases)
        sound[:, held:] *= _release(length - held, patch["release"])
        add_at(stem, sound, start, 0.5 * (note.velocity / 127) ** patch["touch"])
    stem = _driven(stem, patch)
    if patch["shape"] == "bass":
        stem = amplifiers.grit(amplifiers.mono_below(stem, 160), patch["grit"], patch["width"])
    return without_offset(stem)


def _glide_origin(patch: dict[str, Any], previous: Note | None, note: Note) -> int | None:
    """Return the pitch from which a note glides if it follows another one closely."""
    if patch["glide"] <= 0 or previous is None or previous.pitch == note.pitch:
        return None
    close = previous.start < note.start and note.start - previous.end < _GLIDE_GAP
    return previous.pitch if close else None


def _voice(
    pitch: int,
    origin: int | None,
    strength: int,
    start: float,
    length: int,
    patch: dict[str, Any],
    phases: np.ndarray,
) -> np.ndarray:
    """Return a note held for `length` samples, shape (2, length)."""
    time = np.arange(length) / RATE
    cycles = _cycles(pitch, origin, start, time, patch)
    setting = _setting(pitch, strength, start, time, patch)
    sound = np.zeros((2, length), np.float32)
    count = patch["voices"]
    for index in range(count):
        offset = 0.0 if count == 1 else 2 * index / (count - 1) - 1
        speed = 2.0 ** (offset * patch["detune"] / 1200)
        phase = cycles * speed + phases[index, 0]
        wave = _wave(pitch, phase, setting, time, strength, patch)
        spread = offset * patch["width"]
        sound[0] += wave * np.float32(np.sqrt((1 - spread) / 2 / count) * np.sqrt(2))
        sound[1] += wave * np.float32(np.sqrt((1 + spread) / 2 / count) * np.sqrt(2))
    if patch["sub"] > 0:
        sub = np.sin(2 * np.pi * cycles * (0.5 if pitch > 40 else 1.0)).astype(np.float32)
        sound += np.float32(patch["sub"]) * sub
    return sound * _envelope(time, patch)


def _cycles(
    pitch: int, origin: int | None, start: float, time: np.ndarray, patch: dict[str, Any]
) -> np.ndarray:
    """Return the cycles since the note's start, with glide and vibrato."""
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    if origin is None and patch["vibrato"] <= 0:
        return frequency * time
    semitones = np.zeros(len(time))
    if origin is not None:
        semitones += (origin - pitch) * np.exp(-time / patch["glide"])
    if patch["vibrato"] > 0:
        rise = np.clip((time - 0.2) / 0.3, 0, 1)
        wave = np.sin(2 * np.pi * patch["vibrato_rate"] * (start + time))
        semitones += patch["vibrato"] / 100 * rise * wave
    curve = np.cumsum(frequency * 2 ** (semitones / 12)) / RATE
    return curve - curve[0]


def _setting(
    pitch: int, strength: int, start: float, time: np.ndarray, patch: dict[str, Any]
) -> np.ndarray | float:
    """Return the filter setting along a note."""
    base = patch["cutoff"] * 2 ** (patch["tracking"] * (pitch - 48) / 12 + 0.12 * (strength - 4))
    if patch["filter"] == "fixed":
        return float(wavetables.setting_of(np.array(base)))
    if patch["filter"] == "envelope":
        octaves = patch["sweep"] * np.exp(-time / patch["filter_decay"])
    else:
        turns = (start + time) * patch["filter_rate"]
        octaves = patch["sweep"] * (
            0.5 - 0.5 * np.cos(2 * np.pi * turns) if patch["filter"] == "lfo" else turns % 1
        )
    return wavetables.setting_of(base * 2**octaves)


def _wave(
    pitch: int,
    phase: np.ndarray,
    setting: np.ndarray | float,
    time: np.ndarray,
    strength: int,
    patch: dict[str, Any],
) -> np.ndarray:
    if patch["wave"] != "fm":
        rows = wavetables.table(patch["wave"], patch["pulse"], pitch, patch["resonance"])
        return wavetables.read(rows, phase, setting)
    turns = (phase % 1).astype(np.float32) * np.float32(2 * np.pi)
    # High notes get less modulation, whose sidebands would alias.
    depth = patch["fm_depth"] * (0.6 + 0.1 * strength) * min(1.0, 2 ** ((72 - pitch) / 12))
    fall = 0.25 + 0.75 * np.exp(-time / patch["filter_decay"])
    return np.sin(turns + (depth * fall).astype(np.float32) * np.sin(turns * patch["fm_ratio"]))


def _envelope(time: np.ndarray, patch: dict[str, Any]) -> np.ndarray:
    """Return the envelope: attack, and decay to the sustained level."""
    later = np.maximum(time - patch["attack"], 0)
    fall = patch["sustain"] + (1 - patch["sustain"]) * np.exp(-later / patch["decay"])
    return (np.minimum(time / patch["attack"], 1) * fall).astype(np.float32)


def _release(length: int, seconds: float) -> np.ndarray:
    time = np.arange(length, dtype=np.float32) / max(wavetables.sample_count(seconds), 1)
    return (1 - np.minimum(time, 1)) ** 2


def _driven(stem: np.ndarray, patch: dict[str, Any]) -> np.ndarray:
    """Clip a sound softly at about the same level."""
    if patch["drive"] <= 0:
        return stem
    push = np.float32(1 + patch["drive"])
    return np.tanh(stem * push) / np.float32(np.sqrt(push))
