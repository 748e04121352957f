"""Transferring a file from one of several mirrors to a `Part`, over several connections.

No library does all of this: pooch neither resumes nor splits downloads, pypdl splits them but
ignores `Retry-After`, and huggingface_hub works with its own servers only.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from ..errors import one_line
from .part import Part, Span

BACKOFF_SECONDS = 1.0  # before the second attempt, doubled for each later one
LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 600.0  # the longest `Retry-After` that is obeyed
ATTEMPTS = 10  # in a row without any byte, after which a mirror is given up
FIRST_ATTEMPTS = 3  # before the first byte, so that a missing network is reported soon
TIMEOUT_SECONDS = 30.0  # without data, after which a connection counts as dropped
BLOCK_BYTES = 1 << 14  # the most that a dropped connection loses
REQUEST_BYTES = 1 << 23
TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}


class TransferError(Exception):
    """The file, or a part of it, could not be transferred."""


class _Failure(Exception):
    """One request failed.

    Args:
        reason: the reason in words.
        retry: whether another attempt may help.
        wait: seconds that the server asks the client to wait.
    """

    def __init__(self, reason: object, *, retry: bool, wait: float = 0.0):
        super().__init__(one_line(reason))
        self.retry, self.wait = retry, wait


class Transfer:
    """Transfer ranges of one file.

    From a server that ignores ranges, the whole file is transferred as one stream.

    Args:
        part: the file to fill.
        urls: mirrors (http, https or file) in order; if one fails permanently, the next is used.
        size: size of the file in bytes, or None if unknown; a mirror with another size is refused.
        joinable: whether a checksum will prove that ranges of several answers belong together.
            Otherwise every attempt transfers the whole file as one stream.
        connections: number of ranges transferred at once.
        report: called several times a second with the number of bytes of the range that have
            arrived, and its length (None: unknown).
    """

    def __init__(
        self,
        part: Part,
        urls: Sequence[str],
        *,
        size: int | None,
        joinable: bool,
        connections: int,
        report: Callable[[int, int | None], None],
    ):
        self.part, self._urls, self._expected = part, list(urls), size
        self._joinable, self._connections = joinable, connections if joinable else 1
        self._report = report
        self._problems: dict[str, str] = {}
        self._mirror, self._not_before = 0, 0.0
        self._anything = False
        self._in_ranges = joinable
        self._answered = threading.Event()
        # Held during the first answer, and by the thread that reads a whole file as one stream.
        self._alone = threading.Lock()
        self._choosing = threading.Lock()
        if part.size is None:
            part.size = size

    @property
    def url(self) -> str:
        """The mirror in use."""
        return self._urls[self._mirror]

    @property
    def mirrors(self) -> int:
        """Number of mirrors that have been used."""
        return self._mirror + 1

    def run(self, start: int = 0, stop: int | None = None) -> None:
        """Transfer the missing bytes between `start` and `stop` (None: the end of the file).

        Raises:
            TransferError: no mirror provides them; what has arrived stays in the part.
            OSError: they cannot be stored.
        """
        if self.part.size is None:
            # The first answer states the size.
            first = start + REQUEST_BYTES
            first = first if stop is None else min(stop, first)
            self._run_workers([(start, first)], start, stop)
        stop = self.part.size if stop is None else stop
        requests = [
            (first, min(first + REQUEST_BYTES, last))
            for begin, last in self.part.missing(start, stop)
            for first in range(begin, last, REQUEST_BYTES)
        ]
        self._run_workers(requests, start, stop)

    def _run_workers(self, waiting: list[Span], start: int, stop: int | None) -> None:
        """Serve all requests in threads, and save the journal meanwhile.

        `start` and `stop` are the range whose progress is reported.
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
                self._tell(start, stop)
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

    def _tell(self, start: int, stop: int | None) -> None:
        stop = self.part.size if stop is None else stop
        if stop is None:
            return self._report(self.part.received, None)
        missing = sum(last - first for first, last in self.part.missing(start, stop))
        self._report(stop - start - missing, stop - start)

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
            except _Failure as failure:
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
        """Switch to the next mirror.

        Raises:
            TransferError: there is none.
        """
        with self._choosing:
            self._problems[self._urls[failed]] = reason
            if self._mirror != failed:  # another thread has switched already
                return
            if failed + 1 < len(self._urls):
                self._mirror, self._not_before = failed + 1, 0.0
                return
        raise TransferError(
            "; ".join(f"{host_of(url)}: {why}" for url, why in self._problems.items())
        )

    def _request(
        self, session: requests.Session, url: str, span: Span, stopped: threading.Event
    ) -> None:
        """Transfer the missing bytes of a range with one request."""
        if not self._joinable:
            self.part.restart()
        missing = self.part.missing(*span)
        if not missing:
            return
        start, stop = missing[0][0], span[1]
        with self._answer(session, url, start, stop) as (position, size, blocks):
            for block in blocks:
                if stopped.is_set():
                    return
                self.part.fill(position, block)
                self._anything = True
                position += len(block)
        if self.part.size is None:
            self.part.size = position
        end = min(stop, self.part.size)
        if self.part.missing(start, end if self._in_ranges else self.part.size):
            raise _Failure(
                f"connection closed after {self.part.received} of {self.part.size} bytes",
                retry=True,
            )

    @contextmanager
    def _answer(
        self, session: requests.Session, url: str, start: int, stop: int
    ) -> Iterator[tuple[int, int | None, Iterator[bytes]]]:
        """Yield the position of the first byte, the size of the file or None, and the bytes."""
        if urlsplit(url).scheme == "file":
            with _local(url, start, stop) as answer:
                self._accept(answer[1], in_ranges=True)
                yield answer
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "asteroid_bsrnn"}
        if self._joinable:
            headers["Range"] = f"bytes={start}-{stop - 1}"
        try:
            response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
        except (requests.RequestException, ValueError, UnicodeError) as error:
            retry = isinstance(error, (requests.ConnectionError, requests.Timeout))
            raise _Failure(_reason(error), retry=retry) from error
        with response:
            position, size = _position_and_size(response)
            if response.status_code == 206 and position != start:
                raise _Failure("the server answers with another range", retry=False)
            self._accept(size, in_ranges=response.status_code == 206)
            yield position, size, _blocks(response)

    def _accept(self, size: int | None, *, in_ranges: bool) -> None:
        """Store an answer's size and support of ranges, or refuse the answer.

        Raises:
            _Failure: it is another file, or a whole file although ranges are being transferred.
        """
        expected = self._expected or (self.part.size if self._joinable else None)
        if size is not None and expected not in (None, size):
            raise _Failure(
                f"the file has {size} bytes instead of {expected}: it was changed", retry=False
            )
        if in_ranges and size is None and expected is None:
            raise _Failure("the server does not tell the file's size", retry=False)
        one_stream_of_many = self._in_ranges and not in_ranges and self._answered.is_set()
        self._in_ranges = in_ranges and self._joinable
        if one_stream_of_many:
            raise _Failure("the server no longer answers with ranges", retry=True)
        if not in_ranges and size is None:
            self.part.restart()  # earlier bytes may belong to another version of the file
        self.part.size = size or expected
        self._answered.set()


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body in blocks; errors of the network become a `_Failure`."""
    try:
        yield from response.iter_content(BLOCK_BYTES)
    except (requests.RequestException, OSError) as error:
        raise _Failure(_reason(error), retry=True) from error


def _position_and_size(response: requests.Response) -> tuple[int | None, int | None]:
    """Return the position of an answer's first byte, and the size of the file.

    Raises:
        _Failure: the answer does not contain the file.
    """
    status = response.status_code
    if status not in (200, 206):
        raise _Failure(
            f"HTTP {status} {response.reason}",
            retry=status in TRANSIENT_STATUSES,
            wait=_seconds(response.headers.get("Retry-After")),
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise _Failure("answers with a web page; does the network ask for a log-in?", retry=False)
    if status == 206:
        return _content_range(response.headers.get("Content-Range", ""))
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _seconds(retry_after: str | None) -> float:
    """Return the seconds that a `Retry-After` header asks for; 0 without one."""
    if retry_after is None:
        return 0.0
    try:
        return max(float(retry_after), 0.0)
    except ValueError:
        pass
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return 0.0


def _content_range(header: str) -> tuple[int | None, int | None]:
    """Return the start of the range and the size of the file in a `Content-Range` header."""
    unit, _, rest = header.partition(" ")
    span, _, size = rest.partition("/")
    start = span.partition("-")[0]
    valid = unit == "bytes" and start.isdigit()
    return int(start) if valid else None, int(size) if size.isdigit() else None


@contextmanager
def _local(
    url: str, start: int, stop: int | None
) -> Iterator[tuple[int, int | None, Iterator[bytes]]]:
    """Yield what `Transfer._answer` yields, of a file on this machine."""
    try:
        file = os.open(url2pathname(urlsplit(url).path), os.O_RDONLY)
    except OSError as error:
        raise _Failure(_reason(error), retry=False) from error
    try:
        size = os.fstat(file).st_size
        end = size if stop is None else min(stop, size)
        places = range(start, end, BLOCK_BYTES)
        yield start, size, (os.pread(file, min(BLOCK_BYTES, end - at), at) for at in places)
    finally:
        os.close(file)


def host_of(url: str) -> str:
    """Return the host of a URL, or the URL itself if it has none."""
    return urlsplit(url).hostname or url


def _reason(error: BaseException) -> str:
    """Return the innermost reason of an error, without those of the libraries around it."""
    causes = [error]
    while inner := _inner(causes[-1]):
        causes.append(inner)
    if any(isinstance(cause, IncompleteRead) for cause in causes):
        return "connection closed too early"
    for cause in reversed(causes):
        text = getattr(cause, "strerror", None)
        if text:
            return text
    if isinstance(error, requests.Timeout) or "timed out" in str(error).lower():
        return "timed out"
    return str(causes[-1]) or type(causes[-1]).__name__


def _inner(error: BaseException) -> BaseException | None:
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return reason
    inner = next((item for item in error.args if isinstance(item, BaseException)), None)
    return inner or error.__cause__
