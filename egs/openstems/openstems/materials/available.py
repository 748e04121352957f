"""What a build may use, and where it lies."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .catalogue import CATALOGUE, CLIENTS, PROFILES, Material, find

STAMP = ".openstems.json"
"""File in the folder of each fetched material: package, client and version."""


def default_directory() -> Path:
    """`$OPENSTEMS_MATERIALS`, or `openstems` in the user's cache folder."""
    named = os.environ.get("OPENSTEMS_MATERIALS")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The rule says that a relative path there counts as none.
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "openstems"


@dataclass(frozen=True)
class Materials:
    """The materials that a build may use; the same settings always name the same ones.

    Args:
        profile: "clean" or "full".
        clients: which of "pip", "npm" and "apt" to take materials from.
        directory: folder that holds a folder for each material of npm and apt.
        without: names of materials to leave out.

    Raises:
        UserError: an unknown profile, client or material.
    """

    profile: str = "clean"
    clients: tuple[str, ...] = CLIENTS
    directory: Path | None = None
    without: tuple[str, ...] = ()

    def __post_init__(self):
        if self.profile not in PROFILES:
            raise UserError(f"profile must be {' or '.join(PROFILES)}, got {self.profile!r}")
        for client in self.clients:
            if client not in CLIENTS:
                raise UserError(f"clients must be among {', '.join(CLIENTS)}, got {client!r}")
        for name in self.without:
            find(name)
        directory = Path(self.directory or default_directory()).expanduser().absolute()
        object.__setattr__(self, "directory", directory)
        # In the catalogue's order, so that the order on the command line changes nothing.
        object.__setattr__(self, "clients", _ordered(self.clients, CLIENTS))
        object.__setattr__(self, "without", _ordered(self.without, CATALOGUE))

    @property
    def names(self) -> tuple[str, ...]:
        """The materials that profile and clients allow, there or not, in the catalogue's order."""
        return tuple(
            material.name
            for material in CATALOGUE.values()
            if material.client in self.clients
            and material.used(self.profile)
            and material.name not in self.without
        )

    def __contains__(self, name: object) -> bool:
        """Whether a build may use the material of this name."""
        return name in self.names

    def path(self, name: str) -> Path:
        """The folder of a material.

        For pip it is the folder of the Python package, for npm it holds `package/`, for apt `usr/`.

        Raises:
            UserError: the build may not use it, or it is not there.
        """
        if name not in self:
            raise UserError(
                f"{name}: not among the materials of this build ({', '.join(self.names)})"
            )
        folder = self._folder(CATALOGUE[name])
        if folder is None:
            raise UserError(f"{name}: not there yet; {how_to_get([CATALOGUE[name]])}")
        return folder

    def missing(self) -> tuple[Material, ...]:
        """What the build may use but can't, because it was not fetched or installed."""
        materials = (CATALOGUE[name] for name in self.names)
        return tuple(material for material in materials if self._folder(material) is None)

    def require(self) -> None:
        """See that everything is there.

        Raises:
            UserError: names what is missing and the command that gets it.
        """
        missing = self.missing()
        if missing:
            names = ", ".join(material.name for material in missing)
            raise UserError(f"missing materials: {names}; {how_to_get(missing)}")

    def version(self, name: str) -> str:
        """The version that is there; "unknown" for what was unpacked by hand."""
        material = find(name)
        if material.client == "pip":
            return importlib.metadata.version(material.package)
        return str(read_stamp(self.path(name)).get("version", "unknown"))

    def licence_files(self, name: str) -> tuple[Path, ...]:
        """The files of a material that hold its licences, as far as they are there."""
        material, root = find(name), self.path(name)
        files = [root / path for path in material.licence_files]
        if material.client == "pip":
            listed = importlib.metadata.files(material.package) or ()
            files += [Path(file.locate()) for file in listed if "licenses" in file.parts]
        return tuple(file for file in files if file.is_file())

    def _folder(self, material: Material) -> Path | None:
        """Where a material lies; None where it, or any of what is used of it, is missing."""
        if material.client == "pip":
            return _python_package(material)
        folder = self.directory / material.name
        stamped = read_stamp(folder).get("version", material.version)
        if material.client == "npm" and stamped != material.version:
            return None
        there = all((folder / item.path).exists() for item in material.used(self.profile))
        return folder if there else None


def how_to_get(missing: Iterable[Material]) -> str:
    """The command that gets what is missing."""
    clients = {material.client for material in missing}
    commands = []
    if "pip" in clients:
        commands.append('pip install "asteroid-bsrnn[openstems]"')
    if clients - {"pip"}:
        commands.append("generate.py fetch (with the same options)")
    return "run: " + ", and ".join(commands)


def read_stamp(folder: Path) -> dict[str, str]:
    """What fetching wrote into a material's folder; empty where that is unreadable or missing."""
    try:
        content = json.loads((folder / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _python_package(material: Material) -> Path | None:
    try:
        importlib.metadata.version(material.package)
    except importlib.metadata.PackageNotFoundError:
        return None
    spec = importlib.util.find_spec(material.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _ordered(chosen: Iterable[str], order: Iterable[str]) -> tuple[str, ...]:
    chosen = set(chosen)
    return tuple(name for name in order if name in chosen)
