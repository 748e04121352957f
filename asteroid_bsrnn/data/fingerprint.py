"""A hash that tells one state of a data set from another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import UserError
from .tracks import MIXTURE, Track, relative_name


def fingerprint(root: str | os.PathLike, tracks: Iterable[Track]) -> str:
    """Hashes the names, sizes and lengths of the tracks' files, not what they sound like.

    Args:
        root: the data set's folder; the names are relative to it, so a copy elsewhere has the same
            fingerprint.
        tracks: in any order.

    Returns:
        SHA-256 in hexadecimal.

    Raises:
        UserError: a stem is not there any more.
    """
    lines = []
    for track in tracks:
        mixture = track.path(MIXTURE)
        for path in [*track.stems(), *([mixture] if mixture.is_file() else [])]:
            name = relative_name(root, path)
            lines.append(f"{name}\0{_size(path)}\0{track.frames}\0{track.sample_rate}\n")
    text = "".join(sorted(lines))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the data set's folder") from None
