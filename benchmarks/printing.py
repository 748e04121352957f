"""Print the lines of a report and write them to a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def print_and_write(lines: Iterable[str], path: Path | None) -> None:
    """Print lines as they come; write all of them to `path` at the end if it is given."""
    printed = []
    for line in lines:
        print(line, flush=True)
        printed.append(line)
    if path:
        path.write_text("\n".join(printed) + "\n", encoding="utf-8")
