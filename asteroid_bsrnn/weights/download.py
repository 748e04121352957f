"""Downloads: in parallel pieces, resumed after interruptions, verified, one process at a time.

No library does all of this: pooch neither resumes nor splits downloads, pypdl splits them but
ignores `Retry-After`, and huggingface_hub works with its own servers only. `answers` reads what
servers answer, `cache` keeps what has arrived.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit

import requests

from ..errors import UserError
from ..progress import Meter, megabytes
from .answers import Answer, Failure, answer, host_of
from .cache import Part, Span, cache_directory, exclusive, fault_of, storing

CONNECTIONS = "ASTEROID_BSRNN_CONNECTIONS"
DEFAULT_CONNECTIONS = 6
ATTEMPTS = 10  # in a row without any byte, after which a mirror is given up
FIRST_ATTEMPTS = 3  # before the first byte, so that a missing network is reported soon
BACKOFF_SECONDS = 1.0  # before the second attempt, doubled for each later one
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 600.0  # the longest `Retry-After` that is obeyed
REQUEST_BYTES = 1 << 23


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
    which proves that ranges of several answers belong together. Without it, and from a server that
    ignores ranges, the whole file is transferred as one stream.

    Args:
        urls: mirrors (http, https or file), in order; if one fails for good, the next is used.
        target: final path of the file; its folder must exist.
        checksum: algorithm and digits, such as "md5:0d1e..."; None accepts any file.
        size: in bytes; None if unknown. A mirror with another size is refused.
        connections: number of ranges transferred at once; None means the environment variable
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
        connections = number_of_connections() if connections is None else connections
        self._connections = 1 if checksum is None else connections
        self.part = Part(target.with_name(f"{target.name}.part"), checksum)
        self._choosing = threading.Lock()
        # Held during the first answer, and by the thread that reads a whole file as one stream.
        self._alone = threading.Lock()
        self._mirror = 0

    def __enter__(self) -> Download:
        return self

    def __exit__(self, *exception: object) -> None:
        self.part.close()

    def finish(self) -> None:
        """Transfer the rest of the file, verify it and rename it to its final name.

        Raises:
            UserError: no mirror provides the file, or all provide another one, which is deleted.
            OSError: the file cannot be stored.
        """
        faults: list[str] = []
        while self._urls:
            resumed = self.part.received > 0
            self.fetch()
            fault = fault_of(self.part.path, self.checksum)
            if fault is None:
                self.part.finish(self.target)
                return
            self.part.restart()
            # Earlier bytes may be another mirror's. A mirror is judged by its own bytes only.
            if not resumed and self._mirror == 0:
                faults.append(f"{host_of(self._urls.pop(0))}: {fault}")
            else:
                self._urls = self._urls[self._mirror :]
        self.part.delete()
        raise UserError(
            f"{self.target.name}: download failed ({'; '.join(faults) or 'no URL is known'}); the "
            "downloaded file was deleted, since it has changed on the server or is damaged; try "
            f"again later, or download it by hand and put it at {self.target}"
        )

    def fetch(self, start: int = 0, stop: int | None = None) -> None:
        """Transfer the missing bytes between `start` and `stop` (None: the end of the file).

        Raises:
            UserError: no mirror provides them; what has arrived is kept.
            OSError: they cannot be stored.
        """
        self._mirror, self._not_before, self._problems = 0, 0.0, {}
        self._in_ranges, self._anything = self.checksum is not None, False
        self._answered = threading.Event()
        self.part.size = self.part.size or self._size
        with Meter(self.target.name) as meter:
            try:
                if self.part.size is None:
                    # The first answer states the size.
                    first = start + REQUEST_BYTES
                    first = first if stop is None else min(stop, first)
                    self._serve_all([(start, first)], start, stop, meter)
                stop = self.part.size if stop is None else stop
                spans = [
                    (first, min(first + REQUEST_BYTES, last))
                    for begin, last in self.part.missing(start, stop)
                    for first in range(begin, last, REQUEST_BYTES)
                ]
                self._serve_all(spans, start, stop, meter)
            except _NoMirrorError as error:
                raise UserError(f"{self.target.name}: {self._advice(error)}") from error

    def _advice(self, error: Exception) -> str:
        failed = f"download failed ({error})"
        received, size = self.part.received, self.part.size
        if not received or self.checksum is None:
            return f"{failed}; try again later, or download it by hand and put it at {self.target}"
        of = f"{megabytes(received)} of {megabytes(size)}" if size else megabytes(received)
        return f"{failed}; {of} are kept, and the same command resumes from there"

    def _serve_all(self, waiting: list[Span], start: int, stop: int | None, meter: Meter) -> None:
        """Transfer ranges in threads, and save the journal meanwhile.

        `start` and `stop` are the range whose progress is shown.
        """
        stopped, errors = threading.Event(), []

        def work(first: bool) -> None:
            try:
                with requests.Session() as session:
                    # The first answer shows whether the server supports ranges.
                    while not (first or stopped.is_set() or self._answered.wait(0.1)):
                        pass
                    while not stopped.is_set():
                        with self._choosing:
                            span = waiting.pop(0) if waiting else None
                        if span is None:
                            return
                        self._serve(session, span, stopped)
            except Exception as error:  # raised again in the caller's thread
                errors.append(error)
                stopped.set()

        count = min(self._connections, len(waiting))
        threads = [
            threading.Thread(target=work, args=(number == 0,), daemon=True)
            for number in range(count)
        ]
        try:
            for thread in threads:
                thread.start()
            saved = time.monotonic()
            while any(thread.is_alive() for thread in threads) and not errors:
                time.sleep(0.02)
                end = self.part.size if stop is None else stop
                if end is None:
                    meter.update(self.part.received, None)
                else:
                    missing = sum(last - first for first, last in self.part.missing(start, end))
                    meter.update(end - start - missing, end - start)
                if time.monotonic() - saved > 1:
                    self.part.save()
                    saved = time.monotonic()
        finally:
            stopped.set()
            for thread in threads:
                thread.join(0.2)  # a thread that still waits for data writes nothing more
            self.part.save()
        if errors:
            raise errors[0]

    def _serve(self, session: requests.Session, span: Span, stopped: threading.Event) -> None:
        """Transfer one range, trying again and on other mirrors as needed."""
        failures = 0
        while not stopped.is_set():
            mirror, before = self._mirror, self.part.received
            try:
                stopped.wait(max(self._not_before - time.monotonic(), 0))
                alone = not self._in_ranges or not self._answered.is_set()
                with self._alone if alone else nullcontext():
                    return self._request(session, self._urls[mirror], span, stopped)
            except Failure as failure:
                failures = 1 if self.part.received > before else failures + 1
                allowed = ATTEMPTS if self._anything else min(FIRST_ATTEMPTS, ATTEMPTS)
                if failure.wait > LONGEST_WAIT_SECONDS:
                    self._next_mirror(mirror, f"{failure}, asks to wait {failure.wait:.0f} s")
                    failures = 0
                elif not failure.retry or failures >= allowed:
                    self._next_mirror(mirror, str(failure))
                    failures = 0
                elif failure.wait:
                    self._not_before = max(self._not_before, time.monotonic() + failure.wait)
                else:
                    pause = BACKOFF_SECONDS * 2 ** (failures - 1)
                    stopped.wait(min(pause, LONGEST_BACKOFF_SECONDS))

    def _next_mirror(self, failed: int, reason: str) -> None:
        """Switch to the next mirror, or raise if there is none."""
        with self._choosing:
            self._problems[self._urls[failed]] = reason
            if self._mirror != failed:  # another thread has switched already
                return
            if failed + 1 < len(self._urls):
                self._mirror, self._not_before = failed + 1, 0.0
                return
        raise _NoMirrorError(
            "; ".join(f"{host_of(url)}: {why}" for url, why in self._problems.items())
        )

    def _request(
        self, session: requests.Session, url: str, span: Span, stopped: threading.Event
    ) -> None:
        """Transfer the missing bytes of a range with one request."""
        if self.checksum is None:
            self.part.restart()
        missing = self.part.missing(*span)
        if not missing:
            return
        start, stop = missing[0][0], span[1]
        with answer(session, url, start, stop, in_ranges=self.checksum is not None) as found:
            self._accept(found)
            position = found.position
            for block in found.blocks:
                if stopped.is_set():
                    return
                self.part.fill(position, block)
                self._anything = True
                position += len(block)
        if self.part.size is None:
            self.part.size = position
        end = min(stop, self.part.size) if self._in_ranges else self.part.size
        if self.part.missing(start, end):
            raise Failure(
                f"connection closed after {self.part.received} of {self.part.size} bytes",
                retry=True,
            )

    def _accept(self, found: Answer) -> None:
        """Store an answer's size and support of ranges, or refuse the answer.

        Raises:
            Failure: it is another file, or a whole file although ranges are being transferred.
        """
        expected = self._size or (None if self.checksum is None else self.part.size)
        if found.size is not None and expected not in (None, found.size):
            raise Failure(
                f"the file has {found.size} bytes instead of {expected}: it was changed",
                retry=False,
            )
        if found.in_ranges and found.size is None and expected is None:
            raise Failure("the server does not tell the file's size", retry=False)
        one_stream_of_many = self._in_ranges and not found.in_ranges and self._answered.is_set()
        self._in_ranges = found.in_ranges and self.checksum is not None
        if one_stream_of_many:
            raise Failure("the server no longer answers with ranges", retry=True)
        if not found.in_ranges and found.size is None:
            self.part.restart()  # earlier bytes may belong to another version of the file
        self.part.size = found.size or expected
        self._answered.set()


class _NoMirrorError(Exception):
    """No mirror provides the file, or a part of it."""


def number_of_connections() -> int:
    """Return the value of ASTEROID_BSRNN_CONNECTIONS, or the default.

    Raises:
        UserError: the value is not a whole number of at least 1.
    """
    text = os.environ.get(CONNECTIONS) or str(DEFAULT_CONNECTIONS)
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise UserError(f"{CONNECTIONS} must be a whole number of at least 1, got {text!r}")
    return int(text)
