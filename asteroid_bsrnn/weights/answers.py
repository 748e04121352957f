"""Answers to requests for a file or a part of one, from an HTTP server or the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests

from ..errors import one_line

BLOCK_BYTES = 1 << 14  # the most that a dropped connection loses
TIMEOUT_SECONDS = 30.0  # without data, after which a connection counts as dropped
TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}


class Failure(Exception):
    """One request failed: whether to try again, and after how many seconds the server wants it."""

    def __init__(self, reason: object, *, retry: bool, wait: float = 0.0):
        super().__init__(one_line(reason))
        self.retry, self.wait = retry, wait


class Answer(NamedTuple):
    """The answer to one request."""

    position: int  # of the first byte in the file
    size: int | None  # of the whole file in bytes; None if unknown
    in_ranges: bool  # whether it is the part that was asked for, or else the whole file
    blocks: Iterator[bytes]  # reading them may raise a `Failure`


@contextmanager
def answer(
    session: requests.Session, url: str, start: int, stop: int, *, in_ranges: bool
) -> Iterator[Answer]:
    """Ask for the bytes of a file from `start` to `stop`, or without `in_ranges` for all of it.

    Raises:
        Failure: there is no such file, or no answer.
    """
    if urlsplit(url).scheme == "file":
        with _local(url, start, stop, in_ranges) as found:
            yield found
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "asteroid_bsrnn"}
    if in_ranges:
        headers["Range"] = f"bytes={start}-{stop - 1}"
    try:
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
    except (requests.RequestException, ValueError, UnicodeError) as error:
        retry = isinstance(error, (requests.ConnectionError, requests.Timeout))
        raise Failure(_reason(error), retry=retry) from error
    with response:
        _check(response)
        if response.status_code == 206:
            first, size = _content_range(response.headers.get("Content-Range", ""))
            if first != start:
                raise Failure("the server answers with another range", retry=False)
            yield Answer(start, size, True, _blocks(response))
        else:
            length = response.headers.get("Content-Length", "")
            yield Answer(0, int(length) if length.isdigit() else None, False, _blocks(response))


@contextmanager
def _local(url: str, start: int, stop: int, in_ranges: bool) -> Iterator[Answer]:
    """Yield the answer for a file on this machine."""
    try:
        file = os.open(url2pathname(urlsplit(url).path), os.O_RDONLY)
    except OSError as error:
        raise Failure(_reason(error), retry=False) from error
    try:
        size = os.fstat(file).st_size
        end = min(stop, size) if in_ranges else size
        places = range(start, end, BLOCK_BYTES)
        blocks = (os.pread(file, min(BLOCK_BYTES, end - at), at) for at in places)
        yield Answer(start, size, in_ranges, blocks)
    finally:
        os.close(file)


def _check(response: requests.Response) -> None:
    """Raise a `Failure` if an answer does not contain the file."""
    if response.status_code not in (200, 206):
        raise Failure(
            f"HTTP {response.status_code} {response.reason}",
            retry=response.status_code in TRANSIENT_STATUSES,
            wait=_seconds(response.headers.get("Retry-After")),
        )
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise Failure("answers with a web page; does the network ask for a log-in?", retry=False)


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


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """Yield the body in blocks; errors of the network become a `Failure`."""
    try:
        yield from response.iter_content(BLOCK_BYTES)
    except (requests.RequestException, OSError) as error:
        raise Failure(_reason(error), retry=True) from error


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
