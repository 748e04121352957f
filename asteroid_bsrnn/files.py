"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file that gets its name only when it is complete.

    An interrupted process leaves the former file as it was. Other processes that write the same
    file do not disturb this one; the last to finish wins.

    Args:
        path: the file. Its folder exists; a former file of that name is replaced.

    Yields:
        A path in the same folder, with the same suffix, to write to. Its name is hidden.
    """
    path = Path(path)
    unfinished = path.with_name(_unfinished_name(path, secrets.token_hex(4)))
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def remove_unfinished(path: str | os.PathLike) -> None:
    """Remove what killed writers of a file left behind; no other process may be writing it."""
    path = Path(path)
    form = re.escape(_unfinished_name(path, "MIDDLE")).replace("MIDDLE", "[0-9a-f]{8}")
    for left in path.parent.iterdir():
        if re.fullmatch(form, left.name):
            left.unlink(missing_ok=True)


def write_text(path: str | os.PathLike, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all."""
    with whole_file(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, value: Any, indent: int | None = 2) -> None:
    """Write a JSON file, whole or not at all.

    Args:
        path: the file.
        value: of plain types; keys keep their order, and text is not escaped to ASCII.
        indent: spaces of each level; None writes one line.
    """
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def _unfinished_name(path: Path, middle: str) -> str:
    # The suffix stays last: several writers choose the format by it. A long name is shortened, as
    # the temporary one must not exceed what the file system takes.
    return f".{path.stem[:48]}.{middle}{path.suffix[-16:]}"
