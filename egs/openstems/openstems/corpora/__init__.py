"""Scores from the MIDI pieces of packages.

`pieces` lists the pieces of a split, `excerpt` makes a score of one. The split of a piece depends
on its notes, so copies under other names are one piece.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..materials import Materials
from ..music import Score
from ..splits import split_of_digest
from . import mma
from .excerpt import excerpt_of
from .midi import MidiSong, read
from .roles import assign
from .sources import CORPORA, lumps

__all__ = ["Piece", "all_pieces", "excerpt", "pieces"]

_logger = logging.getLogger(__name__)

_SHORTEST = 12.0
_LEAST_BARS = {"drums": 0.35, "bass": 0.3, "other": 0.3}


@dataclass(frozen=True, order=True)
class Piece:
    """Piece of music in a package.

    Args:
        digest: hash of its notes, or of the style file for "mma"; it determines the split.
        source: name of the material.
        name: name of the piece in it.
        file: file with the piece.
        lump: name of its lump in a WAD file, otherwise empty.
    """

    digest: str
    source: str
    name: str
    file: Path
    lump: str = ""


def pieces(materials: Materials, split: str) -> tuple[Piece, ...]:
    """Return the pieces of a split that have drums and bass, in the order of their digests.

    Args:
        materials: materials of the build, with `names` and `path(name)`.
        split: "train", "valid" or "test".
    """
    return tuple(piece for piece in all_pieces(materials) if split_of_digest(piece.digest) == split)


def all_pieces(materials: Materials) -> tuple[Piece, ...]:
    """Return the pieces of all splits, without duplicates, in the order of their digests."""
    found: dict[str, Piece] = {}
    for source in (*CORPORA, "mma"):
        if source in materials.names:
            for piece in _scan(source, Path(materials.path(source))):
                found.setdefault(piece.digest, piece)
    return tuple(sorted(found.values()))


@functools.lru_cache(maxsize=16)
def _scan(source: str, root: Path) -> tuple[Piece, ...]:
    """Return the pieces of a material; a warning names those that cannot be read."""
    if source == "mma":
        return tuple(Piece(digest, source, name, file) for name, file, digest in mma.styles(root))
    kept = []
    try:
        for name, file, lump, data in CORPORA[source](root):
            try:
                song = read(data)
            except ValueError as error:
                _logger.warning("left out %s: %s: %s", source, name, error)
                continue
            if _has_a_band(song):
                kept.append(Piece(song.digest, source, name, file, lump))
    except (OSError, ValueError) as error:
        _logger.warning("left out %s: %s", source, error)
    return tuple(kept)


def _has_a_band(song: MidiSong) -> bool:
    """Return whether drums, bass and another instrument play in enough of the bars."""
    bars: dict[str, set[int]] = {"drums": set(), "bass": set(), "other": set()}
    for part in assign(song.tracks)[0]:
        starts = [note.start for note in part.notes]
        kind = part.role if part.role in bars else "other"
        bars[kind].update(np.searchsorted(song.bars, starts, side="right").tolist())
    long = song.bars[-1] - song.bars[0] >= _SHORTEST
    count = len(song.bars) - 1
    return long and all(len(bars[kind]) >= least * count for kind, least in _LEAST_BARS.items())


def excerpt(piece: Piece, seconds: float, rng: np.random.Generator) -> Score:
    """Return an excerpt of a piece in another key and at another tempo, with a vocal melody.

    The melody is that of the most singable instrument, which is removed. Without one it is composed
    on the harmony.

    Args:
        piece: one of `pieces`.
        seconds: length of the score, at least 1.
        rng: random generator; the same state gives the same score.

    Raises:
        ValueError: for a length below one second, or an unreadable piece.
    """
    if not seconds >= 1:
        raise ValueError(f"an excerpt must last at least one second, got {seconds}")
    origin = {"source": piece.source, "piece": piece.name, "digest": piece.digest}
    if piece.source == "mma":
        song, chords, choices = mma.play(piece.file, rng)
        return excerpt_of(song, seconds, rng, {**origin, **choices}, chords)
    return excerpt_of(_song(piece.file, piece.lump), seconds, rng, origin)


@functools.lru_cache(maxsize=8)
def _song(file: Path, lump: str) -> MidiSong:
    if not lump:
        return read(file.read_bytes())
    return read(next(data for name, data in lumps(file) if name == lump))
