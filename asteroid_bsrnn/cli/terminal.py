"""What a command tells while it runs, to people or to programs, and an orderly end of it."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError, one_line

OUT_OF_MEMORY = (
    "out of memory: use a smaller --segment or --batch-size, or --device cpu on a small GPU"
)


def complain(message: Exception | str) -> int:
    """Print an error message in one line and return the exit code of a user's mistake."""
    print(f"asteroid-bsrnn: error: {one_line(message)}", file=sys.stderr)
    return 2


def show(text: str) -> None:
    """Print text, with escapes for characters that the terminal cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def ended_tidily() -> Iterator[None]:
    """Clean up when the program is terminated or its terminal is closed, as after an error."""

    def end(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    # An ignored signal stays ignored, as nohup needs.
    before = {n: signal.getsignal(n) for n in wanted if n is not None}
    before = {n: handler for n, handler in before.items() if handler == signal.SIG_DFL}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show warnings in one line, above a progress bar."""
    from tqdm import tqdm

    def show_warning(message, category, filename, lineno, file=None, line=None) -> None:
        text = one_line(message)
        tqdm.write(f"asteroid-bsrnn: warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        yield


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Hide what C libraries print to stderr, but not what Python prints.

    libsndfile's MP3 decoder prints many messages about a damaged file, for which the user gets one
    line.
    """
    if sys.stderr is None or sys.stderr is not sys.__stderr__:  # replaced by the caller
        yield
        return
    sys.stderr.flush()
    screen = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    encoding = sys.stderr.encoding
    try:
        with (
            open(screen, "w", 1, encoding, "backslashreplace", closefd=False) as stream,
            redirect_stderr(stream),
        ):
            yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


def reports_mistakes(main: Callable[..., int]) -> Callable[..., int]:
    """Decorate the `main` of a script: it prints a `UserError` in one line and returns 2."""

    @functools.wraps(main)
    def reporting(*arguments, **options) -> int:
        try:
            return main(*arguments, **options)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return reporting


# --- reports --------------------------------------------------------------------------------------


Told = Callable[[float, float], None]
"""A callback that gets what has been done, and all that is to be done."""


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

    def bar(self, name: str, tell: Told | None = None):
        """Yield the callback that moves a bar."""
        from ..progress import progress_bar

        return progress_bar(name)

    def progress(self, song: Song, done: float, total: float) -> None:
        """Tell the seconds of a song that are done; the bar does."""

    def tracks(self, model: str, done: int, total: int) -> None:
        """Tell the number of tracks that a model is scored on; the bar does."""

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
        self.event("error", input=None, message=one_line(error))

    def bar(self, name: str, tell: Told | None = None):
        """Yield `tell`, which prints, instead of a bar."""
        return nullcontext(tell or (lambda done, total: None))

    def progress(self, song: Song, done: float, total: float) -> None:
        """Print the seconds of a song that are done."""
        facts = {"seconds": round(done, 3), "total": round(total, 3)}
        self.event("progress", input=str(song.path), track=song.track, **facts)

    def tracks(self, model: str, done: int, total: int) -> None:
        """Print the number of tracks that a model is scored on, and of all."""
        self.event("progress", model=model, tracks=done, total=total)

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
        text = one_line(message)
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
    """Yield the reporter for the value of `--progress`, "bar" or "json".

    It reports an error that stops the command.
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
