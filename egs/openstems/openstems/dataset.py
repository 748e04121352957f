"""Building of a data set: find missing songs, render them in parallel, describe the result."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from . import manifest, splits, workers
from .errors import UserError
from .files import write_text
from .materials import Materials
from .music import RATE, STEMS
from .splits import VOICE_PHRASES, SongId, SongSettings, first_songs
from .writing import read_entry

SHORTEST, LONGEST = 4.0, 900.0
"""Limits of a song's length in seconds, because of the form and of memory."""

MEMORY_PER_WORKER = 1.5e9
"""Bytes of a process besides its song: voices and SoundFonts."""

SCRATCH, FAILURES, LOCK = ".part", "failures", ".lock"


@dataclass(frozen=True)
class BuildSettings:
    """Settings of a build.

    Args:
        n_songs: number of songs of all splits.
        seconds: length of each song.
        seed: seed of all random choices.
        shares: proportions of train, valid and test.
        materials: materials of the songs.
        voice_phrases: phrases from which each voice is built.
        workers: number of processes; None means as many as cores and memory allow.
    """

    n_songs: int
    seconds: float = 30.0
    seed: int = 1
    shares: tuple[int, int, int] = (8, 1, 1)
    materials: Materials = field(default_factory=Materials)
    voice_phrases: int = VOICE_PHRASES
    workers: int | None = None

    def __post_init__(self):
        if self.n_songs < 1:
            raise UserError(f"the number of songs must be 1 or more, got {self.n_songs}")
        if not SHORTEST <= self.seconds <= LONGEST:
            raise UserError(
                f"seconds must be from {SHORTEST:g} to {LONGEST:g}, got {self.seconds:g}"
            )
        if self.voice_phrases < 1:
            raise UserError(f"voice phrases must be 1 or more, got {self.voice_phrases}")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"workers must be 1 or more, got {self.workers}")
        first_songs(0, self.shares)

    def identity(self) -> dict[str, Any]:
        """Return the settings that determine the songs, which are fixed for a data set.

        The number of songs, the shares and the number of workers do not change a song.
        """
        return {
            "profile": self.materials.profile,
            "clients": list(self.materials.clients),
            "without": list(self.materials.without),
            "seconds": float(self.seconds),
            "seed": self.seed,
            "voice_phrases": self.voice_phrases,
        }

    def of_song(self, song_id: SongId) -> SongSettings:
        """Return the settings of one song."""
        return SongSettings(
            song_id.split, self.seconds, self.seed, self.materials, self.voice_phrases
        )


@dataclass(frozen=True)
class Outcome:
    """Result of a build.

    Args:
        n_songs: number of songs in the data set.
        n_rendered: number of songs that this build rendered.
        failed: names of songs that could not be rendered.
        audio_seconds: length of the rendered songs.
        wall_seconds: time of rendering.
        problems: names that several splits share, one line each; empty if all is well.
    """

    n_songs: int
    n_rendered: int
    failed: tuple[str, ...]
    audio_seconds: float
    wall_seconds: float
    problems: tuple[str, ...]


def build(
    root: str | os.PathLike,
    settings: BuildSettings,
    *,
    render: workers.Render | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Build a data set in the layout of MUSDB18-HQ, or resume an earlier build.

    `<root>/train` has the songs for training and validation, `<root>/test` those for test;
    `validation_tracks.txt` names the validation songs. Every song is a folder of 16-bit wav files
    with its manifest entry. `mixture.wav` is the exact sum of the stems.

    Args:
        root: a new folder, or that of an earlier build.
        settings: what to build.
        render: function that makes a song from its number and settings; None for
        `openstems.song.render_song`.
        report: called with lines of progress.

    Raises:
        UserError: if materials are missing, or the folder has other contents.
        KeyboardInterrupt: by the user; finished songs are kept, and the same call resumes.
        BrokenProcessPool: if a worker was killed.
    """
    if render is None:
        from .song import render_song as render
    settings.materials.require()
    root = Path(root).expanduser().absolute()
    description = manifest.describe(settings.identity(), settings.materials)
    with _locked(root):
        manifest.claim(root, description)
        shutil.rmtree(root / SCRATCH, ignore_errors=True)
        shutil.rmtree(root / FAILURES, ignore_errors=True)
        songs = first_songs(settings.n_songs, settings.shares)
        entries = {song_id: read_entry(root, song_id) for song_id in songs}
        todo = [song_id for song_id in songs if entries[song_id] is None]
        _check_space(root, len(todo), settings.seconds)
        if len(todo) < len(songs):
            report(f"{len(songs) - len(todo)} of {len(songs)} songs are there already")
        began = time.monotonic()
        failed: list[str] = []
        try:
            if todo:
                _render_all(root, settings, todo, render, entries, failed)
        finally:
            for song_id in todo:
                # An interrupted worker may have finished a song without reporting it.
                entries[song_id] = entries[song_id] or read_entry(root, song_id)
            done = [entry for entry in entries.values() if entry is not None]
            _describe(root, settings, done)
            shutil.rmtree(root / SCRATCH, ignore_errors=True)
    n_rendered = len(todo) - len(failed)
    return Outcome(
        n_songs=len(done),
        n_rendered=n_rendered,
        failed=tuple(failed),
        audio_seconds=n_rendered * settings.seconds,
        wall_seconds=time.monotonic() - began,
        problems=tuple(splits.check(done)),
    )


def default_workers(seconds: float) -> int:
    """Return the number of processes that cores and memory allow."""
    try:
        n_cores = len(os.sched_getaffinity(0))
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not Linux
        return max(1, (os.cpu_count() or 1) // 2)
    # A song takes at most some dozens of stereo signals in float32.
    needed = MEMORY_PER_WORKER + seconds * RATE * 2 * 4 * 40
    return max(1, min(n_cores, int(0.8 * memory / needed)))


def _render_all(
    root: Path,
    settings: BuildSettings,
    todo: Sequence[SongId],
    render: workers.Render,
    entries: dict[SongId, dict | None],
    failed: list[str],
) -> None:
    """Render songs in parallel; collect entries and record failures as they come."""
    n_workers = min(settings.workers or default_workers(settings.seconds), len(todo))
    executor = workers.pool(n_workers)
    try:
        futures: dict[Future, SongId] = {
            executor.submit(
                workers.make_song, render, root, song_id, settings.of_song(song_id), root / SCRATCH
            ): song_id
            for song_id in todo
        }
        began = time.monotonic()
        with tqdm(total=len(todo), unit="song", disable=None) as bar:
            for future in as_completed(futures):
                song_id = futures.pop(future)
                try:
                    entries[song_id] = future.result()
                except BrokenProcessPool:
                    raise
                except Exception as error:
                    failed.append(song_id.name)
                    _note_failure(root, song_id, error)
                    bar.write(f"{song_id.name} failed: {type(error).__name__}: {error}")
                bar.update()
                audio = (bar.n - len(failed)) * settings.seconds
                speed = audio / (time.monotonic() - began)
                bar.set_postfix_str(f"{speed:.1f} s of audio a second")
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        workers.terminate()
        raise
    executor.shutdown()


def _note_failure(root: Path, song_id: SongId, error: Exception) -> None:
    """Write the traceback of a failure in a worker, which is the cause of the error, to a file."""
    text = "".join(traceback.format_exception(error))
    write_text(root / FAILURES / f"{song_id.name}.txt", text)


def _describe(root: Path, settings: BuildSettings, entries: Sequence[dict]) -> None:
    """Write the manifest, credits and lists of the songs that exist."""
    for subset in ("train", "test"):
        (root / subset).mkdir(exist_ok=True)
    manifest.write_manifest(root, entries)
    manifest.write_credits(root, settings.materials, entries)


def _check_space(root: Path, n_songs: int, seconds: float) -> None:
    needed = n_songs * seconds * RATE * 2 * 2 * (len(STEMS) + 1)
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"{root}: {n_songs} songs of {seconds:g} s take {needed / 1e9:.1f} GB, and"
            f" {free / 1e9:.1f} GB are free; make room or build fewer"
        )


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """Make the folder and lock it against other builds; the lock ends with the process."""
    try:
        import fcntl
    except ImportError:  # Windows
        fcntl = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = open(root / LOCK, "w")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"{root}: cannot be written ({error.strerror}); choose another") from None
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(f"{root}: another build of it is running; wait for it") from None
        yield
