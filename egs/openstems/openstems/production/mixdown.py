"""Mixing of tracks into stems."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..effects import dynamics, process
from ..effects.dynamics import set_active_level
from ..music import STEMS, Score
from . import bass, draws, drums, form, other, vocals
from .other import Track

Streams = Callable[..., np.random.Generator]


def mix_stems(
    tracks: Sequence[Track], score: Score, samples: int, streams: Streams
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Mix tracks into the four stems.

    Args:
        tracks: tracks of the song, each of `samples` samples; possibly none.
        score: the song, for tempo and sections.
        samples: length of the stems.
        streams: function from a name to a random stream.

    Returns:
        Stem to sound of shape (2, L), float32, zeros for a missing stem; and a record of all
        parameters.
    """
    space = streams("production", "space")
    room = draws.room(space, (0.3, 1.6), early=draws.uniform(space, 0.1, 0.5))
    record: dict[str, Any] = {"room": room, "levels": form.balance(streams("production", "levels"))}
    depth = draws.uniform(streams("production", "sections"), 0, 6)
    record["section_depth"] = depth
    gain = form.section_gain(score, depth)
    kicks = drums.kick_times([n for t in tracks if t.role == "drums" for n in t.notes])
    stems = {}
    for stem in STEMS:
        mine = [track for track in tracks if form.stem_of(track.role) == stem]
        if not mine:
            stems[stem] = np.zeros((2, samples), np.float32)
            continue
        if stem == "other":
            sound, record[stem] = _mix_other(mine, room, score.tempo, kicks, streams)
        else:
            sound, record[stem] = _mix_single(stem, mine, room, score.tempo, streams)
        sound = dynamics.apply_gain(sound, gain)
        stems[stem] = set_active_level(sound, record["levels"][stem])
    return stems, record


def _mix_single(
    stem: str, tracks: Sequence[Track], room: draws.Link, tempo: float, streams: Streams
) -> tuple[np.ndarray, Any]:
    """Return a stem whose tracks share one chain."""
    rng = streams("production", stem)
    sound = sum(track.sound for track in tracks)
    notes = sorted((n for track in tracks for n in track.notes), key=lambda note: note.start)
    if stem == "drums":
        choice = drums.draw(rng, room)
        return drums.mix(sound, notes, **choice), choice
    if stem == "bass":
        chain = bass.draw(rng, room)
        return bass.mix(sound, chain), {"chain": chain}
    choice = vocals.draw(rng, room, tempo)
    return vocals.mix(sound, notes, **choice), choice


def _mix_other(
    tracks: Sequence[Track],
    room: draws.Link,
    tempo: float,
    kicks: Sequence[float],
    streams: Streams,
) -> tuple[np.ndarray, Any]:
    """Return the sum of all tracks, each with its own chain, through a common chain."""
    bus = np.zeros_like(tracks[0].sound)
    record = []
    for number, track in enumerate(tracks):
        rng = streams("production", "other", track.role, number)
        choice = other.draw(track, rng, room, tempo)
        bus += other.mix(track.sound, **choice, kicks=kicks)
        record.append({"role": track.role, "name": track.name, **choice})
    chain = other.draw_bus(streams("production", "other"), room)
    return process(set_active_level(bus, other.LEVEL), chain), {"tracks": record, "bus": chain}
