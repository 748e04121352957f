"""Folders of songs, written under a temporary name and renamed when they are complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from .errors import UserError
from .files import sha256_of
from .music import RATE, STEMS
from .splits import SongId

ENTRY = "song.json"


def write_song(
    root: Path,
    song_id: SongId,
    stems: Mapping[str, np.ndarray],
    entry: Mapping[str, Any],
    scratch: Path,
) -> dict[str, Any]:
    """Write the stems, their sum as the mixture, and the song's entry of the manifest.

    Args:
        root: folder of the data set.
        song_id: the song.
        stems: int16 samples `(2, L)` of each of `STEMS`.
        entry: entry of the manifest, in plain types.
        scratch: folder for unfinished songs, on the same file system.

    Returns:
        The entry with the song's name, split and length, and the hashes of its files.

    Raises:
        ValueError: if the sum of the stems exceeds 16 bits.
    """
    part = scratch / f"{song_id.name}-{os.getpid()}"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    total = np.sum([stems[source] for source in STEMS], axis=0, dtype=np.int32)
    limits = np.iinfo(np.int16)
    if total.min() < limits.min or total.max() > limits.max:
        raise ValueError("the sum of the stems clips")
    signals = {"mixture": total.astype(np.int16), **{name: stems[name] for name in STEMS}}
    full_entry = {
        "name": song_id.name,
        "split": song_id.split,
        "number": song_id.number,
        "samples": total.shape[1],
        **entry,
        "files": {name: _write(part / f"{name}.wav", signal) for name, signal in signals.items()},
    }
    text = json.dumps(full_entry, indent=1, ensure_ascii=False)
    (part / ENTRY).write_text(text + "\n", encoding="utf-8")
    target = root / song_id.path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # damaged: `read_entry` found no complete song there
        target.rename(scratch / f"old-{part.name}")
    part.rename(target)
    return json.loads(text)


def read_entry(root: Path, song_id: SongId) -> dict[str, Any] | None:
    """Return the entry of a finished song; None if it is missing or incomplete.

    Raises:
        UserError: if its place is taken by something else.
    """
    folder = root / song_id.path
    if not folder.exists():
        return None
    try:
        entry = json.loads((folder / ENTRY).read_text(encoding="utf-8"))
        if entry["name"] != song_id.name:
            raise KeyError("name")
        sizes = {name: file["bytes"] for name, file in entry["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{folder}: not a song of this program (no {ENTRY}); remove it or choose another folder"
        ) from None
    for name, size in sizes.items():
        path = folder / f"{name}.wav"
        if not path.is_file() or path.stat().st_size != size:
            return None
    return entry


def _write(path: Path, signal: np.ndarray) -> dict[str, Any]:
    soundfile.write(path, signal.T, RATE, subtype="PCM_16")
    return {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
