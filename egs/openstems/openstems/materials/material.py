"""Catalogue of materials: packages that songs are made from; the table is catalogue.yml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .. import tables

PROFILES = ("clean", "full")
CLIENTS = ("pip", "npm", "apt", "git")
DEFAULT_CLIENTS = ("pip", "npm", "apt")
"""Clients by default: downloads of git are large, and some networks do not reach its hosts."""

KINDS = ("parts", "songs")
"""Kinds of materials: parts of songs, and whole songs without stems for teachers."""


@dataclass(frozen=True)
class Item:
    """Used part of a material: a file or a folder, under a licence.

    Args:
        path: relative to the material's folder; a folder ends in "/", and "*" stands for any text
            but "/".
        licence: licence as named by the material.
        credit: authors.
        profile: "clean", or "full" if the profile clean must not use it.
        silent: for whole songs, the sources that they lack.
        split: for whole songs, "train", or "valid" for those of the validation.
    """

    path: str
    licence: str
    credit: str
    profile: str = "clean"
    silent: tuple[str, ...] = ()
    split: str = "train"

    def found(self, folder: Path) -> list[Path]:
        """Return its existing paths in a material's folder, sorted."""
        if "*" in self.path:
            return sorted(folder.glob(self.path.rstrip("/")))
        return [folder / self.path] if (folder / self.path).exists() else []


@dataclass(frozen=True)
class Material:
    """Package that songs are made from.

    Args:
        name: unique name, used in the manifest too.
        client: client that downloads it: "pip", "npm", "apt" or "git".
        package: name of the package for the client; for git, the address.
        version: exact version for npm and pip; for git a full or abbreviated commit, which is a
            checksum of the files; for apt the tested version, although the distribution's is used.
        holds: description in a few words.
        items: used parts.
        licence_files: relative to the material's folder.
        megabytes: size of the download.
        also: further packages of the client that are unpacked into the same folder.
        module: for pip, name of the Python module.
        archives: zip archives in it, each unpacked into a folder of its name without the suffix.
        kind: "parts" or "songs".
    """

    name: str
    client: str
    package: str
    version: str
    holds: str
    items: tuple[Item, ...]
    licence_files: tuple[str, ...]
    megabytes: float
    also: tuple[str, ...] = ()
    module: str = ""
    archives: tuple[str, ...] = ()
    kind: str = "parts"

    @property
    def profile(self) -> str:
        """Return the smallest profile that uses a part of it."""
        return "clean" if any(item.profile == "clean" for item in self.items) else "full"

    def used(self, profile: str) -> tuple[Item, ...]:
        """Return the parts that a profile uses."""
        return tuple(item for item in self.items if profile == "full" or item.profile == "clean")

    def licences(self, profile: str) -> tuple[str, ...]:
        """Return the licences of the parts that a profile uses, without duplicates."""
        return tuple(dict.fromkeys(item.licence for item in self.used(profile)))


def _items(entry: dict[str, Any]) -> Iterator[Item]:
    for item in entry["items"]:
        facts = item | {"silent": tuple(item.get("silent", ()))}
        for path in facts.pop("paths").split(" "):
            yield Item(entry.get("folder", "") + path, **facts)


def _material(name: str, entry: dict[str, Any]) -> Material:
    client = entry["package"]["client"]
    default = {"apt": [f"usr/share/doc/{name}/copyright"]}.get(client, [])
    return Material(
        **{"name": name, "package": name, "module": name if client == "pip" else ""}
        | entry["package"]
        | {"also": tuple(entry["package"].get("also", ()))},
        holds=entry["holds"],
        items=tuple(_items(entry)),
        licence_files=tuple(entry.get("licence_files", default)),
        archives=tuple(entry.get("archives", ())),
    )


CATALOGUE = MappingProxyType(
    {name: _material(name, entry) for name, entry in tables.load(__file__, "catalogue.yml").items()}
)
"""All materials by name."""
