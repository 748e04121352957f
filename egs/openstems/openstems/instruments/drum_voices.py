"""Voices of synthetic drums: functions of a kit, a role, a strength and a random stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import signal

from openstems.music import RATE

Kit = dict[str, Any]
# Partials of a membrane, and of the six square waves of a drum machine's cymbal.
_MEMBRANE = (1.0, 1.59, 2.14, 2.3, 2.65, 2.92)
_SQUARES = (205.3, 304.4, 369.6, 522.7, 540.0, 800.0)


def _time(seconds: float) -> np.ndarray:
    return np.arange(max(int(seconds * RATE), 64)) / RATE


def _swept(start: float, end: float, speed: float, time: np.ndarray) -> np.ndarray:
    """Return the phase of an oscillator that falls from `start` to `end` Hz at a rate in 1/s."""
    return 2 * np.pi * (end * time + (start - end) * (1 - np.exp(-speed * time)) / speed)


def _band(sound: np.ndarray, low: float, high: float) -> np.ndarray:
    edges = [max(low, 20) / (RATE / 2), min(high, 0.45 * RATE) / (RATE / 2)]
    return signal.sosfilt(signal.butter(2, edges, "band", output="sos"), sound)


def _tone(kit: Kit) -> float:
    return 2.0 ** (kit["tune"] / 12)


def kick(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a kick: a falling sine with a sub and a click."""
    pitch = kit["kick_pitch"] * rng.uniform(0.99, 1.01)
    decay = kit["kick_decay"] * rng.uniform(0.95, 1.05)
    time = _time(min(6 * decay, 2.5))
    sweep = 2.0 ** (kit["kick_sweep"] * (0.7 + 0.3 * hardness))
    body = np.sin(_swept(pitch * sweep, pitch, 45 + 30 * hardness, time)) * np.exp(-time / decay)
    sub = np.sin(2 * np.pi * pitch * time) * np.exp(-time / (1.4 * decay))
    sub *= np.minimum(time / 0.012, 1)
    click = _band(rng.standard_normal(len(time)), 1500, 7000 * kit["bright"])
    click *= np.exp(-time / 0.004) * hardness**1.5
    skin = _band(rng.standard_normal(len(time)), 250, 1600) * np.exp(-time / 0.025)
    return body + kit["kick_sub"] * sub + kit["kick_click"] * (0.6 * click + 0.6 * skin)


def snare(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a snare: two tones of the shell and the noise of the wires."""
    pitch = kit["snare_pitch"] * _tone(kit) * rng.uniform(0.99, 1.01)
    decay = kit["snare_decay"] * (0.8 + 0.2 * hardness)
    time = _time(6 * decay)
    shell = sum(
        level * np.sin(_swept(pitch * ratio * 1.3, pitch * ratio, 90, time))
        for ratio, level in ((1.0, 1.0), (1.6, 0.5))
    ) * np.exp(-time / (0.7 * decay))
    noise = rng.standard_normal(len(time))
    wires = _band(noise, 900, (5000 + 6000 * hardness) * kit["bright"]) + 0.9 * _band(
        noise, 250, 1400
    )
    wires *= 0.6 * np.exp(-time / decay) + 0.6 * np.exp(-time / 0.012) * hardness
    return (1 - kit["snare_noise"]) * shell + kit["snare_noise"] * wires


def clap(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a clap: several bursts within about 30 ms, and their room."""
    time = _time(0.5)
    envelope = np.exp(-time / (0.06 + 0.4 * kit["snare_decay"])) * 0.5
    for start in (0, *np.cumsum(rng.uniform(0.006, 0.014, 3))):
        after = time - start
        envelope += np.where(after >= 0, np.exp(-np.maximum(after, 0) / 0.006), 0)
    return _band(rng.standard_normal(len(time)), 700, 3500 * kit["bright"]) * envelope


def stick(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a stick or wood block: two short high tones."""
    time = _time(0.12)
    pitch = (1700 if role == "stick" else 900) * _tone(kit) * rng.uniform(0.97, 1.03)
    knock = np.sin(2 * np.pi * pitch * time) + 0.5 * np.sin(2 * np.pi * 0.46 * pitch * time)
    return knock * np.exp(-time / 0.014) + 0.3 * _band(
        rng.standard_normal(len(time)), 2000, 9000
    ) * np.exp(-time / 0.004)


def _metal(kit: Kit, time: np.ndarray, low: float, rng: np.random.Generator) -> np.ndarray:
    """Return the kit's mixture of inharmonic square waves and noise above `low` Hz."""
    base = _tone(kit) * rng.uniform(0.995, 1.005)
    ring = sum(
        np.sign(np.sin(2 * np.pi * 2.1 * base * pitch * time + rng.uniform(0, 6.28)))
        for pitch in _SQUARES
    )
    share = kit["metal"]
    blend = share * ring / 3 + (1 - share) * 1.5 * rng.standard_normal(len(time))
    return _band(blend, low, 10000 * kit["bright"])


def hat(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a closed, pedal or open hi-hat, a tambourine or a shaker."""
    decay = kit["hat_decay"] * rng.uniform(0.85, 1.15) * (0.7 + 0.5 * hardness)
    decay *= {"open_hat": 6.0, "pedal_hat": 0.8, "tambourine": 1.6}.get(role, 1.0)
    time = _time(min(5 * decay, 1.5))
    attack = 0.02 if role == "shaker" else 0.0012
    envelope = np.exp(-time / decay) * np.minimum(time / attack, 1)
    return _metal(kit, time, 6000 + 800 * hardness, rng) * envelope


def cymbal(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a crash, splash or ride: a long tail of noise whose high frequencies decay first."""
    scale = {"splash": 0.35, "ride": 0.8, "ride_bell": 0.6}.get(role, 1.0)
    decay = kit["cymbal_decay"] * scale * (0.7 + 0.4 * hardness)
    time = _time(min(3.5 * decay, 5.0))
    metal = _metal(kit, time, 2500, rng)
    top = _metal(kit, time, 7000, rng)
    sound = metal * np.exp(-time / decay) + 0.8 * top * np.exp(-time / (0.35 * decay))
    if role.startswith("ride"):
        bell = 2.0 if role == "ride_bell" else 0.6
        ping = sum(np.sin(2 * np.pi * pitch * _tone(kit) * time) for pitch in (2630, 3920, 5350))
        stick_noise = np.exp(-time / 0.03) * 3
        sound = sound * 0.4 + bell * 0.15 * ping * np.exp(-time / 0.3) + top * stick_noise * 0.3
    else:
        sound *= np.minimum(time / 0.004, 1)
    return sound


def tom(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a tom or conga: a membrane with slightly falling pitch."""
    pitch = {"low_tom": 82, "mid_tom": 112, "high_tom": 155, "conga": 240}[role] * _tone(kit)
    decay = (0.1 if role == "conga" else 0.18) + 0.5 * kit["kick_decay"]
    time = _time(min(5 * decay, 2.0))
    sound = np.zeros(len(time))
    for index, ratio in enumerate(_MEMBRANE):
        phase = _swept(pitch * ratio * (1 + 0.3 * hardness), pitch * ratio, 25, time)
        sound += np.sin(phase) * 0.55**index * np.exp(-time * (1 + index) / decay)
    skin = _band(rng.standard_normal(len(time)), 300, 4000 * kit["bright"]) * np.exp(-time / 0.015)
    return sound + 0.5 * kit["kick_click"] * hardness * skin


def cowbell(kit: Kit, role: str, hardness: float, rng: np.random.Generator) -> np.ndarray:
    """Return a cowbell: two square waves."""
    time = _time(0.5)
    pair = sum(np.sign(np.sin(2 * np.pi * pitch * _tone(kit) * time)) for pitch in (540, 800))
    envelope = 0.6 * np.exp(-time / 0.012) + 0.4 * np.exp(-time / 0.12)
    return _band(pair, 400, 5000) * envelope


def room_tail(
    sound: np.ndarray, share: float, bright: float, rng: np.random.Generator
) -> np.ndarray:
    """Return `sound` in stereo with a short room of decaying noise.

    Args:
        sound: shape (L,).
        share: level of the room, 0 to 1.
        bright: factor on the room's upper frequency limit.
        rng: random stream of the room.
    """
    time = _time(0.18 + 0.5 * share)
    decay = np.exp(-time / (0.03 + 0.16 * share))
    walls = _band(rng.standard_normal((2, len(time))), 120, 6500 * bright) * decay
    walls /= np.sqrt((walls**2).sum(axis=1, keepdims=True))
    wet = signal.oaconvolve(sound[None].astype(np.float32), walls.astype(np.float32), axes=1)
    wet[:, : len(sound)] = wet[:, : len(sound)] * share + sound
    wet[:, len(sound) :] *= share
    return wet.astype(np.float32)


VOICES = {
    "kick": kick, "snare": snare, "clap": clap, "stick": stick, "block": stick, "closed_hat": hat,
    "pedal_hat": hat, "open_hat": hat, "tambourine": hat, "shaker": hat, "low_tom": tom,
    "mid_tom": tom, "high_tom": tom, "conga": tom, "crash": cymbal, "splash": cymbal,
    "ride": cymbal, "ride_bell": cymbal, "cowbell": cowbell,
}  # fmt: skip
"""Voice of each role."""
