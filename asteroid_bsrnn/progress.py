"""Progress of long work: the type of the callbacks, and a bar on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

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
