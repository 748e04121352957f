"""Downloads: resumed after interruptions, verified, and safe when several processes start one.

`transfer` moves the bytes, `part` keeps what has arrived.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit

from tqdm import tqdm

from ..errors import UserError
from .cache import cache_directory, exclusive, fault_of, megabytes, storing
from .part import Part
from .transfer import Transfer, TransferError, host_of

CONNECTIONS = "ASTEROID_BSRNN_CONNECTIONS"
DEFAULT_CONNECTIONS = 6
LINE_SECONDS = 60.0
# Smallest range that `RangedFile` requests: zipfile reads an archive's directory in small steps.
RANGE_BYTES = 1 << 16


def fetch(urls: Sequence[str], target: Path, sha256: str | None, **options) -> Path:
    """Return the path of a file, downloaded first if it is missing or damaged.

    Args:
        urls: mirrors of the file (http, https or file), tried in order.
        target: path of the file.
        sha256: checksum of the file, 64 hexadecimal digits; None accepts any file and does not
            resume.
        **options: `size` and `connections` of `Download`.

    Raises:
        UserError: a URL is malformed, no mirror provides the file, or it cannot be stored.
    """
    for url in urls:
        check_url(url)
    checksum = None if sha256 is None else f"sha256:{sha256}"
    with storing(target):
        # Checked before locking, so that files in a read-only cache can be used.
        if fault_of(target, checksum) is None:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        # A second process waits for the first one's file instead of downloading it too.
        with exclusive(target):
            if fault_of(target, checksum) is not None:
                target.unlink(missing_ok=True)
                with Download(urls, target, checksum, **options) as download:
                    download.finish()
    return target


def fetch_url(url: str) -> Path:
    """Return the cached copy of a URL, downloaded first if it is missing.

    Later changes of the file on the server go unnoticed, unless the URL ends in `#sha256=` and the
    checksum, which is then verified at every call. Errors are those of `fetch`.
    """
    check_url(url)
    address, fragment = urldefrag(url)
    sha256 = parse_qs(fragment, keep_blank_values=True).get("sha256", [None])[0]
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UserError(f"{url}: bad checksum; write #sha256= and its 64 hexadecimal digits")
    basename = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(address).path.split("/")[-1]))
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    return fetch([address], cache_directory() / f"{key}-{basename[-100:]}", sha256)


def check_url(url: str) -> None:
    """Check that a text is an http, https or file URL.

    Raises:
        UserError: it is not.
    """
    if not re.fullmatch(r"(https?|file)://[!-Z^-~]+", url):
        raise UserError(f"{url!r}: not an http, https or file URL; nothing else can be fetched")


class Download:
    """The download of one file from one or more mirrors.

    Bytes are collected in `<target>.part`. A later download resumes it if `checksum` is known,
    which proves that the pieces belong together.

    Args:
        urls: mirrors (http, https or file), used in order.
        target: final path of the file; its folder must exist.
        checksum: algorithm and digits, such as "md5:0d1e..."; None accepts any file, in one stream.
        size: in bytes; None if unknown. A mirror with another size is refused.
        connections: number of pieces transferred at once; None means the environment variable
            ASTEROID_BSRNN_CONNECTIONS, or 6.

    Raises:
        OSError: the part cannot be opened.
    """

    def __init__(
        self,
        urls: Sequence[str],
        target: Path,
        checksum: str | None,
        *,
        size: int | None = None,
        connections: int | None = None,
    ):
        self.target, self.checksum = target, checksum
        self._urls, self._size = list(urls), size
        self._connections = number_of_connections() if connections is None else connections
        self.part = Part(target.with_name(f"{target.name}.part"), checksum)

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *exception: object) -> None:
        self.part.close()

    def fetch(self, start: int = 0, stop: int | None = None) -> Transfer:
        """Transfer the missing bytes between `start` and `stop` (None: the end of the file).

        Raises:
            UserError: no mirror provides them; what has arrived is kept.
            OSError: they cannot be stored.
        """
        with Meter(self.target.name) as meter:
            transfer = Transfer(
                self.part,
                self._urls,
                size=self._size,
                joinable=self.checksum is not None,
                connections=self._connections,
                report=meter.update,
            )
            try:
                transfer.run(start, stop)
            except TransferError as error:
                raise UserError(f"{self.target.name}: {self._advice(error)}") from error
        return transfer

    def finish(self) -> None:
        """Transfer the rest of the file, verify it and rename it to its final name.

        Raises:
            UserError: no mirror provides the file, or all provide another one, which is deleted.
            OSError: the file cannot be stored.
        """
        faults: list[str] = []
        while self._urls:
            resumed = self.part.received > 0
            transfer = self.fetch()
            fault = fault_of(self.part.path, self.checksum)
            if fault is None:
                self.part.finish(self.target)
                return
            self.part.restart()
            # Earlier bytes may be another mirror's. A mirror is judged by its own bytes only.
            if not resumed and transfer.mirrors == 1:
                faults.append(f"{host_of(transfer.url)}: {fault}")
                self._urls.remove(transfer.url)
            else:
                self._urls = self._urls[self._urls.index(transfer.url) :]
        self.part.delete()
        raise UserError(
            f"{self.target.name}: download failed ({'; '.join(faults) or 'no URL is known'}); the "
            "downloaded file was deleted, since it has changed on the server or is damaged; try "
            f"again later, or download it by hand and put it at {self.target}"
        )

    def _advice(self, error: TransferError) -> str:
        failed = f"download failed ({error})"
        received, size = self.part.received, self.part.size
        if not received or self.checksum is None:
            return f"{failed}; try again later, or download it by hand and put it at {self.target}"
        of = f"{megabytes(received)} of {megabytes(size)}" if size else megabytes(received)
        return f"{failed}; {of} are kept, and the same command resumes from there"


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


def number_of_connections() -> int:
    """Return the value of ASTEROID_BSRNN_CONNECTIONS, or the default.

    Raises:
        UserError: the value is not a whole number of at least 1.
    """
    text = os.environ.get(CONNECTIONS) or str(DEFAULT_CONNECTIONS)
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise UserError(f"{CONNECTIONS} must be a whole number of at least 1, got {text!r}")
    return int(text)


class Meter:
    """Show bytes, speed and remaining time on stderr: a bar on a terminal, else a line a minute."""

    def __init__(self, name: str):
        self._name = name
        self._on_terminal = sys.stderr is not None and sys.stderr.isatty()
        hidden = not self._on_terminal
        self._bar = tqdm(desc=name, disable=hidden, unit="B", unit_scale=True, leave=False)
        self._last: tuple[float, int] | None = None

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def update(self, received: int, total: int | None) -> None:
        """Show that `received` bytes of `total` (None: unknown) have arrived."""
        if self._last is None:
            # Bytes of an earlier run must not count as speed.
            self._last = time.monotonic(), received
            self._bar.initial = self._bar.n = self._bar.last_print_n = received
        if total != self._bar.total:
            self._bar.total = total
        self._bar.update(received - self._bar.n)
        since, before = self._last
        seconds = time.monotonic() - since
        if not self._on_terminal and seconds >= LINE_SECONDS:
            sys.stderr.write(
                f"{self._name}: {_line(received, total, (received - before) / seconds)}\n"
            )
            sys.stderr.flush()
            self._last = time.monotonic(), received


def _line(received: int, total: int | None, speed: float) -> str:
    """Return bytes, speed and remaining time in words; `speed` in bytes per second."""
    if not total:
        return f"{megabytes(received)}, {speed / 1e6:.2f} MB/s"
    share = f"{100 * received / total:.0f} % of {megabytes(total)}"
    if not speed:
        return f"{share}, nothing arrives at the moment"
    minutes = (total - received) / speed / 60
    left = f"{minutes / 60:.1f} hours" if minutes > 90 else f"{max(minutes, 1):.0f} minutes"
    return f"{share}, {speed / 1e6:.2f} MB/s, {left} left"
