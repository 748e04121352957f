"""Rendering of the parts of a score as tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from .effects import space
from .instruments import palette, recordings
from .materials import Materials
from .music import Part, Score
from .production import Track, silence
from .voices import arrangement, phrases
from .voices.choice import choose_voice

MOST_PLAYERS = 6
"""Largest number of instruments of `other`; more parts share instruments."""
RECORDING_SHARE = 0.1
"""Share of songs with a recorded guitar, if one is available."""
PHRASES_SHARE = 0.5
"""Share of songs whose vocals are recorded phrases, if there are any."""
LEFT, RIGHT = " left", " right"

Streams = Callable[..., np.random.Generator]
Record = dict[str, Any]


def play(
    score: Score,
    samples: int,
    split: str,
    materials: Materials,
    streams: Streams,
    pauses: Sequence[Record],
) -> tuple[list[Track], list[Record]]:
    """Render all parts except the vocals.

    Args:
        score: the song.
        samples: its length.
        split: train, valid or test, which have different instruments.
        materials: what the build may use.
        streams: gives a random stream for a name.
        pauses: pauses of stems as recorded by `production.arrange`, to silence recordings; the
            parts of the score have them already.

    Returns:
        A track for each instrument, and a record of the choices.
    """
    tracks, records = [], []
    for (role, name), parts in _players(score).items():
        choice = palette.choose(role, split, materials, streams("choice", role, name))
        stream = streams("play", role, name)
        track = _track(role, name, parts, choice, samples, stream, materials)
        if np.any(track.sound):
            tracks.append(track)
            records.append({"name": name, "parts": [part.name for part in parts], **choice})
    recorded = _recording(score, samples, split, materials, streams("recording"))
    if recorded:
        sound = silence(recorded[0].sound, "other", pauses)
        tracks.append(replace(recorded[0], sound=sound))
        records.append(recorded[1])
    return tracks, records


def sing(
    score: Score,
    samples: int,
    split: str,
    materials: Materials,
    streams: Streams,
    voice_phrases: int,
    pauses: Sequence[Record],
) -> tuple[list[Track], Record | None]:
    """Render the vocal part, or replace it by recorded phrases.

    Args:
        score: the song, possibly without a part "vocals".
        samples: its length.
        split: train, valid or test, which have different voices.
        materials: what the build may use.
        streams: gives a random stream for a name.
        voice_phrases: phrases from which a voice is built.
        pauses: as for `play`, to silence recorded phrases.

    Returns:
        At most one track, and a record of the singers or None.
    """
    parts = score.part("vocals")
    if not parts:
        return [], None
    notes = parts[0].notes
    rng = streams("phrases")
    if rng.random() < PHRASES_SHARE:
        recorded = phrases.sing(score, samples, rng, split, materials)
        if recorded is not None:
            sound = silence(recorded[0], "vocals", pauses)
            return [Track("vocals", sound, notes)], recorded[1]
    voice = choose_voice(split, materials, streams("voice"))
    sound, record = arrangement.sing(
        notes,
        voice,
        samples,
        streams("singing"),
        materials=materials,
        chords=score.chords,
        sections=score.sections,
        phrases=voice_phrases,
    )
    return [Track("vocals", sound, notes)], record


def _players(score: Score) -> dict[tuple[str, str], list[Part]]:
    """Return the parts of each player; many parts of `other` are grouped by role."""
    parts = [part for part in score.parts if part.role != "vocals"]
    names = {(part.role, _player_name(part)) for part in parts}
    many = sum(role not in ("drums", "bass") for role, _ in names) > MOST_PLAYERS
    players: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        single = many or part.role in ("drums", "bass")
        key = (part.role, part.role if single else _player_name(part))
        players.setdefault(key, []).append(part)
    return players


def _player_name(part: Part) -> str:
    name = part.name.removesuffix(LEFT).removesuffix(RIGHT)
    return name or f"{part.role} {part.program}"


def _track(
    role: str,
    name: str,
    parts: Sequence[Part],
    choice: Record,
    samples: int,
    rng: np.random.Generator,
    materials: Materials,
) -> Track:
    """Return one instrument's track, with the takes of a doubled part left and right."""
    sides = [[p for p in parts if p.name.endswith(side)] for side in (LEFT, RIGHT)]
    doubled = len(sides[0]) == len(sides[1]) == 1 and len(parts) == 2
    parameters = choice.get("parameters", {})
    own_takes = parameters.get("takes", 1) > 1
    if doubled and not own_takes:
        takes = [palette.render(choice, side[0].notes, samples, rng, materials) for side in sides]
        sound = space.split_pan(*takes, position=float(rng.uniform(0.6, 1.0)))
    else:
        # Some instruments render two takes themselves.
        played = [note for part in (sides[0] if doubled else parts) for note in part.notes]
        sound = palette.render(choice, played, samples, rng, materials)
    return Track(
        role,
        sound,
        tuple(note for part in parts for note in part.notes),
        int(choice.get("program", 0)),
        name,
        wide=doubled or own_takes,
        amplified=choice["kind"] == "strings",
    )


def _recording(
    score: Score, samples: int, split: str, materials: Materials, rng: np.random.Generator
) -> tuple[Track, Record] | None:
    """Return a recorded guitar for some songs; its key and tempo are not those of the song."""
    if rng.random() >= RECORDING_SHARE or not score.parts:
        return None
    taken = recordings.excerpt(score.seconds, rng, split, materials)
    if taken is None or not np.any(taken[0]):
        return None
    sound, record = taken
    track = Track("recording", sound[:, :samples], name="recording", wide=True, amplified=True)
    return track, {"role": "recording", **record}
