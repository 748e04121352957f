"""Reading checkpoints from a zip archive, on a server or on the disk."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import UserError
from .cache import BLOCK_BYTES
from .download import Download

# Smallest range to request: zipfile reads an archive's directory in small steps.
RANGE_BYTES = 1 << 16


class DamagedError(UserError):
    """A member of an archive has another length or checksum than the archive states."""


class RangedFile(io.RawIOBase):
    """A file on a server, downloaded range by range as it is read.

    Args:
        download: the download of the file.
        size: size of the file in bytes.
    """

    def __init__(self, download: Download, size: int):
        self._download, self._size, self._position = download, size, 0

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
        if self._download.part.missing(first, last):
            self._download.fetch(first, last)
        block = self._download.part.read(self._position, stop - self._position)
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


@contextmanager
def opened(source: Path | RangedFile, name: str) -> Iterator[zipfile.ZipFile]:
    """Open the zip archive `source`, which messages call `name`.

    Raises:
        UserError: the file is not a zip archive.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise UserError(f"{name}: not a zip archive, or damaged: {error}") from error


def find(archive: zipfile.ZipFile, file: str) -> zipfile.ZipInfo:
    """Return the member called `file`, in any folder of the archive.

    Raises:
        UserError: there is no such member, or more than one.
    """
    found = [info for info in archive.infolist() if PurePosixPath(info.filename).name == file]
    if len(found) != 1:
        names = ", ".join(archive.namelist()[:8])
        raise UserError(f"the archive holds {len(found) or 'no'} {file} (it holds: {names})")
    return found[0]


def span_of(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Return the first and last position of a member in the archive, the last excluded."""
    begins = [info.header_offset for info in archive.infolist()] + [archive.start_dir]
    return member.header_offset, min(b for b in begins if b > member.header_offset)


def extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write a member to `target`, and check its length and CRC-32.

    Raises:
        DamagedError: the member is damaged; `target` is deleted.
        OSError: the member cannot be stored.
    """
    try:
        with archive.open(member) as stream, open(target, "wb") as file:
            shutil.copyfileobj(stream, file, BLOCK_BYTES)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        target.unlink(missing_ok=True)
        raise DamagedError(f"{member.filename}: damaged: {error}") from error
