"""What a user at a terminal sees: messages, the progress bar, and a tidy end."""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from tqdm import tqdm

from ..separation.separator import Progress

OUT_OF_MEMORY = (
    "out of memory: use a smaller --segment or --batch-size, or --device cpu on a small GPU"
)


def complain(message: Exception | str) -> int:
    """Print a mistake in one line, and return its exit code."""
    print(f"asteroid-bsrnn: error: {' '.join(str(message).split())}", file=sys.stderr)
    return 2


def show(text: str) -> None:
    """Print names of files even where the terminal can't show their letters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


@contextmanager
def ended_tidily() -> Iterator[None]:
    """Whoever ends the program, or closes its terminal, leaves no half-written files behind."""

    def end(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    # What is ignored stays so: that is how nohup works.
    before = {n: signal.getsignal(n) for n in wanted if n is not None}
    before = {n: handler for n, handler in before.items() if handler == signal.SIG_DFL}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Bar(tqdm):
    """A bar that knows the time of the whole, as `{whole}`."""

    @property
    def format_dict(self) -> dict:
        """Fields of the bar's format."""
        fields = super().format_dict
        done, total = fields["n"], fields["total"]
        known = done and total
        whole = self.format_interval(fields["elapsed"] * total / done) if known else "?"
        return {**fields, "whole": whole}


@contextmanager
def warnings_in_one_line() -> Iterator[None]:
    """Show warnings as `complain` shows mistakes, past a progress bar."""

    def show_warning(message, category, filename, lineno, file=None, line=None) -> None:
        text = " ".join(str(message).split())
        tqdm.write(f"asteroid-bsrnn: warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show_warning
        yield


@contextmanager
def progress_bar(track: str) -> Iterator[Progress]:
    """A bar with the time it takes in all and the time left, on a terminal only.

    Both are estimated from the first step on, from the mean speed so far.

    Yields:
        The callback that moves the bar.
    """
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} of {whole}, {remaining} left"
    # Steps are long, so every one of them is shown.
    options = {"disable": None, "leave": False, "miniters": 1, "mininterval": 0, "smoothing": 0}
    options |= _shape_of_shapeless_terminal()
    with _Bar(desc=track, bar_format=bar_format, **options) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _shape_of_shapeless_terminal() -> dict[str, int]:
    """What to take for the size of a terminal that has none, in which tqdm shows nothing."""
    try:
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # no terminal at all
        return {}
    return {} if columns and lines else {"ncols": 80, "nrows": 24}


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Python's stderr goes on to the screen, what C libraries print past it does not.

    libsndfile's MP3 decoder has a lot to say about a damaged file, for which the user gets our
    one line.
    """
    if sys.stderr is None or sys.stderr is not sys.__stderr__:  # someone else's stream
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
