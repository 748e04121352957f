"""Separating songs on one device, or on several of a machine by a process for each.

A process gets its next song when it has finished one, so that faster devices separate more.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import connection, get_context
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..memory import is_out_of_memory, keep_freed_memory
from ..options import FileOptions
from .terminal import (
    OUT_OF_MEMORY,
    ForPeople,
    Song,
    Told,
    ended_tidily,
    quiet_libraries,
    warnings_in_one_line,
)


@dataclass(frozen=True)
class Work:
    """What is done with each song; it can be sent to another process."""

    separator: dict[str, Any]  # arguments of `Separator`
    output: str  # folder of the stems
    files: FileOptions
    page: bool = False  # whether each song gets a page that plays its stems


def separate_one(separator, work: Work, song: Song, reporter: ForPeople) -> bool:
    """Separate a song, report what becomes of it, and return whether that is its stems."""
    try:
        tell = partial(reporter.progress, song)
        with quiet_libraries(), reporter.bar(song.track, tell) as progress:
            job = separator.plan(song.path, work.output, replace(work.files, track=song.track))
            rate, page = job.audio.sample_rate, None
            if work.page:
                from ..report.page import page_path, write_song_page

                page = page_path(song.track, job.paths, work.files.overwrite)
            paths = separator.run(job, lambda done, total: progress(done / rate, total / rate))
            if work.page:
                write_song_page(page, song.track, paths)
    except (UserError, MemoryError, RuntimeError) as error:
        # The other songs are separated all the same.
        if not isinstance(error, UserError) and not is_out_of_memory(error):
            raise
        known = isinstance(error, UserError)
        reporter.failed(song, error if known else f"{song.path}: {OUT_OF_MEMORY}")
        return False
    reporter.written(song, paths, job.is_finished, page)
    return True


class Devices:
    """A context manager of processes, one for each device; a name given twice gets two.

    Attributes:
        sources: of the model.

    Raises:
        UserError: a process cannot load the model or use its device.
    """

    def __init__(self, work: Work, devices: Sequence[str]):
        self._work, self._devices = work, devices
        self._processes: dict = {}
        self.sources: tuple[str, ...] = ()

    def __enter__(self) -> Devices:
        context = get_context("spawn")  # CUDA does not survive a fork
        try:
            for device in self._devices:
                here, there = context.Pipe()
                work = replace(self._work, separator={**self._work.separator, "device": device})
                share = self._devices.count(device) if device == "cpu" else 1
                process = context.Process(target=_serve, args=(there, work, share), daemon=True)
                process.start()
                there.close()
                self._processes[here] = process
            for device, here in zip(self._devices, self._processes, strict=True):
                try:
                    kind, value = here.recv()
                except EOFError:
                    raise UserError(f"--device {device}: {self._fate(here)}") from None
                if kind == "refused":
                    raise UserError(value)
                self.sources = value
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join()

    def separate(self, songs: Sequence[Song], reporter: ForPeople) -> int:
        """Separate songs, report on each, and return the number of those that failed."""
        waiting, failures = deque(songs), 0
        working: dict[connection.Connection, Song] = {}
        free = list(self._processes)
        with reporter.bar(f"{len(songs)} songs") as finished:
            while waiting or working:
                while free and waiting:
                    here = free.pop()
                    working[here] = waiting.popleft()
                    with suppress(OSError):  # a process that has ended is noticed below
                        here.send(working[here])
                if not working:
                    for song in waiting:
                        reporter.failed(song, f"{song.path}: all processes have ended")
                    return failures + len(waiting)
                for here in connection.wait(list(working)):
                    song = working[here]
                    kind, *values = self._receive(here, song, reporter)
                    if kind in ("done", "ended"):
                        del working[here]
                        failures += not values[0]
                        finished(len(songs) - len(waiting) - len(working), len(songs))
                    else:
                        getattr(reporter, kind)(song, *values)
                    if kind == "done":
                        free.append(here)
        return failures

    def _receive(self, here, song: Song, reporter: ForPeople) -> tuple:
        """Return a report of a process and its values, or "done" and whether it succeeded."""
        try:
            return here.recv()
        except (EOFError, OSError):
            reporter.failed(song, f"{song.path}: {self._fate(here)}")
            return "ended", False

    def _fate(self, here) -> str:
        process = self._processes[here]
        process.join(timeout=10)
        return f"its process ended with exit code {process.exitcode}; out of memory, or a bug"


class _Sender(ForPeople):
    """Sends all reports of a process to the one that started it."""

    def __init__(self, there: connection.Connection):
        self._there = there

    def bar(self, name: str, tell: Told | None = None):
        return nullcontext(lambda done, total: self._there.send(("progress", done, total)))

    def written(self, song: Song, paths, finished: bool, page: Path | None = None) -> None:
        self._there.send(("written", paths, finished, page))

    def failed(self, song: Song | None, message: Exception | str) -> None:
        self._there.send(("failed", str(message)))


def _serve(there: connection.Connection, work: Work, share: int) -> None:
    """Separate the songs that come, until the process that sends them ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the starter reacts
    keep_freed_memory()
    with ended_tidily(), warnings_in_one_line(), suppress(EOFError, BrokenPipeError):
        import torch

        from ..separation.separator import Separator

        # Processes on the CPU share its cores.
        torch.set_num_threads(max(1, torch.get_num_threads() // share))
        try:
            separator = Separator(**work.separator)
        except UserError as error:
            there.send(("refused", str(error)))
            return
        there.send(("ready", tuple(separator.sources)))
        sender = _Sender(there)
        while True:
            song = Song(*there.recv())
            there.send(("done", separate_one(separator, work, song, sender)))


def device_names(text: str) -> list[str]:
    """Return the devices that an argument names.

    Raises:
        UserError: a name is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise UserError(f"--device {text!r}: a name is empty; write, for example, cuda:0,cuda:1")
    return names
