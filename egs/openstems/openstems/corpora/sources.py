"""Materials with MIDI pieces, and readers for them."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

_HEADER = struct.Struct("<4sII")
_ENTRY = struct.Struct("<II8s")


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


def lumps(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of every lump, in the order of the directory.

    A WAD begins with its kind, the number of lumps and the offset of the directory, which has the
    offset, size and name of each lump.

    Args:
        path: the file.

    Raises:
        ValueError: if the file is no WAD, or is truncated.
    """
    data = path.read_bytes()
    if len(data) < _HEADER.size or data[:4] not in (b"IWAD", b"PWAD"):
        raise ValueError(f"{path} is not a WAD file")
    _, count, directory = _HEADER.unpack_from(data)
    if directory + count * _ENTRY.size > len(data):
        raise ValueError(f"{path} ends before its directory does")
    for index in range(count):
        offset, size, name = _ENTRY.unpack_from(data, directory + index * _ENTRY.size)
        if offset + size > len(data):
            raise ValueError(f"{path} ends before its lumps do")
        yield name.rstrip(b"\0").decode("ascii", "replace"), data[offset : offset + size]


CORPORA: dict[str, Callable[[Path], Iterator[Entry]]] = {
    "simutrans-data": _midi_files("usr/share/games/simutrans/music"),
    "freedoom": _wads("usr/share/games/doom"),
    "pianobooster": _midi_files("usr/share/doc/pianobooster/courses"),
    # Its readme says that this tune is inspired by a song under copyright.
    "openttd-openmsx": _midi_files("usr/share/games/openttd/baseset/openmsx", "moo.?moo.?boogie.*"),
    "planetblupi-music-midi": _midi_files("usr/share/planetblupi/music"),
}
"""Readers of each material's pieces, which take the root of the unpacked package."""
