"""What one entry of the catalogue of materials says."""

from __future__ import annotations

from dataclasses import dataclass

PROFILES = ("clean", "full")
CLIENTS = ("pip", "npm", "apt")


@dataclass(frozen=True)
class Item:
    """What is used of a material: a file or a folder, under a licence.

    Args:
        path: relative to the material's folder; a folder ends in "/".
        licence: as the material itself names it.
        credit: who made it.
        profile: "clean", or "full" for what the profile clean must leave alone.
    """

    path: str
    licence: str
    credit: str
    profile: str = "clean"


@dataclass(frozen=True)
class Material:
    """A package that songs are made from.

    Args:
        name: the key by which all parts of the program, and the manifest, call it.
        client: "pip", "npm" or "apt": what gets it.
        package: what the client calls it.
        version: npm and pip get exactly this one; apt gets the distribution's, this was tested.
        holds: what it is good for, in a few words.
        items: what is used of it.
        licence_files: relative to the material's folder.
        also: packages of the same client that are unpacked into the same folder.
        module: for pip, what Python imports it as.
        megabytes: size of the download.
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

    @property
    def profile(self) -> str:
        """The smallest profile that uses anything of it."""
        return "clean" if any(item.profile == "clean" for item in self.items) else "full"

    def used(self, profile: str) -> tuple[Item, ...]:
        """What a profile uses of it."""
        return tuple(item for item in self.items if profile == "full" or item.profile == "clean")

    def licences(self, profile: str) -> tuple[str, ...]:
        """The licences of what a profile uses, each once."""
        return tuple(dict.fromkeys(item.licence for item in self.used(profile)))
