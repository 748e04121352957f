"""Roles of the instruments of a MIDI file, and the choice of a singable melody."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..music import Note, Part
from .midi import Track

_RANGES = (
    ("keys", 0, 23),
    ("guitar", 24, 31),
    ("bass", 32, 39),
    ("strings", 40, 51),
    ("pad", 52, 54),
    ("brass", 55, 63),
    ("lead", 64, 87),
    ("pad", 88, 103),
    ("guitar", 104, 107),
    ("keys", 108, 108),
    ("lead", 109, 111),
)
_MELODIC_NAME = re.compile(r"voc|voice|sing|mel|lead|solo|vox", re.IGNORECASE)
_ACCOMPANYING_NAME = re.compile(r"bass|rhy|chord|arp|acc|drum|perc|pad", re.IGNORECASE)


def role(program: int) -> str | None:
    """Return the role of a General MIDI program; None from 112 on (percussion, sound effects)."""
    return next((name for name, low, high in _RANGES if low <= program <= high), None)


def assign(tracks: Sequence[Track]) -> tuple[list[Part], list[str]]:
    """Return parts of the tracks, and the names of tracks that are left out.

    If no track has a bass program, the lowest monophonic track below C3 is the bass.
    """
    low = None
    if not any(not track.is_drum and role(track.program) == "bass" for track in tracks):
        low = _lowest(tracks)
    parts, dropped = [], []
    for track in tracks:
        name = "drums" if track.is_drum else "bass" if track is low else role(track.program)
        if name is None:
            dropped.append(track.name or f"program {track.program}")
            continue
        program = 0 if track.is_drum else 33 if track is low else track.program
        parts.append(Part(name, program, track.notes, track.name))
    return parts, dropped


def _lowest(tracks: Sequence[Track]) -> Track | None:
    candidates = [
        track
        for track in tracks
        if not track.is_drum
        and role(track.program) is not None
        and len(track.notes) >= 16
        and overlap(track.notes) < 0.25
        and np.median([note.pitch for note in track.notes]) < 48
    ]
    return min(
        candidates, key=lambda track: np.median([n.pitch for n in track.notes]), default=None
    )


def overlap(notes: Sequence[Note]) -> float:
    """Return the share of notes that begin before the previous one has ended."""
    pairs = list(zip(notes, notes[1:], strict=False))
    return sum(b.start < a.end - 0.06 for a, b in pairs) / max(1, len(pairs))


def vocal_part(parts: Sequence[Part], seconds: float) -> Part | None:
    """Return the part that is most suitable for a singer; None if there is none.

    Args:
        parts: parts of the excerpt.
        seconds: its length.

    Returns:
        A nearly monophonic part in a singable register and pace that sounds for at least a third of
        the time. Parts named voice, melody or lead are preferred.
    """
    best: tuple[float, Part | None] = (-1.0, None)
    for part in parts:
        notes = part.notes
        if part.role in ("drums", "bass", "pad") and part.program not in (52, 53, 54):
            continue
        if _ACCOMPANYING_NAME.search(part.name) and not _MELODIC_NAME.search(part.name):
            continue
        if len(notes) < max(4, 0.4 * seconds) or overlap(notes) > 0.2:
            continue
        pitches = np.array([note.pitch for note in notes])
        sounding = sum(min(n.duration, 2.0) for n in notes) / seconds
        pace = len(notes) / seconds
        if not 50 <= np.median(pitches) <= 90 or sounding < 0.3 or pace > 5:
            continue
        if np.percentile(pitches, 95) - np.percentile(pitches, 5) > 24 or len(set(pitches)) < 4:
            continue
        likeness = 1.0 - 2 * overlap(notes) - abs(np.median(pitches) - 69) / 24 + min(sounding, 0.8)
        likeness += 1.0 if _MELODIC_NAME.search(part.name) else 0.0
        likeness += 0.5 if part.role in ("lead", "pad") else 0.0
        if likeness > best[0]:
            best = (likeness, part)
    return best[1]


def doubles(part: Part, melody: Part) -> bool:
    """Return whether a part doubles at least four fifths of a melody, in any octave."""
    if part.role in ("drums", "bass"):
        return False
    played = {(round(n.start * 25) + k, n.pitch % 12) for n in part.notes for k in (-1, 0, 1)}
    shared = sum((round(note.start * 25), note.pitch % 12) in played for note in melody.notes)
    # A part with many more notes than the melody does not double it.
    return shared >= 0.8 * len(melody.notes) and len(part.notes) <= 2.5 * len(melody.notes)


def singable(part: Part, seconds: float) -> tuple[Note, ...]:
    """Return an instrument's melody for a singer: monophonic, legato, with breaths.

    Args:
        part: the melody.
        seconds: length of the excerpt.

    Returns:
        Notes from C3 to C6. Short gaps are closed, long phrases are cut at a long note to leave
        room for a breath, and ornaments shorter than 70 ms are left out.
    """
    notes = _one_voice([note for note in part.notes if note.duration >= 0.07])
    if not notes:
        return ()
    shift = 12 * round((66 - float(np.median([note.pitch for note in notes]))) / 12)
    sung: list[Note] = []
    count = 0
    for index, note in enumerate(notes):
        pitch = note.pitch + shift
        pitch += 12 * ((48 - pitch + 11) // 12) if pitch < 48 else 0
        pitch -= 12 * ((pitch - 84 + 11) // 12) if pitch > 84 else 0
        following = notes[index + 1].start if index + 1 < len(notes) else seconds
        gap = following - note.end
        # A singer sustains notes that an instrument plays detached.
        tied = gap < 0.15 or (gap < 0.35 and following - note.start < 0.6)
        end = following if tied else min(note.end, seconds)
        count += 1
        if end == following and index + 1 < len(notes):
            long = end - note.start
            if (count >= 6 and long > 0.55) or (count >= 9 and long > 0.35) or count >= 12:
                end -= min(0.25, 0.4 * long)
        if end != following:
            count = 0
        if end - note.start > 0.04:
            sung.append(Note(note.start, min(end, seconds), int(pitch), max(50, note.velocity)))
    return tuple(sung)


def _one_voice(notes: list[Note]) -> list[Note]:
    """Return the highest of notes that start together, each cut at the next one."""
    chosen: list[Note] = []
    for note in sorted(notes, key=lambda n: (n.start, -n.pitch)):
        if chosen and note.start < chosen[-1].start + 0.05:
            continue
        if chosen and chosen[-1].end > note.start:
            last = chosen.pop()
            chosen.append(Note(last.start, note.start, last.pitch, last.velocity))
        chosen.append(note)
    return chosen
