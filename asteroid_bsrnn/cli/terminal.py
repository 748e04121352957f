"""Types of arguments, messages on the terminal, and an orderly end of the program."""

from __future__ import annotations

import argparse
import functools
import math
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr

from ..errors import UserError

OUT_OF_MEMORY = (
    "out of memory: use a smaller --segment or --batch-size, or --device cpu on a small GPU"
)


def complain(message: Exception | str) -> int:
    """Print an error message in one line and return the exit code of a user's mistake."""
    print(f"asteroid-bsrnn: error: {' '.join(str(message).split())}", file=sys.stderr)
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
        text = " ".join(str(message).split())
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


def name(text: str) -> str:
    """Return a name, which must not be empty."""
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; was a variable not set?")
    return text


def number_within(at_least: float = -math.inf, above: float = -math.inf):
    """Return the type of an argument that is a number within bounds."""
    bound = f"above {above:g}" if above > at_least else f"of at least {at_least:g}"

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (at_least <= value < math.inf and above < value):
            raise argparse.ArgumentTypeError(f"must be a number {bound}, got {text!r}")
        return value

    return number


def seconds(at_least: float = -math.inf, above: float = -math.inf):
    """Return the type of an argument that is a time within bounds, in seconds or as [h:]m:ss."""
    number = number_within(at_least, above)

    def time(text: str) -> float:
        if ":" not in text:
            return number(text)
        if not re.fullmatch(r"([0-9]+:[0-5]?[0-9]|[0-9]+):[0-5][0-9](\.[0-9]+)?", text):
            raise argparse.ArgumentTypeError(f"must be seconds or [h:]m:ss, got {text!r}")
        *larger, last = text.split(":")
        minutes = sum(int(part) * 60**i for i, part in enumerate(reversed(larger)))
        return number(str(60 * minutes + float(last)))

    return time


def segment_or_none(text: str) -> float | None:
    """Return seconds, or None for the word none."""
    return None if text.lower() == "none" else number_within(above=0)(text)


def count(text: str) -> int:
    """Return a whole number of at least 1."""
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def bitrate(text: str) -> int:
    """Return bits per second of a number with k, or of at least 1000."""
    match = re.fullmatch(r"([0-9]+)(k?)", text.lower())
    value = int(match[1]) * (1000 if match[2] else 1) if match else 0
    if value < 1000:
        raise argparse.ArgumentTypeError(f"must be a bit rate such as 192k, got {text!r}")
    return value


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
