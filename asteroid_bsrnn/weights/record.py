"""`source.json` beside converted weights: where each file came from, and its checksum."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .cache import fault_of

RECORD = "source.json"


def read_record(folder: Path) -> dict:
    """What is known of the files in a folder, by name; empty where nothing is."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return {}


def write_record(folder: Path, files: dict) -> None:
    """Replace what is known of the files in a folder."""
    temporary = folder / f"{RECORD}.new"
    temporary.write_text(json.dumps({"files": files}, indent=2), encoding="utf-8")
    os.replace(temporary, folder / RECORD)


def is_whole(folder: Path, name: str) -> bool:
    """Whether a file is there and has the checksum that it was stored with."""
    sha256 = read_record(folder).get(name, {}).get("sha256", "unknown")
    return fault_of(folder / name, f"sha256:{sha256}") is None
