"""Stage 0: separate songs with the teachers, and store known parts; resumes song by song."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
from tqdm import tqdm

import teachers
from asteroid_bsrnn import UserError, __version__
from asteroid_bsrnn.audio import AudioFile, AudioWriter, OutputDirectory, check_output
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.data import SOURCES, Song, read_songs
from asteroid_bsrnn.data.songs import FORMAT, RECORD, VERSION, read_record, song_folder
from asteroid_bsrnn.files import write_json
from asteroid_bsrnn.memory import keep_freed_memory
from asteroid_bsrnn.options import Shard

# Rounding to 16 bits and clamping peaks cause smaller errors than the separation. A gain that
# avoids clamping would differ between the teachers, which are compared.
SUBTYPE = "PCM_16"
CLIP = "clamp"


@reports_mistakes
def main(arguments: Sequence[str] | None = None) -> int:
    """Separate all songs."""
    parser = argparse.ArgumentParser(description=__doc__)
    teachers.add_options(parser)
    parser.add_argument(
        "--shard", metavar="K/N", help="take the K-th of every N songs only, for one of N machines"
    )
    options = parser.parse_args(arguments)
    songs = read_songs(options.songs, SOURCES)
    if options.shard:
        songs = Shard.parse(options.shard).of(songs)
    known = [song for song in songs if song.known_parts(SOURCES)]
    others = [song for song in songs if not song.known_parts(SOURCES)]
    if others and not options.teacher:
        raise UserError(f"{others[0].path}: nothing is known of the song; give a teacher")
    failures = _all(known, None, options.estimates)
    for teacher in teachers.load(options):
        failures += _all(others, teacher, options.estimates)
    if failures:
        raise UserError(f"{failures} song(s) failed, see above; leave them out, or repair them")
    return 0


def _all(songs: list[Song], teacher: teachers.Teacher | None, estimates: Path) -> int:
    """Make the missing parts of all songs, and return the number of songs that failed."""
    if teacher is None:
        folder, record, label = estimates / teachers.KNOWN, None, "known"
    else:
        folder, record, label = teacher.folder(estimates), teacher.record(), teacher.model.label
    failures = 0
    for song in tqdm(songs, desc=label, unit="song", disable=None):
        try:
            _one(song, folder, teacher, record)
        except UserError as error:
            # One damaged file must not stop the others.
            print(f"error: {error}", file=sys.stderr)
            failures += 1
    return failures


def _one(song: Song, folder: Path, teacher: teachers.Teacher | None, facts: dict | None) -> None:
    """Make the parts of a song, known ones or a teacher's with these facts, unless they exist."""
    checksum = song.checksum()
    place = song_folder(folder, song, checksum)
    record = read_record(place, checksum)
    if record is not None and (teacher or set(record["parts"]) == set(_known(song))):
        return
    for left in place.glob(".incomplete-*"):  # left by a process that was killed
        shutil.rmtree(left)
    (place / RECORD).unlink(missing_ok=True)
    began = time.perf_counter()
    parts = _store_known(song, place) if teacher is None else _separate(song, place, teacher)
    sound = soundfile.info(next(iter(parts.values())))
    record = {
        "format": FORMAT,
        "version": VERSION,
        "song": {
            **song.facts(),
            "files": [str(path) for path in song.files()],
            "sha256": checksum,
            "silent": list(song.silent),
        },
        "teacher": facts,
        "parts": {
            name: {"file": path.name, "bytes": path.stat().st_size} for name, path in parts.items()
        },
        "frames": sound.frames,
        "sample_rate": sound.samplerate,
        "channels": sound.channels,
        "seconds": sound.frames / sound.samplerate,
        "wall_seconds": time.perf_counter() - began,
        "versions": {"asteroid_bsrnn": __version__, "torch": str(torch.__version__)},
    }
    write_json(place / RECORD, record)


def _separate(song: Song, place: Path, teacher: teachers.Teacher) -> dict[str, Path]:
    """Write a teacher's estimates of a song, and return their files by part."""
    written = teacher.separator.separate_file(
        song.path,
        place.parent,
        track=place.name,
        two_stems=teacher.two_stems,
        format="flac",
        subtype=SUBTYPE,
        clip=CLIP,
        overwrite=True,
        keep=song.files(),
    )
    return {teacher.part(stem): path for stem, path in written.items()}


def _store_known(song: Song, place: Path) -> dict[str, Path]:
    """Write the known parts of a song as flac, which can be read from any sample on."""
    audio = {name: AudioFile(path) for name, path in _known(song).items()}
    first = next(iter(audio.values()))
    form = (first.sample_rate, first.channels)
    check_output("flac", SUBTYPE, *form)
    lengths = {}
    with OutputDirectory(place) as output:
        files = {name: output.temporary / f"{name}.flac" for name in audio}
        for name, part in audio.items():
            if (part.sample_rate, part.channels) != form:
                raise UserError(f"{part.path}: another format than {first.path}; convert it")
            lengths[name] = 0
            with AudioWriter(files[name], *form, "flac", SUBTYPE) as writer:
                for block in part.blocks():
                    writer.write(block)
                    lengths[name] += block.shape[-1]
        if len(set(lengths.values())) > 1:
            raise UserError(f"{first.path}: the parts of the song differ in length; align them")
        parts = {name: place / path.name for name, path in files.items()}
        output.commit({files[name]: path for name, path in parts.items()})
    return parts


def _known(song: Song) -> dict[str, Path]:
    return song.known_parts(SOURCES)


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
