"""Second voices from melody and chords: stacks, pads, answers and ornaments."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..music import Chord, Note, chord_at

LOWEST, HIGHEST = 43, 84


def stack(phrase: Sequence[Note], chords: Sequence[Chord], interval: int) -> tuple[Note, ...]:
    """Return a second voice, on tones of the chord if it is known.

    Args:
        phrase: the melody.
        chords: the harmony of the song.
        interval: approximate interval to the melody in semitones; 12 and -12 are exact octaves.
    """
    return tuple(
        Note(note.start, note.end, _beside(note, chords, interval), note.velocity)
        for note in phrase
    )


def _beside(note: Note, chords: Sequence[Chord], interval: int) -> int:
    if abs(interval) == 12:
        return note.pitch + interval
    chord = chord_at(chords, (note.start + note.end) / 2)
    if chord is None:
        return note.pitch + interval
    direction = 1 if interval > 0 else -1
    tones = [
        note.pitch + direction * distance
        for distance in range(3, 10)
        if (note.pitch + direction * distance) % 12 in chord.pitch_classes
    ]
    if not tones:
        return note.pitch + interval
    return min(tones, key=lambda pitch: abs(pitch - note.pitch - interval))


def pads(
    chords: Sequence[Chord], start: float, end: float, centre: float, voices: int
) -> tuple[tuple[tuple[Note, ...], ...], ...]:
    """Return sustained chords with voice leading and a breath about every six seconds.

    Args:
        chords: the harmony of the song.
        start: start in seconds.
        end: end in seconds.
        centre: centre of the voices as a MIDI number.
        voices: how many.

    Returns:
        Phrases of each voice.
    """
    spans = [
        (max(chord.start, start), min(chord.end, end), chord)
        for chord in chords
        if chord.end > start + 0.3 and chord.start < end - 0.3
    ]
    result = []
    for voice in range(voices):
        pitch = centre + 4 * (voice - (voices - 1) / 2)
        lines: list[list[Note]] = [[]]
        for first, last, chord in spans:
            tones = [p for p in range(LOWEST, HIGHEST) if p % 12 in chord.pitch_classes[:4]]
            pitch = min(tones, key=lambda tone, near=pitch: (abs(tone - near), tone))
            if lines[-1] and last - lines[-1][0].start > 6:
                # The breath shortens the end of the previous note.
                held = lines[-1].pop()
                lines[-1].append(
                    Note(held.start, max(held.end - 0.25, held.start + 0.2), held.pitch, 80)
                )
                lines.append([])
            if lines[-1] and lines[-1][-1].pitch == pitch and lines[-1][-1].end >= first - 0.01:
                first = lines[-1].pop().start
            lines[-1].append(Note(first, last, int(pitch), 80))
        result.append(tuple(tuple(line) for line in lines if line))
    return tuple(result)


def rests(
    phrases: Sequence[Sequence[Note]], shortest: float, end: float
) -> tuple[tuple[float, float], ...]:
    """Return the rests between phrases and after the last.

    Args:
        phrases: phrases of the lead.
        shortest: least length in seconds.
        end: end of the song in seconds.
    """
    begins = [*(phrase[0].start for phrase in phrases[1:]), end]
    ends = [phrase[-1].end for phrase in phrases]
    return tuple((a, b) for a, b in zip(ends, begins, strict=True) if b - a >= shortest)


def answer(phrase: Sequence[Note], start: float, end: float) -> tuple[Note, ...]:
    """Return the last notes of a phrase, repeated in a rest.

    Args:
        phrase: phrase to answer.
        start: start of the rest in seconds.
        end: end of the rest in seconds.
    """
    room = end - start - 0.35
    tail: list[Note] = []
    for note in reversed(phrase):
        if phrase[-1].end - note.start > room or len(tail) == 5:
            break
        tail.insert(0, note)
    if not tail:
        return ()
    shift = start + 0.2 - tail[0].start
    return tuple(Note(n.start + shift, n.end + shift, n.pitch, n.velocity) for n in tail)


def ornament(
    chords: Sequence[Chord], start: float, end: float, near: int, rng: np.random.Generator
) -> tuple[Note, ...]:
    """Return a short descending run of chord tones in a rest.

    Args:
        chords: the harmony of the song.
        start: start of the rest in seconds.
        end: end of the rest in seconds.
        near: approximate highest note as a MIDI number.
        rng: random generator of the rhythm.
    """
    chord = chord_at(chords, start + 0.2)
    classes = (
        chord.pitch_classes if chord else tuple((near + step) % 12 for step in (0, 3, 5, 7, 10))
    )
    tones = [p for p in range(near - 10, near + 3) if p % 12 in classes][::-1]
    count = int(rng.integers(2, 5))
    time, notes = start + float(rng.uniform(0.15, 0.3)), []
    for number, pitch in enumerate(tones[:count]):
        last = number == min(count, len(tones)) - 1
        length = float(rng.uniform(0.4, 0.9) if last else rng.uniform(0.12, 0.3))
        if time + length > end - 0.15:
            break
        notes.append(Note(time, time + length, pitch, 85))
        time += length
    return tuple(notes)
