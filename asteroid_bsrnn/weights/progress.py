"""How far a download is: a bar on a terminal, and a line a minute elsewhere."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from .cache import megabytes

LINE_SECONDS = 60.0


class Meter:
    """Show bytes, speed and the time left on stderr.

    Args:
        name: of the file.
        progress: True shows a bar and False nothing; None a bar on a terminal, and lines elsewhere.
    """

    def __init__(self, name: str, progress: bool | None):
        self._name = name
        on_terminal = sys.stderr is not None and sys.stderr.isatty()
        self._with_lines = progress is None and not on_terminal
        with_bar = on_terminal if progress is None else progress
        self._bar = tqdm(desc=name, disable=not with_bar, unit="B", unit_scale=True, leave=False)
        self._last: tuple[float, int] | None = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def update(self, received: int, total: int | None) -> None:
        """Show that `received` bytes of `total` (None: unknown) are there."""
        if self._last is None:
            # What an earlier run left must not count as speed.
            self._last = time.monotonic(), received
            self._bar.initial = self._bar.n = self._bar.last_print_n = received
        if total != self._bar.total:
            self._bar.total = total
        self._bar.update(received - self._bar.n)
        since, before = self._last
        seconds = time.monotonic() - since
        if self._with_lines and seconds >= LINE_SECONDS:
            sys.stderr.write(
                f"{self._name}: {_line(received, total, (received - before) / seconds)}\n"
            )
            sys.stderr.flush()
            self._last = time.monotonic(), received


def _line(received: int, total: int | None, speed: float) -> str:
    """Bytes, speed and the time left in words; `speed` in bytes a second."""
    if not total:
        return f"{megabytes(received)}, {speed / 1e6:.2f} MB/s"
    share = f"{100 * received / total:.0f} % of {megabytes(total)}"
    if not speed:
        return f"{share}, nothing arrives at the moment"
    minutes = (total - received) / speed / 60
    left = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{max(minutes, 1):.0f} minutes"
    return f"{share}, {speed / 1e6:.2f} MB/s, {left} left"
