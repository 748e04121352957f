"""Materials that a build may use, and their places."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .material import CATALOGUE, CLIENTS, DEFAULT_CLIENTS, KINDS, PROFILES, Material

STAMP = ".openstems.json"
"""File in the folder of each downloaded material, with package, client and version."""


def find(name: str) -> Material:
    """Return the material of a name.

    Raises:
        UserError: if there is none.
    """
    if name not in CATALOGUE:
        raise UserError(f"there is no material {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]


def default_directory() -> Path:
    """Return `$OPENSTEMS_MATERIALS`, or `openstems` in the user's cache folder."""
    named = os.environ.get("OPENSTEMS_MATERIALS")
    if named:
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification ignores relative paths.
    base = Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "openstems"


@dataclass(frozen=True)
class Materials:
    """Materials that a build may use, determined by the settings alone.

    Args:
        profile: "clean" or "full".
        clients: clients to use: "pip", "npm", "apt", "git".
        directory: folder with a folder for each material of npm, apt and git.
        without: names of materials to leave out.
        recordings: folder with copies of materials of git, each in a folder of its name, which are
            used instead of downloads; by default `$OPENSTEMS_RECORDINGS`, or none.
        kinds: kinds to use: "parts", "songs".

    Raises:
        UserError: for an unknown profile, client, kind or material, or a missing folder of
            recordings.
    """

    profile: str = "clean"
    clients: tuple[str, ...] = DEFAULT_CLIENTS
    directory: Path | None = None
    without: tuple[str, ...] = ()
    recordings: Path | None = None
    kinds: tuple[str, ...] = ("parts",)

    def __post_init__(self):
        if self.profile not in PROFILES:
            raise UserError(f"profile must be {' or '.join(PROFILES)}, got {self.profile!r}")
        for field, valid in (("clients", CLIENTS), ("kinds", KINDS)):
            for name in set(getattr(self, field)) - set(valid):
                raise UserError(f"{field} must be among {', '.join(valid)}, got {name!r}")
        for name in self.without:
            find(name)
        recordings = self.recordings or os.environ.get("OPENSTEMS_RECORDINGS") or None
        if recordings is not None:
            recordings = Path(recordings).expanduser().absolute()
            if not recordings.is_dir():
                raise UserError(f"{recordings}: no such folder of recordings; name another")
        object.__setattr__(self, "recordings", recordings)
        directory = Path(self.directory or default_directory()).expanduser().absolute()
        object.__setattr__(self, "directory", directory)
        # In the order of the catalogue, so that the order on the command line has no effect.
        object.__setattr__(self, "clients", _ordered(self.clients, CLIENTS))
        object.__setattr__(self, "without", _ordered(self.without, CATALOGUE))
        object.__setattr__(self, "kinds", _ordered(self.kinds, KINDS))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the allowed materials, present or not, in the catalogue's order."""
        return tuple(
            material.name
            for material in CATALOGUE.values()
            if material.client in self.clients
            and material.kind in self.kinds
            and material.used(self.profile)
            and material.name not in self.without
        )

    def path(self, name: str) -> Path:
        """Return the folder of a material.

        For pip it is the folder of the Python package. For npm it contains `package/`, for apt
        `usr/`, for git the used files of the repository.

        Raises:
            UserError: if the build may not use it, or it is missing.
        """
        if name not in self.names:
            raise UserError(
                f"{name}: not among the materials of this build ({', '.join(self.names)})"
            )
        folder = self._folder(CATALOGUE[name])
        if folder is None:
            raise UserError(f"{name}: missing; {how_to_get([CATALOGUE[name]])}")
        return folder

    def missing(self) -> tuple[Material, ...]:
        """Return the allowed materials that are neither downloaded nor installed."""
        materials = (CATALOGUE[name] for name in self.names)
        return tuple(material for material in materials if self._folder(material) is None)

    def require(self) -> None:
        """Check that all materials are present.

        Raises:
            UserError: if some are missing, with the command that downloads them.
        """
        missing = self.missing()
        if missing:
            names = ", ".join(material.name for material in missing)
            raise UserError(f"missing materials: {names}; {how_to_get(missing)}")

    def version(self, name: str) -> str:
        """Return the present version; "unknown" for a package unpacked by hand."""
        material = find(name)
        if self._copy(material) is not None:
            return "local copy"
        if material.client == "pip":
            return importlib.metadata.version(material.package)
        return str(read_stamp(self.path(name)).get("version", "unknown"))

    def licence_files(self, name: str) -> tuple[Path, ...]:
        """Return the existing files with the licences of a material."""
        material, root = find(name), self.path(name)
        files = [root / path for path in material.licence_files]
        if material.client == "pip":
            listed = importlib.metadata.files(material.package) or ()
            files += [Path(file.locate()) for file in listed if "licenses" in file.parts]
        return tuple(file for file in files if file.is_file())

    def _folder(self, material: Material) -> Path | None:
        """Return the folder of a material; None if it is missing or incomplete."""
        if material.client == "pip":
            return _python_package(material)
        folder = self._copy(material)
        if folder is not None:
            return folder
        folder = self.directory / material.name
        stamped = str(read_stamp(folder).get("version", material.version))
        if material.client in ("npm", "git") and not stamped.startswith(material.version):
            return None
        return folder if self._is_whole(folder, material) else None

    def _copy(self, material: Material) -> Path | None:
        """Return the user's own copy of a material of git."""
        if material.client != "git" or self.recordings is None:
            return None
        folder = self.recordings / material.name
        return folder if self._is_whole(folder, material) else None

    def _is_whole(self, folder: Path, material: Material) -> bool:
        return all(item.found(folder) for item in material.used(self.profile))


def how_to_get(missing: Iterable[Material]) -> str:
    """Return the command that downloads missing materials."""
    clients = {material.client for material in missing}
    commands = []
    if "pip" in clients:
        commands.append('pip install "asteroid-bsrnn[openstems]"')
    if clients - {"pip"}:
        commands.append("generate.py fetch (with the same options)")
    return "run: " + ", and ".join(commands)


def read_stamp(folder: Path) -> dict[str, str]:
    """Return the stamp in a material's folder; empty if it is missing or unreadable."""
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
