"""The cache of downloaded weights: location, checksums, locks and records of origin.

`<cache>/<name>/` contains one file for each network of the weights `<name>`, and `source.json`,
which states the origin and the checksum of each file.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..files import list_files
from ..progress import megabytes
from .registry import FOLDER, Pretrained

BLOCK_BYTES = 1 << 20
RECORD = "source.json"


def cache_directory() -> Path:
    """Return `asteroid_bsrnn` in Asteroid's cache directory; it need not exist yet."""
    # The variable and the default are Asteroid's. Asking `asteroid.utils` would import torch.
    root = os.environ.get("ASTEROID_CACHE") or os.path.expanduser("~/.cache/torch/asteroid")
    return Path(root) / "asteroid_bsrnn"


def folder_of(entry: Pretrained) -> Path:
    """Return the folder of the files of an entry; it need not exist yet."""
    return FOLDER if entry.embedded else cache_directory() / entry.name


def installed_files(entry: Pretrained) -> list[str]:
    """Return the names of an entry's files that are on this machine, without verifying them."""
    if entry.embedded:
        return list(entry.files)
    folder = folder_of(entry)
    record = read_record(folder)
    return [name for name in entry.files if name in record and (folder / name).is_file()]


def is_installed(entry: Pretrained) -> bool:
    """Return whether all files of an entry are on this machine, without verifying them."""
    return len(installed_files(entry)) == len(entry.files)


def remove(entry: Pretrained) -> int:
    """Delete all files of an entry from the cache, and return the number of bytes freed.

    Raises:
        UserError: the weights ship with the package, or cannot be deleted.
    """
    if entry.embedded:
        raise UserError(f"{entry.name} ships with the package; uninstall that to remove it")
    folder = folder_of(entry)
    with storing(folder):
        if not folder.is_dir():
            return 0
        with exclusive(folder):
            freed = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
            shutil.rmtree(folder)
    return freed


def read_record(folder: Path) -> dict:
    """Return origin and checksum of the files in a folder, by name; empty without a record."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError):
        return {}


def is_whole(folder: Path, name: str) -> bool:
    """Return whether a file exists and has its recorded checksum."""
    sha256 = read_record(folder).get(name, {}).get("sha256", "unknown")
    return fault_of(folder / name, f"sha256:{sha256}") is None


def digest(path: str | os.PathLike[str], algorithm: str) -> str:
    """Return the checksum of a file by an algorithm of `hashlib`, as lower-case digits."""
    # MD5 detects damage here, not attacks. Some systems refuse it otherwise.
    state = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file or of a folder of model files, as 64 hexadecimal digits.

    The SHA-256 of a folder is that of a text with one line for each model file (*.pth): its
    checksum and name, sorted by name.
    """
    path = Path(path)
    if not path.is_dir():
        return digest(path, "sha256")
    files = list_files(path, (".pth",))
    lines = [f"{digest(file, 'sha256')}  {file.name}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fault_of(path: Path, checksum: str | None) -> str | None:
    """Return what is wrong with a file, or None.

    `checksum` is algorithm and digits, such as "md5:0d1e..."; None checks that the file exists.
    """
    if not path.is_file():
        return "no such file"
    if checksum is None:
        return None
    algorithm, _, expected = checksum.partition(":")
    actual = digest(path, algorithm)
    if actual == expected.lower():
        return None
    title = {"sha256": "SHA-256", "md5": "MD5"}.get(algorithm, algorithm)
    return f"its {title} is {actual[:12]}... instead of {expected[:12]}..."


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Let one process at a time work on `target`; others wait, and say so on stderr.

    Raises:
        OSError: the lock file cannot be created.
    """
    from filelock import FileLock, SoftFileLock

    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        _acquire(lock, target.name)
    except NotImplementedError:  # the file system has no such locks
        lock = SoftFileLock(target.with_name(f"{target.name}.softlock"))
        _acquire(lock, target.name)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock, name: str) -> None:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.stderr.write(f"{name}: waiting for another process that prepares it\n")
        lock.acquire()


@contextmanager
def storing(target: Path) -> Iterator[None]:
    """Turn an error of the disk into one line.

    Raises:
        UserError: instead of OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{target}: cannot be read or stored ({error.strerror or error}); make room there or "
            "set ASTEROID_CACHE to another folder"
        ) from error


def check_room(folder: Path, needed: int, what: str) -> None:
    """Check that there are `needed` bytes of free space for `what` where a folder is or will be.

    Raises:
        UserError: the disk has less, with both numbers.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{what}: needs {megabytes(needed)} of disk space while it is prepared, and {folder} "
            f"has {megabytes(free)}; free some, or set ASTEROID_CACHE to a folder on another disk"
        )
