"""Parts of songs: stems, and sums of stems such as `bass+drums+other`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from ..errors import UserError


def part_name(names: Collection[str], sources: Sequence[str]) -> str:
    """Return the name of a part.

    Args:
        names: the sources whose sum it is.
        sources: all sources of the data, in order.

    Example:
        >>> part_name({"other", "bass"}, ["vocals", "bass", "drums", "other"])
        'bass+other'
    """
    return "+".join(source for source in sources if source in names)


def parse_part(name: str, sources: Sequence[str]) -> tuple[str, ...]:
    """Return the sources of a part, in the data's order.

    Args:
        name: sources joined by `+`, in any order.
        sources: all sources of the data, in order.

    Raises:
        UserError: a source is unknown or comes twice.
    """
    names = str(name).split("+")
    for source in names:
        if source not in sources:
            raise UserError(
                f"part {name!r}: unknown source {source!r}; valid: {', '.join(sources)}, or"
                " several joined by +"
            )
        if names.count(source) > 1:
            raise UserError(f"part {name!r}: {source!r} comes twice; name it once")
    return tuple(source for source in sources if source in names)


def parse_parts(names: Iterable[str], sources: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sources of each part of a song.

    Raises:
        UserError: as `parse_part`, or a source is in two parts.
    """
    parts = [parse_part(name, sources) for name in names]
    seen: set[str] = set()
    for part in parts:
        twice = seen.intersection(part)
        if twice:
            raise UserError(f"{sorted(twice)[0]!r} is in two parts; the parts must not overlap")
        seen.update(part)
    return parts


def adding_up_to(part: Collection[str], parts: Sequence[Sequence[str]]) -> list[int] | None:
    """Return the indices of the parts whose sum is another part; None if there are none.

    Args:
        part: sources of the part.
        parts: sources of parts that do not overlap.

    Example:
        >>> adding_up_to(["bass", "drums"], [["vocals"], ["bass"], ["drums"], ["other"]])
        [1, 2]
    """
    wanted = set(part)
    inside = [index for index, other in enumerate(parts) if wanted.issuperset(other)]
    covered = {source for index in inside for source in parts[index]}
    return inside if covered == wanted else None
