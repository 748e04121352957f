"""Lines of a report on the screen as they come, and in a file at the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def print_and_write(lines: Iterable[str], path: Path | None) -> None:
    """Print lines, and write them to a file where `path` is given."""
    printed = []
    for line in lines:
        print(line, flush=True)
        printed.append(line)
    if path:
        path.write_text("\n".join(printed) + "\n", encoding="utf-8")
