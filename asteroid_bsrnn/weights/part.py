"""An incomplete file, which is filled in any order and over several runs of the program.

`<name>.part` contains the bytes at their final positions. The journal `<name>.part.json` lists the
ranges that have arrived. It is written after the bytes are on the disk, so that everything it lists
survives a crash.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..files import write_json

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
