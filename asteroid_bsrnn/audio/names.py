"""Names of stems: a folder name for each recording, and patterns of paths."""

from __future__ import annotations

import os
import string
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import UserError

FIELDS = ("track", "stem", "ext", "format", "index")
"""What a pattern may contain in braces; `format` means the same as `ext`."""

_LONGEST_NAME = 255
"""Bytes of the longest file name on most file systems."""


def track_name(path: str | os.PathLike) -> str:
    """Return the name of a recording in the paths of its stems: its file name without its type."""
    name = Path(path).stem.removesuffix(".stem")
    # A name of dots only would mean this folder or its parent.
    return name if name.strip(".") else Path(path).name


def unique_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Return a name for each recording; equal names are numbered in the order of the paths."""
    names: list[str] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last one of each name, as a million songs may share one
    for path in paths:
        unique = name = track_name(path)
        # On some file systems, names that differ only in case are the same folder.
        while unique.lower() in taken:
            numbers[name.lower()] = numbers.get(name.lower(), 1) + 1
            ending = f" ({numbers[name.lower()]})"
            unique = _shorten(name, _LONGEST_NAME - len(ending)) + ending
        taken.add(unique.lower())
        names.append(unique)
    return names


def page_name(track: str) -> str:
    """Return the file name of the page that plays the stems of a recording."""
    return _shorten(track, _LONGEST_NAME - len(".html")) + ".html"


def check_pattern(pattern: str, format: str, several: bool = False) -> None:
    """Refuse a pattern that is not valid, or whose files would replace each other.

    A pattern is the path of a stem below the output folder, with `FIELDS` in braces. `several`
    tells whether it names the stems of several recordings.

    Raises:
        UserError: the message says what is wrong with the pattern.
    """
    try:
        parsed = list(string.Formatter().parse(pattern))
        fields = [field for _, field, _, _ in parsed if field is not None]
        pattern.format(**dict.fromkeys(FIELDS, "x") | {"index": 1})
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        fields = [None]
    wrong = [field for field in fields if field not in FIELDS]
    if wrong:
        valid = ", ".join(f"{{{field}}}" for field in FIELDS if field != "format")
        raise UserError(f"name pattern {pattern!r}: in braces it may have {valid} only")
    if several and "track" not in fields:
        raise UserError(
            f"name pattern {pattern!r}: the stems of several songs would replace each other; add "
            "{track}"
        )
    _check_parts(pattern, pattern.format(track="x", stem="x", ext=format, format=format, index=1))
    if not pattern.endswith(("{ext}", "{format}", f".{format}")):
        raise UserError(f"name pattern {pattern!r}: must end with .{{ext}}, the type of the file")


def stem_paths(
    pattern: str, track: str, names: Collection[str], sources: Sequence[str], format: str
) -> dict[str, Path]:
    """Return the path of each stem of a recording, relative to the output folder.

    A track is shortened where a name would be too long for a file system. `{index}` is the number
    of the stem among the sources of the model, from 1, or 0 if it is none of them.

    Raises:
        UserError: the pattern is not valid, or two stems get the same path.
    """
    check_pattern(pattern, format)
    paths = {}
    for name in names:
        index = list(sources).index(name) + 1 if name in sources else 0
        values = {"stem": name, "ext": format, "format": format, "index": index}
        paths[name] = Path(*(_fill(part, track, values) for part in pattern.split("/")))
        _check_parts(pattern, paths[name].as_posix())
    if len({str(path).lower() for path in paths.values()}) < len(paths):
        raise UserError(
            f"name pattern {pattern!r}: the stems of a song would replace each other; add {{stem}}"
        )
    return paths


def _fill(part: str, track: str, values: dict) -> str:
    """Return a folder or file name of a pattern, with the track cut so that the name is valid."""
    without = len(os.fsencode(part.format(track="", **values)))
    times = sum(field == "track" for _, field, _, _ in string.Formatter().parse(part))
    if times:
        track = _shorten(track, max(1, (_LONGEST_NAME - without) // times))
    return part.format(track=track, **values)


def _shorten(name: str, size: int) -> str:
    """Return a name of at most `size` bytes."""
    encoded = os.fsencode(name)
    if len(encoded) <= size:
        return name
    # A character must not be cut in the middle.
    return encoded[:size].decode("utf-8", "ignore").rstrip()


def _check_parts(pattern: str, path: str) -> None:
    if any(part in ("", ".", "..") for part in path.split("/")) or Path(path).is_absolute():
        raise UserError(
            f"name pattern {pattern!r}: must be a path below the output folder, without .. or empty"
            " names"
        )
