"""Rendering of one zone of a SoundFont."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import signal

from openstems.instruments.sampling import read_at
from openstems.instruments.soundfont_file import SoundFontFile, Zone
from openstems.music import RATE


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
