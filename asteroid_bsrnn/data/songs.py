"""Songs without stems, and recordings of their parts: stems and sums of stems.

The parts of a song, a teacher's estimates or known recordings, are flac files in
`<folder>/<song>/<part>.flac` beside `record.json`, which is written last: a song without one is
not finished. A record is one JSON object:

- `format` "asteroid-bsrnn estimates", `version` 1.
- `song`: `title`, `licence`, `author`, `link` (null where not stated), `files` (the recordings),
  `sha256` (of all recordings), `silent` (sources that the song does not have).
- `teacher`: null for known recordings, or `label`, `name`, `path` (of a file without a name),
  `sha256` (of its weights), `licence`, `homepage` and `training_data` (from the registry),
  `two_stems` (the source beside which everything else is one part, or null), `settings` (of the
  separation) and `licenses` (notices of its training data, if its file has them).
- `parts`: `file` and size in `bytes` by the name of each part.
- `frames`, `sample_rate` (hertz), `channels`, `seconds`: of each part.
- `wall_seconds`: computing time. `versions` of the software.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..audio import find_inputs
from ..errors import UserError
from ..files import read_yaml

_SILENT = "silent"
_FACTS = ("title", "licence", "author", "link")

FORMAT = "asteroid-bsrnn estimates"
VERSION = 1
RECORD = "record.json"

_RECORD_KEYS = ("song", "teacher", "parts", "frames", "sample_rate", "channels", "seconds")


@dataclass(frozen=True)
class Song:
    """A song and the known facts about it.

    Attributes:
        title: name in reports.
        path: the recording; None if there are only recordings of parts.
        stems: recordings of parts, by the name of the part.
        silent: sources that the song does not have.
        licence: None if not stated.
        author: None if not stated.
        link: where the song is published; None if not stated.
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
        return {name: getattr(self, name) for name in _FACTS}

    def checksum(self) -> str:
        """Return the SHA-256 of the song's recordings."""
        digest = hashlib.sha256()
        for path in self.files():
            try:
                with open(path, "rb") as file:
                    while block := file.read(2**20):
                        digest.update(block)
            except OSError as error:
                raise UserError(f"{path}: cannot be read: {error.strerror}") from None
        return digest.hexdigest()


def part_name(names: Collection[str], sources: Sequence[str]) -> str:
    """Return the name of a part, the sum of some of the data's sources, which are in order.

    Example:
        >>> part_name({"other", "bass"}, ["vocals", "bass", "drums", "other"])
        'bass+other'
    """
    return "+".join(source for source in sources if source in names)


def parse_part(name: str, sources: Sequence[str]) -> tuple[str, ...]:
    """Return the sources of a part, whose name joins them by `+`, in the data's order.

    Raises:
        UserError: a source is unknown or appears twice.
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


def read_songs(path: str | os.PathLike, sources: Sequence[str]) -> list[Song]:
    """Return the songs of a list or of a folder, in order.

    A list is a YAML or JSON file. Each entry has a `path`, of a song or of a folder of songs,
    relative to the file; optionally `licence`, `author`, `link` and `title`; and
    `<source>: silent` for each source that the song does not have. An entry with `stems` instead
    of a path names recordings of parts: `stems: {vocals: a.wav, bass+drums+other: b.wav}`.

    Args:
        path: the list, or a folder of songs without facts.
        sources: of the data, in order.

    Raises:
        UserError: the list cannot be read or an entry is not valid, a file is missing, or a song
            is named twice.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        songs = [Song(file.stem, file) for file in find_inputs(path)]
    else:
        entries = read_yaml(path)
        if not isinstance(entries, list) or not entries:
            raise UserError(f"{path}: must be a list of songs, such as '- path: song.flac'")
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


def song_folder(folder: Path, song: Song, checksum: str) -> Path:
    """Return the folder of a song's parts, whose name contains title and checksum."""
    name = re.sub(r"[^\w.-]+", "_", song.title).strip("._")[:60]
    return folder / f"{name or 'song'}-{checksum[:8]}"


def read_record(folder: Path, checksum: str) -> dict[str, Any] | None:
    """Return a song's record, or None if its parts are not complete or of another checksum.

    Raises:
        UserError: the record was written by a later version of this package.
    """
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    if record.get("version") != VERSION:
        raise UserError(
            f"{folder / RECORD}: version {record.get('version')}, but this package reads"
            f" {VERSION}; update asteroid-bsrnn"
        )
    if any(key not in record for key in _RECORD_KEYS) or record["song"].get("sha256") != checksum:
        return None
    parts = record["parts"].values()
    try:
        whole = all((folder / part["file"]).stat().st_size == part["bytes"] for part in parts)
    except OSError:
        return None
    return record if whole else None


def _songs(entry: object, folder: Path, sources: Sequence[str], where: str) -> Iterator[Song]:
    """Yield the songs that an entry of a list names."""
    if not isinstance(entry, dict):
        raise UserError(f"{where}: must have a 'path' or 'stems', got {entry!r}")
    for key in entry:
        if key not in ("path", "stems", *_FACTS, *sources):
            valid = ", ".join(("path", "stems", *_FACTS, *sources))
            raise UserError(f"{where}: unknown key {key!r}; valid: {valid}")
    if ("path" in entry) == ("stems" in entry):
        raise UserError(f"{where}: must have either a 'path' or 'stems'")
    facts = {name: str(entry[name]) for name in _FACTS if entry.get(name) is not None}
    for source in sources:
        if source in entry and entry[source] != _SILENT:
            raise UserError(f"{where}: {source} can only be {_SILENT!r}, got {entry[source]!r}")
    silent = tuple(source for source in sources if source in entry)
    if "stems" in entry:
        parts = _stems(entry["stems"], folder, sources, silent, where)
        title = facts.pop("title", next(iter(parts.values())).parent.name)
        yield Song(title, stems=parts, silent=silent, **facts)
        return
    if len(silent) == len(sources):
        raise UserError(f"{where}: all sources are silent; leave the song out")
    title = facts.pop("title", None)
    for file in find_inputs(folder / str(entry["path"])):
        yield Song(title or file.stem, file, silent=silent, **facts)


def _stems(
    stems: object, folder: Path, sources: Sequence[str], silent: Iterable[str], where: str
) -> dict[str, Path]:
    """Return the recordings of parts that an entry names."""
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
    return parts
