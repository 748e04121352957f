"""The folder of downloaded weights: where it is, who may write to it, whether there is room."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ..errors import UserError

BLOCK_BYTES = 1 << 20


def cache_directory() -> Path:
    """Return `asteroid_bsrnn` under Asteroid's cache directory; it need not exist yet."""
    # Asteroid reads this variable once, when imported; here a later change counts too.
    root = os.environ.get("ASTEROID_CACHE")
    if not root:
        from asteroid.utils.hub_utils import get_cache_dir

        root = get_cache_dir()
    return Path(root) / "asteroid_bsrnn"


def digest(path: str | os.PathLike[str], algorithm: str) -> str:
    """Return the checksum of the file at `path` as lower-case hexadecimal digits.

    Args:
        path: of the file.
        algorithm: a name that `hashlib.new` takes, such as "sha256" or "md5".
    """
    # MD5 serves against damage here, not against attacks; some systems refuse it otherwise.
    state = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            state.update(block)
    return state.hexdigest()


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file as 64 lower-case hexadecimal digits.

    That of a folder of weights is the SHA-256 of a line for each model file (*.pth), with its
    checksum and name, in the order of the names.
    """
    path = Path(path)
    if not path.is_dir():
        return digest(path, "sha256")
    lines = [f"{digest(file, 'sha256')}  {file.name}\n" for file in sorted(path.glob("*.pth"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def fault_of(path: Path, checksum: str | None) -> str | None:
    """Return what is wrong with a file, or None.

    Args:
        path: of the file.
        checksum: algorithm and digits, such as "md5:0d1e..."; None checks that the file exists.
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


def verify(path: str | os.PathLike[str], sha256: str, name: str | None = None) -> None:
    """Check that the file at `path` has the checksum `sha256` (64 hexadecimal digits).

    Raises:
        UserError: it has not, or there is no such file; the message calls it `name`, or `path`.
    """
    if fault := fault_of(Path(path), f"sha256:{sha256}"):
        raise UserError(f"{name or path}: {fault}; download a fresh copy of it")


@contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Let one process at a time work on `target`; others wait, and say so on stderr.

    Raises:
        OSError: if the lock file can't be made.
    """
    lock = FileLock(target.with_name(f"{target.name}.lock"))
    try:
        _acquire(lock, target.name)
    except NotImplementedError:  # of a file system without such locks
        lock = SoftFileLock(target.with_name(f"{target.name}.softlock"))
        _acquire(lock, target.name)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: BaseFileLock, name: str) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.stderr.write(f"{name}: waiting for another process that prepares it\n")
        lock.acquire()


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse to start what would fill the disk.

    Args:
        folder: where the files will lie; the nearest folder above it that exists counts.
        needed: bytes.
        what: name for the message.

    Raises:
        UserError: with the bytes that are needed and free.
    """
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"{what}: needs {megabytes(needed)} of disk space while it is prepared, and {folder} "
            f"has {megabytes(free)}; free some, or set ASTEROID_CACHE to a folder on another disk"
        )


def megabytes(count: float) -> str:
    """A number of bytes for people, such as "435 MB" or "1.83 GB"."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
