"""Downloads of packages and commits by npm, apt and git, without installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

from ..errors import UserError
from .material import Material

PROGRAMS = MappingProxyType({"npm": ("npm",), "apt": ("apt-get", "dpkg-deb"), "git": ("git",)})
INSTALL = MappingProxyType(
    {"npm": "install Node.js", "apt": "use Debian or Ubuntu", "git": "install git"}
)
_WHOLE_COMMIT = 40  # digits


def npm(material: Material, work: Path, unpacked: Path, report: Callable[[str], None]) -> str:
    """Download a package of npm, unpack it, and return its version."""
    what = f"{material.package}@{material.version}"
    _run(material, ["npm", "pack", what, "--ignore-scripts", "--pack-destination", "."], work)
    archives = list(work.glob("*.tgz"))
    if len(archives) != 1:
        raise UserError(f"{material.name}: npm pack {what} gave {len(archives)} files; try again")
    _unpack(archives[0], unpacked)
    return material.version


def apt(material: Material, work: Path, unpacked: Path, report: Callable[[str], None]) -> str:
    """Download packages of the distribution, unpack them, and return the version of the first."""
    packages = [material.package, *material.also]
    lists = work.parent / ".apt"
    own_lists = _own_lists(lists) if (lists / "ready").exists() else []
    try:
        _run(material, ["apt-get", *own_lists, "download", *packages], work)
    except UserError:
        if own_lists:
            raise
        # The package lists of the system are missing or old, and only root may update them.
        report("    the system's package lists are of no use: downloading own lists")
        own_lists = _own_lists(lists)
        _run(material, ["apt-get", *own_lists, "update"], work)
        (lists / "ready").touch()
        _run(material, ["apt-get", *own_lists, "download", *packages], work)
    for package in packages:
        (archive,) = work.glob(f"{package}_*.deb")
        # The same as dpkg -x.
        _run(material, ["dpkg-deb", "-x", archive.name, unpacked.name], work)
    (archive,) = work.glob(f"{material.package}_*.deb")
    return _run(material, ["dpkg-deb", "-f", archive.name, "Version"], work).strip()


def git(material: Material, work: Path, unpacked: Path, report: Callable[[str], None]) -> str:
    """Fetch a commit, check out the files used, and return its full name.

    The name of a commit is a checksum of all its files, which git verifies. Servers know commits by
    their full names only, so an abbreviated one is looked up among all commits.
    """
    repository = ["git", "-C", "repository"]
    _run(material, ["git", "init", "--quiet", "repository"], work)
    _run(material, [*repository, "remote", "add", "origin", material.package], work)
    # Git downloads contents at checkout, for the files checked out only.
    fetch = [*repository, "fetch", "--quiet", "--no-tags", "--filter=blob:none"]
    if len(material.version) == _WHOLE_COMMIT:
        _run(material, [*fetch, "--depth=1", "origin", material.version], work)
    else:
        _run(material, [*fetch, "origin", "HEAD"], work)
    name = f"{material.version}^{{commit}}"
    commit = _run(material, [*repository, "rev-parse", "--verify", name], work).strip()
    used = [item.path.rstrip("/") for item in material.items]
    checkout = ["-c", "core.autocrlf=false", "-c", "core.symlinks=false", "checkout", "--quiet"]
    tree = f"--work-tree={unpacked.resolve()}"
    paths = [*used, *material.licence_files]
    _run(material, [*repository, tree, *checkout, commit, "--", *paths], work)
    return commit


GET = MappingProxyType({"npm": npm, "apt": apt, "git": git})


def unpack_archives(material: Material, folder: Path) -> None:
    """Unpack the zip archives of a material, each into a folder of its name without the suffix.

    Raises:
        UserError: if one is missing or damaged.
    """
    for name in material.archives:
        archive = folder / name
        try:
            with zipfile.ZipFile(archive) as content:
                # zipfile keeps members inside of the folder.
                content.extractall(archive.with_suffix(""))
            archive.unlink()
        except (FileNotFoundError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{material.name}: {name} cannot be unpacked ({error}); leave it out with --without"
                f" {material.name}"
            ) from error


def _own_lists(folder: Path) -> list[str]:
    """Return options that make apt-get use package lists in our folder."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return ["-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache"]


def _run(material: Material, command: Sequence[str], folder: Path) -> str:
    """Run a program and return its output; an error quotes one line of it."""
    program = command[0]
    if program == "apt-get":
        # As root, apt would download as another user, who may not write into our folder.
        command = [program, "-q", "-o", "APT::Sandbox::User=root", *command[1:]]
    run = subprocess.run(
        [shutil.which(program) or program, *command[1:]],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        # Git must fail instead of asking for a password.
        env={**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0"},
    )
    if run.returncode != 0:
        raise UserError(
            f"{material.name}: {program} could not get {material.package} ({_reason(run)}); check"
            f" the network and the name of the package, or use --without {material.name}"
        )
    return run.stdout


_TELLING = ("E:", "npm error", "npm ERR!", "dpkg", "fatal:", "error:")


def _reason(run: subprocess.CompletedProcess) -> str:
    """Return the most informative line of a failed program's output."""
    lines = [line.strip() for line in (run.stderr + run.stdout).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(_TELLING)]
    # npm's first line is only a code; later ones tell where its log is.
    worded = [line for line in telling if " code " not in line]
    return next(iter(worded or telling or lines), f"exit code {run.returncode}")


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar archive, except for members outside of the folder.

    `extractall(filter="data")` exists only since Python's patch releases of 2023.
    """
    root = folder.resolve()
    with tarfile.open(archive) as tar:
        for member in tar:
            target = (root / member.name).resolve()
            if not member.isfile() or not target.is_relative_to(root):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb") as file:
                shutil.copyfileobj(tar.extractfile(member), file)
