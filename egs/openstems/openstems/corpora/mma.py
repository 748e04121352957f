"""Accompaniments by Musical MIDI Accompaniment (MMA) of composed chord progressions."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..composer.grid import pick
from ..composer.harmony import Colours, progression
from ..music import Chord
from .midi import MidiSong, read

_HOME = "usr/share/mma"
_NAMES = ("C", "Db", "D", "Eb", "E", "F", "Gb", "G", "Ab", "A", "Bb", "B")
_SUFFIXES = {
    "maj": "",
    "min": "m",
    "7": "7",
    "maj7": "M7",
    "min7": "m7",
    "sus2": "sus2",
    "sus4": "sus4",
    "7sus4": "7sus4",
    "6": "6",
    "min6": "m6",
    "add9": "(add9)",
    "9": "9",
    "dim": "dim3",
}
_NO_GROOVE = re.compile(r"intro|end|fill|tag|metro|count|break|stop", re.IGNORECASE)
_RHYTHM_SECTION = (r"^\s*(begin\s+)?drum\b", r"^\s*(begin\s+)?(bass|walk)\b")
_SECONDS = 60


def styles(root: Path) -> Iterator[tuple[str, Path, str]]:
    """Yield the name, file and content hash of every style in 4/4 with drums and bass.

    Args:
        root: root of the unpacked package.
    """
    for file in sorted((root / _HOME / "lib" / "stdlib").glob("*.mma")):
        text = file.read_text(errors="replace")
        times = re.findall(r"^\s*time\s+(\d+)", text, re.IGNORECASE | re.MULTILINE)
        flags = re.IGNORECASE | re.MULTILINE
        complete = all(re.search(pattern, text, flags) for pattern in _RHYTHM_SECTION)
        if complete and times and set(times) == {"4"} and grooves(text):
            yield file.stem, file, hashlib.sha256(file.read_bytes()).hexdigest()


def grooves(text: str) -> list[str]:
    """Return the grooves that a style file defines, without introductions, fills and endings."""
    names = re.findall(r"^\s*defgroove\s+(\S+)", text, re.IGNORECASE | re.MULTILINE)
    return [name for name in names if not _NO_GROOVE.search(name)]


def play(file: Path, rng: np.random.Generator) -> tuple[MidiSong, tuple[Chord, ...], dict]:
    """Return a minute of chords played in a style.

    Args:
        file: style file in the unpacked package.
        rng: random generator.

    Returns:
        The music, its chords, and its groove, tempo and seed.

    Raises:
        ValueError: if `mma` fails.
    """
    groove = pick(rng, grooves(file.read_text(errors="replace")))
    tempo, seed = int(rng.integers(76, 150)), int(rng.integers(1, 2**31))
    tonic, mode = int(rng.integers(12)), pick(rng, ("major", "minor"))
    bars = int(np.ceil(_SECONDS * tempo / 240))
    colours = Colours(float(rng.uniform(0.1, 0.7)), rng)
    tables = [progression("pop", mode, 8, "open", rng) for _ in range(2)]
    lines = [f"RndSeed {seed}", f"Tempo {tempo}", f"Use stdlib/{file.stem}", f"Groove {groove}"]
    chords = []
    for bar in range(bars):
        # One chord per bar, as in all excerpts.
        offset, quality = colours(tables[(bar // 8) % 2][bar % 8][0])
        root = (tonic + offset) % 12
        lines.append(f"{bar + 1} {_NAMES[root]}{_SUFFIXES[quality]}")
        length = 240 / tempo
        chords.append(Chord(bar * length, (bar + 1) * length, root, quality))
    song = read(_run(file, "\n".join(lines) + "\n"))
    return song, tuple(chords), {"groove": groove, "tempo": tempo, "mma_seed": seed}


def _run(file: Path, text: str) -> bytes:
    """Return the MIDI file that `mma` generates from a text."""
    home = file.parents[2]
    program = home.parents[1] / "bin" / "mma"
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "song.mma"), Path(folder, "song.mid")
        source.write_text(text)
        command = [sys.executable, str(program), "-f", str(target), str(source)]
        environment = {**os.environ, "MMA_HOME": str(home), "HOME": folder}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
        if done.returncode or not target.exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise ValueError(f"mma made no music with {file.stem}: {' '.join(last)}")
        return target.read_bytes()
