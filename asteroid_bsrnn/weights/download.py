"""Downloads: in pieces, resumed, verified, and safe when several processes want the same file."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit

from ..errors import UserError
from .cache import cache_directory, exclusive, fault_of, megabytes
from .part import Part
from .progress import Meter
from .transfer import Transfer, TransferError, host_of

CONNECTIONS = "ASTEROID_BSRNN_CONNECTIONS"
DEFAULT_CONNECTIONS = 6


class Download:
    """A file of one or more servers, on its way to the disk.

    What arrives is kept in `<target>.part`; a later download continues it if `checksum` is known,
    which proves that the pieces belong together.

    Args:
        urls: mirrors (http, https or file), used in order.
        target: final path of the file; its folder must exist.
        checksum: algorithm and digits, such as "md5:0d1e..."; None takes what comes, as one stream.
        size: in bytes; None if unknown. A mirror with another size is refused.
        connections: number of pieces transferred at once; None means the environment variable
            ASTEROID_BSRNN_CONNECTIONS, and 6 without it.
        progress: as in `Meter`.
        attempts: number of attempts in a row without any byte, after which a mirror is given up.
        timeout: seconds without data after which a connection counts as dropped.

    Raises:
        OSError: if the part can't be opened.
    """

    def __init__(
        self,
        urls: Sequence[str],
        target: Path,
        checksum: str | None,
        *,
        size: int | None = None,
        connections: int | None = None,
        progress: bool | None = None,
        attempts: int = 10,
        timeout: float = 30.0,
    ):
        self.target, self.checksum = target, checksum
        self._urls, self._size, self._progress = list(urls), size, progress
        self._options = {
            "connections": number_of_connections() if connections is None else connections,
            "attempts": attempts,
            "timeout": timeout,
        }
        self.part = Part(target.with_name(f"{target.name}.part"), checksum)

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *exception: object) -> None:
        self.part.close()

    def fetch(self, start: int = 0, stop: int | None = None) -> Transfer:
        """Transfer the bytes from `start` to `stop` (None: the end), unless they are there.

        Raises:
            UserError: if no mirror gives them; what arrived is kept.
            OSError: if they can't be stored.
        """
        with Meter(self.target.name, self._progress) as meter:
            transfer = Transfer(
                self.part,
                self._urls,
                size=self._size,
                joinable=self.checksum is not None,
                report=meter.update,
                **self._options,
            )
            try:
                transfer.run(start, stop)
            except TransferError as error:
                raise UserError(f"{self.target.name}: {self._advice(error)}") from error
        return transfer

    def finish(self) -> None:
        """Transfer what is missing, verify the whole and give it its final name.

        Raises:
            UserError: if no mirror gives it, or all give another file; that is deleted.
            OSError: if it can't be stored.
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
            # What was there before may be another mirror's: judge this one by its own bytes.
            if not resumed and transfer.mirrors == 1:
                faults.append(f"{host_of(transfer.url)}: {fault}")
                self._urls.remove(transfer.url)
            else:
                self._urls = self._urls[self._urls.index(transfer.url) :]
        self.part.delete()
        raise UserError(
            f"{self.target.name}: download failed ({'; '.join(faults) or 'no URL is known'}); "
            "what came was deleted; the file was changed or is damaged on the way, so try again "
            f"later, or download it by hand and put it at {self.target}"
        )

    def _advice(self, error: TransferError) -> str:
        failed = f"download failed ({error})"
        received, size = self.part.received, self.part.size
        if not received or self.checksum is None:
            return f"{failed}; try again later, or download it by hand and put it at {self.target}"
        of = f"{megabytes(received)} of {megabytes(size)}" if size else megabytes(received)
        return f"{failed}; {of} are kept, and the same command resumes from there"


def number_of_connections() -> int:
    """The number that ASTEROID_BSRNN_CONNECTIONS asks for, or the default.

    Raises:
        UserError: if it holds no number of at least 1.
    """
    text = os.environ.get(CONNECTIONS) or str(DEFAULT_CONNECTIONS)
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise UserError(f"{CONNECTIONS} must be a whole number of at least 1, got {text!r}")
    return int(text)


def fetch(
    urls: Sequence[str],
    filename: str,
    sha256: str | None,
    *,
    directory: str | os.PathLike[str] | None = None,
    **options,
) -> Path:
    """Return the path of a cached file, downloaded first if it is missing or damaged.

    Args:
        urls: mirrors of the file (http, https or file), tried in order.
        filename: bare name of the file in the cache.
        sha256: its checksum, 64 hexadecimal digits; None takes what comes and does not resume.
        directory: where to keep the file; default `cache_directory()`.
        **options: further arguments of `Download`.

    Raises:
        UserError: a bad name or URL, no mirror gave the file, or it cannot be stored.
    """
    if PureWindowsPath(filename).name != filename or filename in ("", ".."):
        raise UserError(f"{filename!r}: not a bare file name; leave out the folder")
    for url in urls:
        check_url(url)
    target = (cache_directory() if directory is None else Path(directory)) / filename
    checksum = None if sha256 is None else f"sha256:{sha256}"
    with storing(target):
        # Before the lock, so that a file in a shared, read-only cache can be used.
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


def fetch_url(url: str, *, progress: bool | None = None) -> Path:
    """Return the cached copy of a file that is known by its URL alone.

    A change behind the URL goes unnoticed once the file is cached, unless the URL ends in
    `#sha256=` and the checksum, which is then verified at every call.

    Raises:
        UserError: as for `fetch`, or the checksum in the URL is not 64 hexadecimal digits.
    """
    check_url(url)
    address, fragment = urldefrag(url)
    sha256 = parse_qs(fragment, keep_blank_values=True).get("sha256", [None])[0]
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UserError(f"{url}: bad checksum; write #sha256= and its 64 hexadecimal digits")
    basename = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(address).path.split("/")[-1]))
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    return fetch([address], f"{key}-{basename[-100:]}", sha256, progress=progress)


def check_url(url: str) -> None:
    """Refuse what is no http, https or file URL.

    Raises:
        UserError: with the URL.
    """
    if not re.fullmatch(r"(https?|file)://[!-Z^-~]+", url):
        raise UserError(f"{url!r}: not an http, https or file URL; nothing else can be fetched")


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
