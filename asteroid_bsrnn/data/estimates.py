"""Folders of the parts of songs: a teacher's estimates or known recordings, as flac files.

`<folder>/<song>/<part>.flac`, and beside them `record.json`, which is written last: a song without
one is not finished. A record is one JSON object:

- `format` "asteroid-bsrnn estimates", `version` 1.
- `song`: `title`, `licence`, `author`, `link` (null where not stated), `files` (the recordings),
  `sha256` (of all recordings), `silent` (sources that the song does not have).
- `teacher`: null for known recordings, or `label`, `name`, `path` (of a file without a name),
  `sha256` (of its weights), `licence`, `homepage` and `training_data` (where its name tells them),
  `two_stems` (the source beside which everything else is one part, or null), `settings` (of the
  separation) and `licenses` (notices of the data that it learnt from, where its file has them).
- `parts`: from the name of each part to its `file` and its size in `bytes`.
- `frames`, `sample_rate` (hertz), `channels`, `seconds`: of each part.
- `wall_seconds`: how long it took. `versions` of the software.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import UserError
from .songs import Song

FORMAT = "asteroid-bsrnn estimates"
VERSION = 1
RECORD = "record.json"

_KEYS = ("song", "teacher", "parts", "frames", "sample_rate", "channels", "seconds")


def song_checksum(song: Song) -> str:
    """Return the SHA-256 of a song: of its recording, or of all recordings of its parts."""
    digest = hashlib.sha256()
    for path in song.files():
        try:
            with open(path, "rb") as file:
                while block := file.read(2**20):
                    digest.update(block)
        except OSError as error:
            raise UserError(f"{path}: can't be read: {error.strerror}") from None
    return digest.hexdigest()


def song_folder(folder: Path, song: Song, checksum: str) -> Path:
    """Return the folder of a song's parts: it follows from what the song sounds like."""
    name = re.sub(r"[^\w.-]+", "_", song.title).strip("._")[:60]
    return folder / f"{name or 'song'}-{checksum[:8]}"


def read_record(folder: Path, checksum: str) -> dict[str, Any] | None:
    """Return a song's record, or None where its parts are not complete.

    Args:
        folder: of the song's parts.
        checksum: of the song.

    Raises:
        UserError: the record was written by a later version of this package.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    if record.get("version") != VERSION:
        raise UserError(
            f"{folder / RECORD}: of version {record.get('version')}, this package knows {VERSION};"
            " update asteroid-bsrnn"
        )
    if any(key not in record for key in _KEYS) or record["song"].get("sha256") != checksum:
        return None
    return record if _files_are_there(folder, record["parts"]) else None


def _files_are_there(folder: Path, parts: Mapping[str, Mapping]) -> bool:
    try:
        return all((folder / p["file"]).stat().st_size == p["bytes"] for p in parts.values())
    except OSError:
        return False
