"""Lists of whole songs with their licences, for training with a teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import write_text
from .instruments.sampling import opened
from .materials import Materials, find
from .voices.phrases import MATERIAL, sets

LEAST_SECONDS = 1.0
"""Least length of a phrase in seconds; shorter ones are single shouts."""


def entries(materials: Materials, split: str = "train") -> list[dict[str, Any]]:
    """Return the songs of a split, each with `path`, `title`, `licence`, `author` and `link`.

    `<source>: silent` marks a source that a song lacks.

    Args:
        materials: of the kind "songs".
        split: "train", or "valid" for the songs that `real_validation.py` is made from.

    Raises:
        UserError: if one is missing.
    """
    found: dict[Path, tuple[str, dict[str, Any]]] = {}
    for name in materials.names:
        material, folder = find(name), materials.path(name)
        link = f"{material.package} {materials.version(name)} ({material.client})"
        for item in material.used(materials.profile):
            for path in item.found(folder):
                song = {
                    "path": str(path),
                    "title": f"{name}: {path.stem}",
                    "licence": item.licence,
                    "author": item.credit,
                    "link": link,
                    **dict.fromkeys(item.silent, "silent"),
                }
                found.setdefault(path, (item.split, song))
    return [song for belongs_to, song in found.values() if belongs_to == split]


def phrases(materials: Materials) -> list[dict[str, Any]]:
    """Return the recorded phrases of the training split as songs with known vocals.

    Args:
        materials: of the kind "parts", with or without the recordings.
    """
    if MATERIAL not in materials.names:
        return []
    material = find(MATERIAL)
    return [
        {
            "stems": {"vocals": str(path)},
            "title": f"{MATERIAL}: {path.stem}",
            "licence": material.items[0].licence,
            "author": material.items[0].credit,
            "link": f"{material.package} {material.version}",
        }
        for collection in sets("train", materials)
        for path in collection.paths
        if seconds(path) >= LEAST_SECONDS
    ]


def seconds(path: Path) -> float:
    """Return the length of a recording in seconds.

    Raises:
        UserError: if it cannot be read.
    """
    with opened(path) as file:
        return file.frames / file.samplerate


def write_list(path: Path, materials: Materials, parts: Materials | None = None) -> int:
    """Write the list of training songs as JSON, which is YAML too.

    Args:
        path: path of a new file, or of one with the same list.
        materials: of the kind "songs".
        parts: materials of the kind "parts", for recorded phrases; None lists none.

    Returns:
        The number of songs.

    Raises:
        UserError: if a material is missing, or the file has other contents or cannot be written.
    """
    songs = entries(materials) + (phrases(parts) if parts else [])
    text = json.dumps(songs, indent=2, ensure_ascii=False) + "\n"
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path}: exists with other contents; name another file")
        write_text(path, text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise UserError(f"{path}: cannot be written ({reason}); name another file") from error
    return len(songs)
