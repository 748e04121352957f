"""The validation set as folders of stems, with a manifest of origins and licences."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import UserError
from ..manifest import write_json
from ..music import RATE
from .songs import TEACHER, RealSong

MANIFEST = "manifest.json"
FORMAT = "openstems real validation"


def build(root: Path, songs: Iterable[RealSong], report: Callable[[str], None]) -> dict[str, Any]:
    """Write the set: `<root>/<group>/<song>/<stem>.wav`, and `manifest.json` last.

    Args:
        root: a new folder.
        songs: the songs, from `songs.real_songs`.
        report: called with a line for each song.

    Returns:
        The manifest.

    Raises:
        UserError: if the folder exists, a material is missing, or nothing can be written.
    """
    if root.exists():
        raise UserError(f"{root}: exists already; name a new folder")
    unfinished = root.with_name(f".{root.name}-{os.getpid()}")
    try:
        entries = []
        for song in songs:
            entries.append(_write_song(unfinished / song.group / song.name, song))
            report(f"{song.group}: {song.name}")
        manifest = {"format": FORMAT, "teacher": TEACHER, "songs": entries}
        write_json(unfinished / MANIFEST, manifest)
        unfinished.rename(root)
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest


def _write_song(folder: Path, song: RealSong) -> dict[str, Any]:
    """Write the stems in 16 bits and return the song's entry of the manifest."""
    folder.mkdir(parents=True)
    signals = {name: sound.samples for name, sound in song.stems.items()}
    peak = max(float(np.abs(signal).max()) for signal in [*signals.values(), sum(signals.values())])
    stems = {}
    for name, signal in signals.items():
        path = folder / f"{name}.wav"
        soundfile.write(path, (signal * min(1.0, 0.99 / peak)).T, RATE, "PCM_16")
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        stems[name] = {**song.stems[name].origin, "sha256": checksum}
    seconds = next(iter(signals.values())).shape[1] / RATE
    return {"group": song.group, "name": song.name, "seconds": round(seconds, 3), "stems": stems}
