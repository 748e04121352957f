"""A list of whole songs with their licences, for training with a teacher."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .errors import UserError
from .manifest import write_text
from .materials import Materials, find


def entries(materials: Materials) -> list[dict[str, Any]]:
    """The songs that a profile allows, each with `path`, `title`, `licence`, `author` and `link`.

    `<source>: silent` says of a song that it does not have a source.

    Args:
        materials: of the kind "songs".

    Raises:
        UserError: one is missing.
    """
    found: dict[Path, dict[str, Any]] = {}
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
                found.setdefault(path, song)
    return list(found.values())


def write_list(path: Path, materials: Materials) -> int:
    """Writes the list as JSON, which is YAML too.

    Args:
        path: of the file, new or with the same list in it.
        materials: of the kind "songs".

    Returns:
        The number of songs.

    Raises:
        UserError: a material is missing, or the file holds something else or can't be written.
    """
    songs = entries(materials)
    text = json.dumps(songs, indent=2, ensure_ascii=False) + "\n"
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise UserError(f"{path}: is there and holds something else; name another file")
        write_text(path, text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise UserError(f"{path}: can't be written ({reason}); name another file") from error
    return len(songs)
