"""Downloads of missing materials without root or installation; a folder is complete or absent."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import UserError
from . import clients
from .available import STAMP, Materials, how_to_get
from .material import DEFAULT_CLIENTS, Material

Report = Callable[[str], None]

_PART = ".part-"


def fetch(materials: Materials, report: Report) -> None:
    """Download the missing materials of a build; the same call resumes.

    Args:
        materials: materials of the build.
        report: called with a line of text at every step.

    Raises:
        UserError: if some could not be downloaded, with the reason, after all others were.
    """
    missing = materials.missing()
    by_hand = [material for material in missing if material.client == "pip"]
    wanted = [material for material in missing if material.client != "pip"]
    problems = []
    if by_hand:
        names = ", ".join(material.name for material in by_hand)
        problems.append(f"{names}: not installed; {how_to_get(by_hand)}")
    _check_programs(wanted)
    _clear_leftovers(materials.directory)
    for number, material in enumerate(wanted, start=1):
        report(
            f"{number}/{len(wanted)} {material.name} ({material.megabytes:g} MB by"
            f" {material.client}, {', '.join(material.licences(materials.profile))})"
        )
        try:
            _fetch_one(material, materials, report)
        except UserError as error:
            problems.append(str(error))
            report(f"    {error}")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(problems[0] + more)
    n_materials = len(materials.names)
    report(f"all {n_materials} materials are there; what was fetched is in {materials.directory}")


def _clear_leftovers(directory: Path) -> None:
    """Delete what killed runs left; recent folders may belong to a running one."""
    for part in directory.glob(f"{_PART}*"):
        if time.time() - part.stat().st_mtime > 24 * 3600:
            shutil.rmtree(part, ignore_errors=True)


def _check_programs(wanted: Iterable[Material]) -> None:
    """Check that the clients' programs exist, before anything is downloaded."""
    by_client: dict[str, list[str]] = {}
    for material in wanted:
        by_client.setdefault(material.client, []).append(material.name)
    for client, names in by_client.items():
        lacking = [name for name in clients.PROGRAMS[client] if shutil.which(name) is None]
        if lacking:
            others = " ".join(other for other in DEFAULT_CLIENTS if other != client)
            raise UserError(
                f"{', '.join(lacking)} not found, needed for {', '.join(names)};"
                f" {clients.INSTALL[client]}, or leave them out with --clients {others}"
            )


def _fetch_one(material: Material, materials: Materials, report: Report) -> None:
    """Download and unpack into a temporary folder, then rename it."""
    directory = materials.directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_PART, dir=directory) as part:
            unpacked = Path(part) / material.name
            unpacked.mkdir()
            version = clients.GET[material.client](material, Path(part), unpacked, report)
            clients.unpack_archives(material, unpacked)
            lacking = [
                item.path for item in material.used(materials.profile) if not item.found(unpacked)
            ]
            if lacking:
                raise UserError(
                    f"{material.name}: version {version} has no {lacking[0]}; leave it out with"
                    f" --without {material.name}"
                )
            stamp = {"client": material.client, "package": material.package, "version": version}
            (unpacked / STAMP).write_text(json.dumps(stamp, indent=2) + "\n", encoding="utf-8")
            _put(unpacked, directory / material.name, Path(part) / "old")
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f"{directory}: the disk is full; make room for {material.megabytes * 3:.0f} MB or"
                " choose another folder with --materials"
            ) from None
        raise UserError(
            f"{directory}: {material.name} cannot be written ({error.strerror}); choose another"
            " folder with --materials"
        ) from None


def _put(unpacked: Path, target: Path, old: Path) -> None:
    """Move a folder to its final place, replacing another version or an incomplete one."""
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        target.rename(old)
    unpacked.rename(target)
