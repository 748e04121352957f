"""The cache of downloaded weights: location, checksums, locks, and files that are incomplete.

`<cache>/<name>/` contains one file for each network of the weights `<name>`, and `source.json`,
which states the origin and the checksum of each file.

An incomplete file is filled in any order and over several runs. `<file>.part` contains the bytes at
their final positions, and the journal `<file>.part.json` lists the ranges that have arrived. It is
written after the bytes are on the disk, so that everything it lists survives a crash.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UserError
from ..files import list_files, write_json
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


# --- incomplete files ----------------------------------------------------------------------------


Span = tuple[int, int]

RANGE_BYTES = 1 << 16  # smallest range of `RangedFile`: zipfile reads a directory in small steps


class Spans:
    """A set of byte positions, stored as disjoint sorted ranges.

    Args:
        spans: pairs of start and stop, stop excluded.
    """

    def __init__(self, spans: Iterator[Span] | list[Span] = ()):
        self._spans: list[Span] = []
        for start, stop in spans:
            self.add(start, stop)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    @property
    def total(self) -> int:
        """Number of positions."""
        return sum(stop - start for start, stop in self._spans)

    def add(self, start: int, stop: int) -> None:
        """Add the positions from `start` to `stop`."""
        if start >= stop:
            return
        apart = []
        for other in self._spans:
            if other[1] < start or stop < other[0]:
                apart.append(other)
            else:
                start, stop = min(start, other[0]), max(stop, other[1])
        self._spans = sorted([*apart, (start, stop)])

    def missing(self, start: int, stop: int) -> list[Span]:
        """Return the ranges between `start` and `stop` that are not in the set."""
        gaps = []
        for first, last in self._spans:
            if first > start and start < stop:
                gaps.append((start, min(first, stop)))
            start = max(start, last)
        if start < stop:
            gaps.append((start, stop))
        return gaps


class Part:
    """An incomplete file with its journal. Several threads may write to it.

    The file of an earlier run is resumed if its journal is valid and has the same identity, such
    as the checksum of the complete file, and deleted otherwise. None as identity never resumes.

    Attributes:
        size: size of the complete file in bytes, or None while it is unknown.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, identity: str | None):
        self.path, self._identity = path, identity
        self._journal = path.with_name(f"{path.name}.json")
        self._lock = threading.Lock()
        self.size: int | None = None
        self._received = Spans()
        self._resume()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)

    def _resume(self) -> None:
        try:
            journal = json.loads(self._journal.read_text(encoding="utf-8"))
            spans = Spans([(int(start), int(stop)) for start, stop in journal["received"]])
            known = self._identity is not None and journal["identity"] == self._identity
            end = max((stop for _, stop in spans), default=0)
            if known and end <= self.path.stat().st_size:
                self.size, self._received = journal["size"], spans
                return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.delete()

    @property
    def received(self) -> int:
        """Number of bytes that have arrived."""
        with self._lock:
            return self._received.total

    def missing(self, start: int, stop: int) -> list[Span]:
        """Return the ranges between `start` and `stop` that have not arrived."""
        with self._lock:
            return self._received.missing(start, stop)

    def fill(self, position: int, block: bytes) -> None:
        """Write the bytes of `block` from `position` on, except where bytes have arrived before."""
        for start, stop in self.missing(position, position + len(block)):
            view = memoryview(block)[start - position : stop - position]
            while view:
                written = os.pwrite(self._file, view, start)
                with self._lock:
                    self._received.add(start, start + written)
                view, start = view[written:], start + written

    def read(self, position: int, count: int) -> bytes:
        """Return at most `count` bytes from `position` on, which must have arrived."""
        return os.pread(self._file, count, position)

    def save(self) -> None:
        """Bring the journal up to date."""
        with self._lock:
            received = list(self._received)
        os.fsync(self._file)
        journal = {"identity": self._identity, "size": self.size, "received": received}
        write_json(self._journal, journal, indent=None)

    def restart(self) -> None:
        """Discard all bytes."""
        with self._lock:
            self._received, self.size = Spans(), None
        self._journal.unlink(missing_ok=True)
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def finish(self, target: Path) -> None:
        """Close the complete file and rename it to `target`."""
        os.fsync(self._file)
        self.close()
        self.path.replace(target)
        self._journal.unlink(missing_ok=True)

    def delete(self) -> None:
        """Delete the file and its journal."""
        if getattr(self, "_file", -1) >= 0:
            self.close()
        self._journal.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)


class RangedFile(io.RawIOBase):
    """A file on a server, downloaded range by range as it is read.

    Args:
        part: what has arrived of the file.
        fetch: called with a range whose missing bytes are to arrive in the part.
        size: size of the file in bytes.
    """

    def __init__(self, part: Part, fetch: Callable[[int, int], None], size: int):
        self._part, self._fetch, self._size, self._position = part, fetch, size, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer) -> int:
        """Read into `buffer` and return the number of bytes read."""
        stop = min(self._position + len(buffer), self._size)
        if stop <= self._position:
            return 0
        first = self._position // RANGE_BYTES * RANGE_BYTES
        last = min(-(-stop // RANGE_BYTES) * RANGE_BYTES, self._size)
        if self._part.missing(first, last):
            self._fetch(first, last)
        block = self._part.read(self._position, stop - self._position)
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)
