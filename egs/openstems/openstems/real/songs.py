"""Validation songs of real recordings, in five groups, and the folder of the set.

| group | songs | stems |
|---|---|---|
| `multitracks` | three songs of everythingisfree, 75 s each | vocals, drums, bass+other |
| `bands` | recorded phrases, bass notes and guitar with drums of these songs | all four |
| `phrases` | recorded phrases over instrumental pieces | vocals, bass+drums+other |
| `teacher` | songs whose vocals Spleeter estimated | vocals, bass+drums+other |
| `instrumentals` | instrumental pieces | silent vocals, bass+drums+other |

Training songs have nothing in common with them, because each singer, instrument and song belongs to
one split. The songs depend on the materials alone, apart from rounding of the teacher's estimates,
which differs between machines.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from asteroid_bsrnn.files import list_folders

from ..errors import UserError
from ..files import sha256_of, write_json
from ..materials import Materials
from ..music import RATE
from ..randomness import generator
from ..voices.arrangement import levelled
from ..voices.phrases import sets
from ..whole_songs import entries
from .sounds import Sound, bass_line, guitar, mixed, read_excerpt, voice

MANIFEST = "manifest.json"
FORMAT = "openstems real validation"
GROUPS = ("multitracks", "bands", "phrases", "teacher", "instrumentals")
TEACHER = "spleeter"
REST = "bass+drums+other"
SECONDS = 20.0
"""Length of songs of the groups `bands`, `phrases` and `instrumentals`."""
TEACHER_SECONDS = 30.0

MULTITRACKS = "everythingisfree"
_STEMS = {"vocals": "vocals", "drums": "drums", "bass+other": "rest"}
_MULTITRACK_FACTS = {
    "material": MULTITRACKS,
    "link": "https://github.com/ichbinsoftware/everythingisfree c9299620",
    "licence": "CC0-1.0",
    "credit": "Software-Entwicklungskit",
}
_N_BANDS = 6


class RealSong(NamedTuple):
    """Song of the set.

    Attributes:
        group: one of `GROUPS`.
        name: of its folder.
        stems: from the name of a stem, or of a sum of stems, to its sound.
    """

    group: str
    name: str
    stems: dict[str, Sound]


def real_songs(parts: Materials, whole: Materials) -> Iterator[RealSong]:
    """Yield all songs.

    Args:
        parts: materials of the kind "parts", whose folder of recordings contains everythingisfree.
        whole: materials of the kind "songs".

    Raises:
        UserError: if a material is missing or cannot be read.
    """
    collections = [one for one in sets("valid", parts) if len(one.paths) >= 3]
    if not collections:
        raise UserError("no recorded phrases of the split 'valid'; run: generate.py fetch")
    songs = entries(whole, "valid")
    instrumental = [song for song in songs if song.get("vocals") == "silent"]
    yield from multitracks(parts)
    for number in range(_N_BANDS):
        yield band(number, collections, parts)
    for number, song in enumerate(instrumental):
        yield with_phrases(number, song, collections)
    for song in songs:
        if song not in instrumental:
            yield by_teacher(song)
    for song in instrumental:
        yield without_vocals(song)


def multitracks(parts: Materials) -> Iterator[RealSong]:
    """Yield the songs with known stems.

    Raises:
        UserError: if there is no copy of them.
    """
    for folder in _multitrack_folders(parts):
        stems = {
            stem: Sound(
                read_excerpt(folder / f"{file}.ogg", 0, 75),
                {**_MULTITRACK_FACTS, "file": f"{folder.name}/{file}.ogg"},
            )
            for stem, file in _STEMS.items()
        }
        yield RealSong("multitracks", folder.name, stems)


def band(number: int, collections: list, parts: Materials) -> RealSong:
    """Return a song made of unrelated recordings of voice, bass, guitar and drums."""
    rng = generator("real validation", "band", number)
    folders = _multitrack_folders(parts)
    folder = folders[number % len(folders)]
    file = folder / "drums.ogg"
    start = 0.1 if number < len(folders) else 0.8
    drums = Sound(
        levelled(read_excerpt(file, start, SECONDS)),
        {**_MULTITRACK_FACTS, "file": f"{folder.name}/drums.ogg"},
    )
    seconds = drums.samples.shape[1] / RATE
    stems = {
        "vocals": voice(collections[2 * number % len(collections)], seconds, rng),
        "bass": bass_line(seconds, rng, parts),
        "drums": drums,
        "other": guitar(seconds, rng, parts),
    }
    return RealSong("bands", f"band_{number + 1}", mixed(stems, rng.uniform(-4, 2, 4)))


def with_phrases(number: int, song: dict[str, Any], collections: list) -> RealSong:
    """Return an instrumental piece with an unrelated recorded voice."""
    rng = generator("real validation", "phrases", song["title"])
    rest = levelled(read_excerpt(Path(song["path"]), 0.25, SECONDS))
    stems = {
        "vocals": voice(collections[number % len(collections)], rest.shape[1] / RATE, rng),
        REST: Sound(rest, _song_facts(song)),
    }
    return RealSong("phrases", _name(song), mixed(stems, [rng.uniform(-4, 3), 0.0]))


def by_teacher(song: dict[str, Any]) -> RealSong:
    """Return the part in the middle of a song with the most vocals according to the teacher."""
    import torch

    from asteroid_bsrnn import Separator

    mixture = read_excerpt(Path(song["path"]), 0.5, 2 * TEACHER_SECONDS)
    vocals = Separator(TEACHER, device="cpu").separate(torch.from_numpy(mixture), RATE)["vocals"]
    vocals = vocals.numpy()
    frames = round(TEACHER_SECONDS * RATE)
    starts = range(0, vocals.shape[1] - frames + 1, RATE)
    start = max(starts, key=lambda first: np.square(vocals[:, first : first + frames]).sum())
    window = slice(start, start + frames)
    facts = {**_song_facts(song), "teacher": TEACHER}
    stems = {
        "vocals": Sound(vocals[:, window], facts),
        REST: Sound((mixture - vocals)[:, window], facts),
    }
    return RealSong("teacher", _name(song), stems)


def without_vocals(song: dict[str, Any]) -> RealSong:
    """Return another part of an instrumental piece than `with_phrases`."""
    rest = read_excerpt(Path(song["path"]), 0.65, SECONDS)
    silence = Sound(np.zeros_like(rest), {"material": "silence"})
    return RealSong(
        "instrumentals", _name(song), {"vocals": silence, REST: Sound(rest, _song_facts(song))}
    )


def _multitrack_folders(parts: Materials) -> list[Path]:
    root = parts.recordings / MULTITRACKS if parts.recordings else None
    folders = list_folders(root) if root and root.is_dir() else []
    folders = [folder for folder in folders if (folder / "vocals.ogg").is_file()]
    if not folders:
        raise UserError(
            f"no copies of the multitracks in {root or 'a folder of recordings'}: name a folder "
            f"with --recordings that has {MULTITRACKS}/<song>/vocals.ogg, drums.ogg and rest.ogg"
        )
    return folders


def _song_facts(song: dict[str, Any]) -> dict[str, Any]:
    return {
        "material": song["link"],
        "file": Path(song["path"]).name,
        "licence": song["licence"],
        "credit": song["author"],
    }


def _name(song: dict[str, Any]) -> str:
    return Path(song["path"]).stem


def write_set(
    root: Path, songs: Iterable[RealSong], report: Callable[[str], None]
) -> dict[str, Any]:
    """Write the songs as `<root>/<group>/<song>/<stem>.wav`, and `manifest.json` last.

    Args:
        root: a new folder.
        songs: the songs, from `real_songs`.
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
        stems[name] = {**song.stems[name].origin, "sha256": sha256_of(path)}
    seconds = next(iter(signals.values())).shape[1] / RATE
    return {"group": song.group, "name": song.name, "seconds": round(seconds, 3), "stems": stems}
