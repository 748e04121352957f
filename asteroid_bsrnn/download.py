"""Download of pretrained weights: verified, resumable, safe when several processes ask at once."""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path, PureWindowsPath
from tempfile import TemporaryDirectory
from urllib.error import HTTPError
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit
from urllib.request import Request, urlopen

from tqdm import tqdm

from .errors import UserError

BACKOFF_SECONDS = 1.0  # before the second attempt, doubled for each one after
BLOCK_BYTES = 1 << 16
TRANSIENT_STATUSES = {408, 425, 429, 500, 502, 503, 504}
Transfer = Callable[[str, Path], None]


def cache_directory() -> Path:
    """Return `asteroid_bsrnn` under Asteroid's cache directory; it need not exist yet."""
    # Asteroid reads this variable once, when imported; here a later change counts too.
    root = os.environ.get("ASTEROID_CACHE")
    if not root:
        from asteroid.utils.hub_utils import get_cache_dir

        root = get_cache_dir()
    return Path(root) / "asteroid_bsrnn"


def sha256_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the file at `path` as 64 lower-case hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def verify(path: str | os.PathLike[str], sha256: str, name: str | None = None) -> None:
    """Check that the file at `path` has the checksum `sha256` (64 hexadecimal digits).

    Raises:
        UserError: it has not, or there is no such file; the message calls it `name`, or `path`.
    """
    if fault := _fault(Path(path), sha256):
        raise UserError(f"{name or path}: {fault}; download a fresh copy of it")


def fetch(
    urls: Sequence[str],
    filename: str,
    sha256: str | None,
    *,
    directory: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
    attempts: int = 3,
    timeout: float = 30.0,
) -> Path:
    """Return the path of a cached file, downloaded first if it is missing or damaged.

    The data grow in `<filename>.part`, from which this call or a later one resumes after a
    dropped connection; only a complete and verified file gets its final name.

    Args:
        urls: mirrors of the file (http, https or file), tried in order.
        filename: bare name of the file in the cache.
        sha256: its checksum, 64 hexadecimal digits; None takes what comes and does not resume,
            as nothing would prove that two pieces belong together.
        directory: where to keep the file; default `cache_directory()`.
        progress: whether to show a bar on stderr; None shows it on a terminal only.
        attempts: requests to each mirror before it is given up.
        timeout: seconds without data after which a connection counts as dropped.

    Raises:
        UserError: a bad name or URL, no mirror gave the file, or it cannot be stored.
    """
    if PureWindowsPath(filename).name != filename or filename in ("", ".."):
        raise UserError(f"{filename!r}: not a bare file name; leave out the folder")
    for url in urls:
        _check_url(url)
    target = (cache_directory() if directory is None else Path(directory)) / filename
    try:
        # Before the lock, so that a file in a shared, read-only cache can be used.
        fault = _fault(target, sha256)
        if fault is None:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        transfer = partial(_transfer, progress=progress, timeout=timeout)
        with _exclusive_part(target) as part:
            if _fault(target, sha256) is not None:  # else another process was faster
                target.unlink(missing_ok=True)
                _download(urls, part, sha256, attempts, transfer)
                os.replace(part, target)
    except _TransferError as error:
        advice = f"try again later, or download it by hand and put it at {target}"
        raise UserError(f"{filename}: {fault}; download failed ({error}); {advice}") from error
    except OSError as error:  # of the disk: one of the network is a _TransferError
        reason = f"cannot be read or stored ({error.strerror or error})"
        advice = "make room there or point ASTEROID_CACHE elsewhere"
        raise UserError(f"{target}: {reason}; {advice}") from error
    return target


def fetch_url(url: str, *, progress: bool | None = None) -> Path:
    """Return the cached copy of a file that is known by its URL alone.

    A change behind the URL goes unnoticed once the file is cached, unless the URL ends in
    `#sha256=` and the checksum, which is then verified at every call.

    Raises:
        UserError: as for `fetch`, or the checksum in the URL is not 64 hexadecimal digits.
    """
    _check_url(url)
    address, fragment = urldefrag(url)
    sha256 = parse_qs(fragment, keep_blank_values=True).get("sha256", [None])[0]
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise UserError(f"{url}: bad checksum; write #sha256= and its 64 hexadecimal digits")
    basename = re.sub(r"[^A-Za-z0-9._-]", "_", unquote(urlsplit(address).path.split("/")[-1]))
    key = hashlib.sha256(address.encode()).hexdigest()[:16]
    return fetch([address], f"{key}-{basename[-100:]}", sha256, progress=progress)


class _TransferError(Exception):
    """No file came over the network; `retry` says whether asking again soon may help."""

    def __init__(self, cause: Exception | str, retry: bool = False) -> None:
        cause = getattr(cause, "reason", cause)  # URLError wraps what really happened
        text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        super().__init__(" ".join(text.split()))
        self.retry = retry


@contextmanager
def _exclusive_part(target: Path) -> Iterator[Path]:
    """Yield the part file of `target`, which nobody else writes meanwhile.

    A lock lets the part keep one name, so that a later process can resume it, and makes a second
    process wait for the first one's file instead of downloading it too. Where the system or the
    file system has no such lock, each caller writes a part of its own that ends with the call.
    """
    part_name = f"{target.name}.part"
    with open(target.with_name(f"{target.name}.lock"), "ab") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX)
        except (ImportError, OSError):
            with TemporaryDirectory(dir=target.parent) as own:
                yield Path(own) / part_name
        else:
            yield target.with_name(part_name)


def _download(
    urls: Sequence[str], part: Path, sha256: str | None, attempts: int, transfer: Transfer
) -> None:
    """Complete and verify `part` from the first mirror that can."""
    problems = {}
    for url in urls:
        for attempt in range(attempts):
            if attempt:
                time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
            if sha256 is None:
                part.unlink(missing_ok=True)
            continued = part.exists()
            try:
                transfer(url, part)
                fault = _fault(part, sha256)
                if fault is None:
                    return
                part.unlink()
                # What was there before may be another mirror's: judge this one by its own bytes.
                raise _TransferError(fault, retry=continued)
            except _TransferError as error:
                problems[url] = error
                if not error.retry:
                    break
    reasons = [f"{urlsplit(url).hostname or url}: {error}" for url, error in problems.items()]
    raise _TransferError("; ".join(reasons) or "no URL is known")


def _transfer(url: str, part: Path, progress: bool | None, timeout: float) -> None:
    """Add what `part` lacks by one request, or all of it where the server does not resume."""
    offset = part.stat().st_size if part.exists() else 0
    wanted = {"Range": f"bytes={offset}-"} if offset else {}
    request = Request(url, headers={"User-Agent": "asteroid_bsrnn", **wanted})
    try:
        response = urlopen(request, timeout=timeout)
    except HTTPError as error:
        error.close()
        if offset and error.code == 416:  # the part is as long as the file, or longer
            part.unlink()
            return _transfer(url, part, progress, timeout)
        retry = error.code in TRANSIENT_STATUSES
        raise _TransferError(f"HTTP {error.code} {error.reason}", retry) from error
    except (OSError, HTTPException, ValueError, OverflowError) as error:  # the last two: bad host
        retry = isinstance(error, OSError) and not url.startswith("file:")
        raise _TransferError(error, retry) from error
    with response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        start = offset if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        size = {"total": total, "initial": start, "unit": "B", "unit_scale": True}
        hidden = None if progress is None else not progress
        with open(part, "ab" if resumed else "wb") as stream:
            with tqdm(desc=part.stem, disable=hidden, **size) as bar:
                for block in _blocks(response):
                    stream.write(block)
                    bar.update(len(block))
            received = stream.tell()
            stream.flush()
            os.fsync(stream.fileno())
    if total is not None and received < total:
        raise _TransferError(f"connection closed after {received} of {total} bytes", retry=True)


def _blocks(response) -> Iterator[bytes]:
    """Yield the body; a network error must not pass for one of the disk."""
    try:
        while block := response.read(BLOCK_BYTES):
            yield block
    except (OSError, HTTPException) as error:
        raise _TransferError(error, retry=True) from error


def _check_url(url: str) -> None:
    if not re.fullmatch(r"(https?|file)://[!-Z^-~]+", url):
        raise UserError(f"{url!r}: not an http, https or file URL; nothing else can be fetched")


def _fault(path: Path, sha256: str | None) -> str | None:
    if not path.is_file():
        return "no such file"
    actual = sha256_of(path) if sha256 else None
    if not sha256 or actual == sha256.lower():
        return None
    return f"its SHA-256 is {actual[:12]}... instead of {sha256[:12]}..."
