"""Songs and parts of them on disk, small enough to be made for a test."""

import json

import numpy as np
import soundfile

from asteroid_bsrnn.data import SOURCES, Filter, Song, select
from asteroid_bsrnn.data.songs import FORMAT, VERSION, song_folder

RATE = 8000
# Songs of tests are short and of a low rate.
SETTINGS = {"window": 1.0, "sample_rate": RATE}


def noise(seconds, *seed, level=0.1, channels=2, rate=RATE):
    """Noise `(L, C)` of an RMS level."""
    random = np.random.default_rng(seed)
    return level * random.standard_normal((round(seconds * rate), channels))


def teacher(label="teacher", licenses=()):
    """What records say of a teacher."""
    return {
        "label": label,
        "name": None,
        "path": f"{label}.pth",
        "sha256": "0" * 64,
        "licence": None,
        "homepage": None,
        "training_data": None,
        "two_stems": None,
        "settings": {"segment": 10.0},
        "licenses": list(licenses),
    }


def write_song(folder, title, samples, rate=RATE, **facts):
    """Write a recording; the song."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{title}.flac"
    soundfile.write(path, samples, rate)
    return Song(title, path, **facts)


def write_parts(folder, song, parts, by=None, rate=RATE):
    """Write parts of a song as a teacher's estimates, or as known ones, with their record."""
    checksum = song.checksum()
    place = song_folder(folder, song, checksum)
    place.mkdir(parents=True)
    files = {}
    for name, samples in parts.items():
        path = place / f"{name}.flac"
        soundfile.write(path, samples, rate, subtype="PCM_24")
        files[name] = {"file": path.name, "bytes": path.stat().st_size}
    frames, channels = samples.shape
    record = {
        "format": FORMAT,
        "version": VERSION,
        "song": {
            **song.facts(),
            "files": [str(path) for path in song.files()],
            "sha256": checksum,
            "silent": list(song.silent),
        },
        "teacher": by,
        "parts": files,
        "frames": frames,
        "sample_rate": rate,
        "channels": channels,
        "seconds": frames / rate,
    }
    (place / "record.json").write_text(json.dumps(record))
    return place


def make_selection(folder, songs, teachers=("teacher",), **settings):
    """Select with the settings of tests: the selection, for a file in `folder`."""
    return select(
        songs,
        [folder / name for name in teachers],
        folder / "known",
        folder / "selection.json",
        sources=SOURCES,
        settings=Filter(**{**SETTINGS, **settings}),
    )
