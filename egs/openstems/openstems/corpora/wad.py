"""Reader of WAD files, the archives with the music of Doom and Freedoom."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

_HEADER = struct.Struct("<4sII")
_ENTRY = struct.Struct("<II8s")


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
