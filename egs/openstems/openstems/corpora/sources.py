"""Materials with MIDI pieces, and readers for them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from .wad import lumps


class Materials(Protocol):
    """Materials of a build; see `openstems.materials`."""

    names: object

    def path(self, name: str) -> Path:
        """Return the root of an unpacked material."""
        ...


Entry = tuple[str, Path, str, bytes]
"""Name of a piece, its file, the lump inside (or ""), and its content."""


def _midi_files(folder: str, unwanted: str = "") -> Callable[[Path], Iterator[Entry]]:
    def entries(root: Path) -> Iterator[Entry]:
        for file in sorted((root / folder).rglob("*.mid")):
            if not (unwanted and re.fullmatch(unwanted, file.stem, re.IGNORECASE)):
                yield file.stem, file, "", file.read_bytes()

    return entries


def _wads(folder: str) -> Callable[[Path], Iterator[Entry]]:
    def entries(root: Path) -> Iterator[Entry]:
        for file in sorted((root / folder).glob("*.wad")):
            for lump, data in lumps(file):
                if lump.startswith("D_") and data[:4] == b"MThd":
                    yield f"{file.stem} {lump}", file, lump, data

    return entries


CORPORA: dict[str, Callable[[Path], Iterator[Entry]]] = {
    "simutrans-data": _midi_files("usr/share/games/simutrans/music"),
    "freedoom": _wads("usr/share/games/doom"),
    "pianobooster": _midi_files("usr/share/doc/pianobooster/courses"),
    # Its readme says that this tune is inspired by a song under copyright.
    "openttd-openmsx": _midi_files("usr/share/games/openttd/baseset/openmsx", "moo.?moo.?boogie.*"),
    "planetblupi-music-midi": _midi_files("usr/share/planetblupi/music"),
}
"""Readers of each material's pieces, which take the root of the unpacked package."""
