"""One song from its number: composed or excerpted, rendered, mixed and mastered.

Every step has a random stream named after the song and the step, so that a change of one step does
not change the choices of others.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import corpora, mastering, production
from .composer import band
from .materials import Materials, find
from .music import RATE, Score
from .performance import Streams, play, sing
from .randomness import generator
from .splits import SongSettings

OWN_BAND = 60
"""Weight of composed songs, as a number of pieces beside those of the corpora."""


@dataclass(frozen=True)
class Song:
    """Finished song.

    Args:
        stems: vocals, drums, bass and other, each int16 of shape (2, samples).
        entry: entry of the manifest, in plain types.
    """

    stems: dict[str, np.ndarray]
    entry: dict[str, Any]


def render_song(index: int, settings: SongSettings) -> Song:
    """Return a song.

    Args:
        index: its number within its split.
        settings: settings of the split.

    Returns:
        The song, determined by the arguments.
    """
    streams = functools.partial(generator, settings.seed, settings.split, index)
    samples = round(settings.seconds * RATE)
    score, form = production.arrange(_score(settings, streams), streams("form"))
    split, materials = settings.split, settings.materials
    tracks, instruments = play(score, samples, split, materials, streams, form["pauses"])
    voices, singing = sing(
        score, samples, split, materials, streams, settings.voice_phrases, form["pauses"]
    )
    stems, mix = production.mix_stems([*tracks, *voices], score, samples, streams)
    master = mastering.draw(streams("master"))
    made = {"origin": _origin(score), "instruments": instruments, "vocals": singing}
    licences = _licences(made, materials)
    entry = {
        "seed": settings.seed,
        "seconds": settings.seconds,
        "profile": materials.profile,
        "tempo": round(float(score.tempo), 3),
        "key": int(score.key),
        "mode": score.mode,
        "beats_per_bar": int(score.beats_per_bar),
        "sections": [[s.name, s.start, s.end, s.energy] for s in score.sections],
        **made,
        "form": form,
        "mix": mix,
        "master": master,
        "uses": _uses(made),
        "materials": list(licences),
        "licences": licences,
    }
    return Song(mastering.master(stems, **master), plain(entry))


def plain(value: Any) -> Any:
    """Convert a value to types of JSON: tuples to lists, numpy's numbers to Python's."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    return value.item() if isinstance(value, np.generic) else value


def _score(settings: SongSettings, streams: Streams) -> Score:
    """Return a composed song, or an excerpt of a piece of the split."""
    rng = streams("source")
    choices = _pieces(settings.materials, settings.split)
    if rng.random() * (OWN_BAND + len(choices)) < OWN_BAND:
        return band.compose(settings.seconds, streams("composer"))
    piece = choices[int(rng.integers(len(choices)))]
    return corpora.excerpt(piece, settings.seconds, streams("excerpt"))


@functools.lru_cache(maxsize=4)
def _pieces(materials: Materials, split: str) -> tuple[corpora.Piece, ...]:
    return tuple(corpora.pieces(materials, split))


def _origin(score: Score) -> dict[str, Any]:
    """Return the origin of the notes by kind, to find what splits share."""
    origin = dict(score.origin)
    if "piece" in origin:
        origin["material"] = origin["source"]
        origin["uses"] = {"piece": [f"{origin['source']}: {origin['piece']}"]}
    return origin


def _uses(made: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names that no other split may use, by kind."""
    uses: dict[str, set[str]] = {}
    for record in _records(made):
        for kind, names in record.get("uses", {}).items():
            uses.setdefault(kind, set()).update(names)
        if isinstance(record.get("voice"), Mapping):
            uses.setdefault("speaker", set()).add(record["voice"]["speaker"])
    return {kind: sorted(names) for kind, names in sorted(uses.items())}


def _licences(made: Mapping[str, Any], materials: Materials) -> dict[str, list[str]]:
    """Return the materials used, each with its licences, in the order of their names."""
    names = {record["material"] for record in _records(made) if record.get("material")}
    return {name: list(find(name).licences(materials.profile)) for name in sorted(names)}


def _records(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every dictionary inside a record."""
    if isinstance(value, Mapping):
        yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for entry in value:
            yield from _records(entry)
