"""Progress of long work: the type of the callbacks, bars on a terminal, and lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

LINE_SECONDS = 60.0

Progress = Callable[[int, int], None]
"""A callback that gets the amount of work done and the total amount."""


class _Bar(tqdm):
    """A bar whose format may contain `{whole}`, the estimated duration of all work."""

    @property
    def format_dict(self) -> dict:
        """Return the fields of the bar's format."""
        fields = super().format_dict
        done, total = fields["n"], fields["total"]
        known = done and total
        whole = self.format_interval(fields["elapsed"] * total / done) if known else "?"
        return {**fields, "whole": whole}


@contextmanager
def progress_bar(name: str) -> Iterator[Progress]:
    """Show a bar with the estimated total and remaining time, on a terminal only.

    Both estimates use the mean speed so far.

    Yields:
        The callback that moves the bar.
    """
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} of {whole}, {remaining} left"
    # Steps take long, so each of them is shown.
    options = {"disable": None, "leave": False, "miniters": 1, "mininterval": 0, "smoothing": 0}
    options |= _fallback_size()
    with _Bar(desc=name, bar_format=bar_format, **options) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _fallback_size() -> dict[str, int]:
    """Return a size for terminals that report none, where tqdm would show nothing."""
    try:
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # stderr is not a terminal
        return {}
    return {} if columns and lines else {"ncols": 80, "nrows": 24}


class Meter:
    """Bytes, speed and remaining time of a download: a bar on a terminal, else a line a minute."""

    def __init__(self, name: str):
        self._name = name
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        hidden = not self._on_terminal
        self._bar = tqdm(desc=name, disable=hidden, unit="B", unit_scale=True, leave=False)
        self._last: tuple[float, int] | None = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def update(self, received: int, total: int | None) -> None:
        """Show that `received` bytes of `total` (None: unknown) have arrived."""
        if self._last is None:
            # Bytes of an earlier run must not count as speed.
            self._last = time.monotonic(), received
            self._bar.initial = self._bar.n = self._bar.last_print_n = received
        if total != self._bar.total:
            self._bar.total = total
        self._bar.update(received - self._bar.n)
        since, before = self._last
        seconds = time.monotonic() - since
        if not self._on_terminal and seconds >= LINE_SECONDS:
            sys.stderr.write(
                f"{self._name}: {_line(received, total, (received - before) / seconds)}\n"
            )
            sys.stderr.flush()
            self._last = time.monotonic(), received


def _line(received: int, total: int | None, speed: float) -> str:
    """Return bytes, speed and remaining time in words; `speed` in bytes per second."""
    if not total:
        return f"{megabytes(received)}, {speed / 1e6:.2f} MB/s"
    share = f"{100 * received / total:.0f} % of {megabytes(total)}"
    if not speed:
        return f"{share}, nothing arrives at the moment"
    minutes = (total - received) / speed / 60
    left = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{max(minutes, 1):.0f} minutes"
    return f"{share}, {speed / 1e6:.2f} MB/s, {left} left"


def megabytes(count: float) -> str:
    """Return a number of bytes in words, such as "435 MB" or "1.83 GB"."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
