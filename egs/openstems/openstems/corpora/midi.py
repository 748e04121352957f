"""MIDI files as tracks of notes in seconds, with bar lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import symusic

from ..music import Note, by_start

_LONGEST = 900
"""Seconds of a piece that are read; longer files mostly repeat themselves."""


@dataclass(frozen=True)
class Track:
    """Instrument of a MIDI file.

    Args:
        program: General MIDI program.
        is_drum: whether it is on the percussion channel.
        name: name of the track, possibly empty.
        notes: notes in seconds.
    """

    program: int
    is_drum: bool
    name: str
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class MidiSong:
    """Contents of a MIDI file.

    Args:
        tracks: instruments with notes.
        bars: start of each bar and end of the last one, in seconds.
        beats_per_bar: beats of most bars; compound metres count dotted beats.
        digest: hash of the notes, equal for copies with other instruments, names or tempi.
    """

    tracks: tuple[Track, ...]
    bars: tuple[float, ...]
    beats_per_bar: int
    digest: str


def read(data: bytes) -> MidiSong:
    """Read a MIDI file.

    Args:
        data: content of the file.

    Raises:
        ValueError: for a file that cannot be read or has no notes.
    """
    try:
        score = symusic.Score.from_midi(data)
    except (RuntimeError, ValueError) as error:
        raise ValueError(str(error)) from error
    if score.note_num() == 0:
        raise ValueError("it has no notes")
    clock = _clock(score)
    tracks = []
    for track in score.tracks:
        notes = _notes(track, clock)
        if notes:
            tracks.append(Track(int(track.program), bool(track.is_drum), track.name, notes))
    bars, beats = _bars(score)
    lines = clock(bars)
    lines = lines[: max(2, int(np.searchsorted(lines, _LONGEST)))]
    return MidiSong(tuple(tracks), tuple(float(t) for t in lines), beats, _digest(score))


def _clock(score: symusic.Score):
    """Return a function from ticks to seconds."""
    changes = {0: 120.0}
    for tempo in score.tempos:
        changes[int(tempo.time)] = max(1.0, float(tempo.qpm))
    ticks = np.array(sorted(changes), dtype=np.float64)
    rates = 60 / (np.array([changes[int(tick)] for tick in ticks]) * score.ticks_per_quarter)
    starts = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * rates[:-1])])

    def seconds(times: np.ndarray) -> np.ndarray:
        times = np.asarray(times, dtype=np.float64)
        place = np.searchsorted(ticks, times, side="right") - 1
        return starts[place] + (times - ticks[place]) * rates[place]

    return seconds


def _notes(track, clock) -> tuple[Note, ...]:
    """Return the notes of a track with its sustain pedal and volume applied."""
    data = track.notes.numpy()
    starts, lengths = data["time"].astype(np.int64), data["duration"].astype(np.int64)
    pitches, velocities = data["pitch"].astype(int), data["velocity"].astype(float)
    ends = starts + lengths
    if not track.is_drum:
        for pedal in track.pedals:
            held = (ends > pedal.time) & (ends < pedal.time + pedal.duration)
            ends[held] = pedal.time + pedal.duration
        ends = np.minimum(ends, _next_of_same_pitch(starts, pitches))
    for number, usual in ((7, 100.0), (11, 127.0)):
        velocities = velocities * np.sqrt(_controller(track, number, usual, starts) / usual)
    first, last = clock(starts), clock(np.maximum(ends, starts + 1))
    last = np.maximum(last, first + 0.02)
    loud = np.clip(np.round(velocities), 1, 127).astype(int)
    keep = (first < _LONGEST) & (velocities >= 1)
    columns = (array[keep].tolist() for array in (first, last, pitches, loud))
    return by_start(map(Note, *columns))


def _next_of_same_pitch(starts: np.ndarray, pitches: np.ndarray) -> np.ndarray:
    """Return the time at which the pitch of each note is struck again."""
    again = np.full(len(starts), np.iinfo(np.int64).max)
    order = np.lexsort((starts, pitches))
    same = pitches[order][1:] == pitches[order][:-1]
    later = starts[order][1:] > starts[order][:-1]
    again[order[:-1][same & later]] = starts[order][1:][same & later]
    return again


def _controller(track, number: int, usual: float, times: np.ndarray) -> np.ndarray:
    """Return the value of a controller at each time."""
    changes = sorted((int(c.time), float(c.value)) for c in track.controls if c.number == number)
    if not changes:
        return np.full(len(times), usual)
    values = np.array([usual, *(value for _, value in changes)])
    return values[np.searchsorted([time for time, _ in changes], times, side="right")]


def _bars(score: symusic.Score) -> tuple[np.ndarray, int]:
    """Return the ticks of the bar lines and the most frequent number of beats per bar."""
    signatures = [(0, 4, 4)]
    for signature in score.time_signatures:
        numerator, denominator = int(signature.numerator), int(signature.denominator)
        if numerator < 1 or denominator < 1:
            continue
        if signatures[-1][0] == int(signature.time):
            signatures.pop()
        signatures.append((int(signature.time), numerator, denominator))
    end = int(score.end())
    lines: list[float] = []
    spent: dict[int, float] = {}
    stops = [time for time, *_ in signatures[1:]] + [end]
    for (start, numerator, denominator), stop in zip(signatures, stops, strict=True):
        length = score.ticks_per_quarter * 4 * numerator / denominator
        lines += np.arange(start, max(stop, start + 1), length).tolist()
        compound = denominator == 8 and numerator % 3 == 0
        beats = numerator // 3 if compound and numerator > 3 else numerator
        spent[beats] = spent.get(beats, 0) + stop - start
    lines.append(max(end, lines[-1] + 1))
    return np.array(lines), max(spent, key=spent.get)


def _digest(score: symusic.Score) -> str:
    """Return a hash of the notes: position in 24ths of a quarter, pitch, and drum or not."""
    rows = []
    for track in score.tracks:
        data = track.notes.numpy()
        places = np.round(data["time"] * 24 / score.ticks_per_quarter).astype(np.int64)
        drum = np.full(len(places), int(track.is_drum))
        rows.append(np.stack([places, data["pitch"].astype(np.int64), drum], axis=1))
    notes = np.concatenate(rows)
    notes[:, 0] -= notes[:, 0].min()
    notes = notes[np.lexsort(notes.T[::-1])]
    return hashlib.sha256(notes.astype("<i8").tobytes()).hexdigest()
