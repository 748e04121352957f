"""Songs without stems, and songs of which some stems or sums of stems are known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..audio import find_inputs
from ..errors import UserError
from .parts import parse_part, parse_parts, part_name

SILENT = "silent"
FACTS = ("title", "licence", "author", "link")


@dataclass(frozen=True)
class Song:
    """A song, and what is known of it.

    Attributes:
        title: what it is called in reports.
        path: the recording; None where there are recordings of parts alone.
        stems: recordings of parts, by the name of the part.
        silent: sources that the song does not have.
        licence: None where it is not stated.
        author: None where it is not stated.
        link: where the song is published; None where it is not stated.
    """

    title: str
    path: Path | None = None
    stems: Mapping[str, Path] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    licence: str | None = None
    author: str | None = None
    link: str | None = None

    def known_parts(self, sources: Sequence[str]) -> dict[str, Path]:
        """Return the recordings of parts, which need no teacher; none for an unlabelled song.

        A song without some of the sources is a recording of the sum of the others.

        Args:
            sources: of the data, in order.
        """
        if self.path is None:
            return dict(self.stems)
        if not self.silent:
            return {}
        others = [source for source in sources if source not in self.silent]
        return {part_name(others, sources): self.path}

    def files(self) -> list[Path]:
        """Return the song's recordings."""
        return [self.path] if self.path is not None else list(self.stems.values())

    def facts(self) -> dict[str, str | None]:
        """Return title, licence, author and link."""
        return {name: getattr(self, name) for name in FACTS}


def read_songs(path: str | os.PathLike, sources: Sequence[str]) -> list[Song]:
    """Read a list of songs, or find the songs of a folder.

    A list is a YAML or JSON file. Each entry has a `path`, of a song or of a folder of songs,
    relative to the file; `licence`, `author`, `link` and `title` where they are known; and
    `<source>: silent` for each source that the song does not have. An entry with `stems` instead
    of a path names recordings of parts: `stems: {vocals: a.wav, bass+drums+other: b.wav}`.

    Args:
        path: the list, or a folder, of whose songs nothing is known.
        sources: of the data, in order.

    Returns:
        The songs, in order.

    Raises:
        UserError: the list can't be read or an entry is not valid, a file is missing, or a song
            is named twice.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        songs = [Song(file.stem, file) for file in find_inputs(path)]
    else:
        entries = _load(path)
        songs = [
            song
            for number, entry in enumerate(entries, start=1)
            for song in _songs(entry, path.parent, sources, f"{path}: entry {number}")
        ]
    seen: set[str] = set()
    for song in songs:
        for file in song.files():
            real = os.path.realpath(file)
            if real in seen:
                raise UserError(f"{path}: {file} is named twice; name it once")
            seen.add(real)
    return songs


def _load(path: Path) -> list:
    import yaml

    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(entries, list) or not entries:
        raise UserError(f"{path}: must be a list of songs, such as '- path: song.flac'")
    return entries


def _songs(entry: object, folder: Path, sources: Sequence[str], where: str) -> Iterator[Song]:
    """The songs that an entry of a list names."""
    if not isinstance(entry, dict):
        raise UserError(f"{where}: must have a 'path' or 'stems', got {entry!r}")
    for key in entry:
        if key not in ("path", "stems", *FACTS, *sources):
            valid = ", ".join(("path", "stems", *FACTS, *sources))
            raise UserError(f"{where}: unknown key {key!r}; valid: {valid}")
    if ("path" in entry) == ("stems" in entry):
        raise UserError(f"{where}: must have either a 'path' or 'stems'")
    facts = {name: str(entry[name]) for name in FACTS if entry.get(name) is not None}
    silent = _silent(entry, sources, where)
    if "stems" in entry:
        yield _song_of_stems(entry["stems"], folder, sources, silent, facts, where)
        return
    if len(silent) == len(sources):
        raise UserError(f"{where}: all sources are silent; leave the song out")
    given = folder / str(entry["path"])
    title = facts.pop("title", None)
    for file in find_inputs(given):
        yield Song(title or file.stem, file, silent=silent, **facts)


def _silent(entry: Mapping, sources: Sequence[str], where: str) -> tuple[str, ...]:
    for source in sources:
        if source in entry and entry[source] != SILENT:
            raise UserError(f"{where}: {source} can only be {SILENT!r}, got {entry[source]!r}")
    return tuple(source for source in sources if source in entry)


def _song_of_stems(
    stems: object,
    folder: Path,
    sources: Sequence[str],
    silent: tuple[str, ...],
    facts: dict[str, str],
    where: str,
) -> Song:
    if not isinstance(stems, dict) or not stems:
        raise UserError(f"{where}: stems must name files, such as 'vocals: vocals.flac'")
    try:
        parse_parts([*map(str, stems), *silent], sources)
        parts = {
            part_name(parse_part(name, sources), sources): folder / str(file)
            for name, file in stems.items()
        }
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    find_inputs(parts.values())
    first = next(iter(parts.values()))
    title = facts.pop("title", first.parent.name)
    return Song(title, stems=parts, silent=silent, **facts)
