"""What a command tells while it runs: lines and a bar for people, or JSON for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from .terminal import complain, show

Seconds = Callable[[float, float], None]
"""A callback that gets the seconds of a song that are done, and all of them."""


class Song(NamedTuple):
    """An input, and the name of its stems."""

    path: Path
    track: str


class ForPeople:
    """Tell in lines, with a bar on a terminal."""

    def start(self, **facts) -> None:
        """Say what is about to be done."""

    def end(self, exit_code: int) -> None:
        """Say that the command ends."""

    def stopped(self, error: UserError) -> None:
        """Say why the whole command fails; `main` does."""

    @contextmanager
    def song(self, song: Song) -> Iterator[Seconds]:
        """Show a bar while a song is separated."""
        from ..progress import progress_bar

        with progress_bar(song.track) as progress:
            yield progress

    def progress(self, song: Song, done: float, total: float) -> None:
        """Tell the seconds of a song that are done in another process; here `songs` does."""

    @contextmanager
    def songs(self, number: int) -> Iterator[Callable[[int], None]]:
        """Show a bar over songs that several processes separate."""
        from ..progress import progress_bar

        with progress_bar(f"{number} songs") as progress:
            yield lambda done: progress(done, number)

    @contextmanager
    def tracks(self, model: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar over the tracks that a model is scored on."""
        from ..progress import progress_bar

        with progress_bar(model) as progress:
            yield progress

    def scored(self, model: str, path: Path) -> None:
        """Tell the file with the scores of a model; a table shows them."""

    def written(
        self, song: Song, paths: Mapping[str, Path], finished: bool, page: Path | None = None
    ) -> None:
        """Name the stems of a song, `finished` if they existed, and its page."""
        what = "skipped, exists" if finished else ", ".join(paths)
        show(f"{song.path} -> {next(iter(paths.values())).parent} ({what})")
        if page is not None:
            show(f"page: {page}")

    def failed(self, song: Song | None, message: Exception | str) -> None:
        """Say why an input fails."""
        complain(message)

    def note(self, text: str) -> None:
        """Say something that a program need not know."""
        show(text)


class ForPrograms(ForPeople):
    """Print one JSON object a line on stdout, each with an `event`.

    Args:
        command: name of the command.
    """

    def __init__(self, command: str):
        self._command = command
        self._began = time.monotonic()
        self._counts = {"written": 0, "skipped": 0, "failed": 0}

    def event(self, event: str, **facts) -> None:
        """Print an event."""
        # ASCII, so that neither the encoding of the pipe nor odd file names matter.
        print(json.dumps({"event": event, **facts}), flush=True)

    def start(self, **facts) -> None:
        """Print what is about to be done."""
        self.event("start", command=self._command, **facts)

    def end(self, exit_code: int) -> None:
        """Print how many inputs were written, skipped and failed."""
        seconds = round(time.monotonic() - self._began, 3)
        self.event("end", exit_code=exit_code, elapsed=seconds, **self._counts)

    def stopped(self, error: UserError) -> None:
        """Print the error that stops the command."""
        self.event("error", input=None, message=" ".join(str(error).split()))

    @contextmanager
    def song(self, song: Song) -> Iterator[Seconds]:
        """Print the seconds of a song that are done."""
        yield partial(self.progress, song)

    def progress(self, song: Song, done: float, total: float) -> None:
        """Print the seconds of a song that are done."""
        facts = {"seconds": round(done, 3), "total": round(total, 3)}
        self.event("progress", input=str(song.path), track=song.track, **facts)

    @contextmanager
    def songs(self, number: int) -> Iterator[Callable[[int], None]]:
        """Print nothing more than for each song."""
        yield lambda done: None

    @contextmanager
    def tracks(self, model: str) -> Iterator[Callable[[int, int], None]]:
        """Print the number of tracks that a model is scored on, and of all."""
        yield lambda done, total: self.event("progress", model=model, tracks=done, total=total)

    def written(
        self, song: Song, paths: Mapping[str, Path], finished: bool, page: Path | None = None
    ) -> None:
        """Print each file of a song, and its page."""
        self._counts["skipped" if finished else "written"] += 1
        for stem, path in paths.items():
            facts = {"input": str(song.path), "track": song.track, "stem": stem}
            self.event("skipped" if finished else "written", **facts, path=str(path))
        if page is not None:
            self.event("page", input=str(song.path), track=song.track, path=str(page))

    def failed(self, song: Song | None, message: Exception | str) -> None:
        """Print why an input fails, on stderr too."""
        self._counts["failed"] += 1
        text = " ".join(str(message).split())
        self.event("error", input=None if song is None else str(song.path), message=text)
        complain(text)

    def scored(self, model: str, path: Path) -> None:
        """Print the file with the scores of a model."""
        self._counts["written"] += 1
        self.event("written", model=model, path=str(path))

    def note(self, text: str) -> None:
        """Print text on stderr."""
        print(text, file=sys.stderr)


@contextmanager
def reporting(kind: str, command: str) -> Iterator[ForPeople]:
    """Give the reporter for the value of `--progress`, and report an error that stops the command.

    Args:
        kind: "bar" or "json".
        command: name of the command.
    """
    reporter = ForPrograms(command) if kind == "json" else ForPeople()
    try:
        yield reporter
    except UserError as error:
        reporter.stopped(error)
        reporter.end(2)
        raise
    except KeyboardInterrupt:
        reporter.end(130)
        raise
