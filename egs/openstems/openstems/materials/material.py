"""What one entry of the catalogue of materials says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PROFILES = ("clean", "full")
CLIENTS = ("pip", "npm", "apt", "git")
DEFAULT_CLIENTS = ("pip", "npm", "apt")
"""What git gets is large, and not every network reaches its hosts."""

KINDS = ("parts", "songs")
"""What songs are made from; and whole songs without stems, for teachers."""


@dataclass(frozen=True)
class Item:
    """What is used of a material: a file or a folder, under a licence.

    Args:
        path: relative to the material's folder; a folder ends in "/", and "*" stands for any text
            but "/".
        licence: as the material itself names it.
        credit: who made it.
        profile: "clean", or "full" for what the profile clean must leave alone.
        silent: of whole songs, the sources that they do not have.
        split: of whole songs, "train", or "valid" for those that validation alone hears.
    """

    path: str
    licence: str
    credit: str
    profile: str = "clean"
    silent: tuple[str, ...] = ()
    split: str = "train"

    def found(self, folder: Path) -> list[Path]:
        """Return what there is of it in a material's folder, sorted."""
        if "*" in self.path:
            return sorted(folder.glob(self.path.rstrip("/")))
        return [folder / self.path] if (folder / self.path).exists() else []


@dataclass(frozen=True)
class Material:
    """A package that songs are made from.

    Args:
        name: the key by which all parts of the program, and the manifest, call it.
        client: "pip", "npm", "apt" or "git": what gets it.
        package: what the client calls it; for git, the address.
        version: npm, pip and git get exactly this one, for git a commit or the beginning of one;
            apt gets the distribution's, this was tested.
        holds: what it is good for, in a few words.
        items: what is used of it.
        licence_files: relative to the material's folder.
        also: packages of the same client that are unpacked into the same folder.
        module: for pip, what Python imports it as.
        megabytes: size of the download.
        archives: zip archives in it, each unpacked into the folder of its name without suffix.
        sha256: for git, checksum of the files taken as `fetch.checksum` computes it; "" where
            the commit alone says what they are.
        kind: "parts" or "songs".
    """

    name: str
    client: str
    package: str
    version: str
    holds: str
    items: tuple[Item, ...]
    licence_files: tuple[str, ...]
    also: tuple[str, ...] = ()
    module: str = ""
    megabytes: float = 0.0
    archives: tuple[str, ...] = ()
    sha256: str = ""
    kind: str = "parts"

    @property
    def profile(self) -> str:
        """Return the smallest profile that uses anything of it."""
        return "clean" if any(item.profile == "clean" for item in self.items) else "full"

    def used(self, profile: str) -> tuple[Item, ...]:
        """Return what a profile uses of it."""
        return tuple(item for item in self.items if profile == "full" or item.profile == "clean")

    def licences(self, profile: str) -> tuple[str, ...]:
        """Return the licences of what a profile uses, each once."""
        return tuple(dict.fromkeys(item.licence for item in self.used(profile)))


def debian_package(
    name: str, version: str, holds: str, items: tuple[Item, ...], megabytes: float, **more
) -> Material:
    """Return the material of a Debian package of its own name, with Debian's copyright file.

    Args:
        name, version, holds, items, megabytes: as of `Material`.
        **more: other fields of `Material`.
    """
    return Material(
        name=name,
        client="apt",
        package=name,
        version=version,
        holds=holds,
        items=items,
        licence_files=(f"usr/share/doc/{name}/copyright",),
        megabytes=megabytes,
        **more,
    )
