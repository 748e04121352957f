"""Downloads from a real HTTP server on this machine, honest and misbehaving."""

from __future__ import annotations

import hashlib
import re
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from asteroid_bsrnn import download
from asteroid_bsrnn.errors import UserError

CONTENT = bytes(range(256)) * 800  # more than three blocks
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "weights.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT; the path says how: /range, /plain (no Range), /bad, /unsized, /<status>."""

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append((self.path, wanted))
        time.sleep(server.delay)
        kind = self.path.split("/")[1]
        if kind.isdigit():
            return self.send_error(int(kind))
        body = CONTENT[::-1] if kind == "bad" else CONTENT
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and kind != "plain" else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        if kind != "unsized":
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        end = start + server.drops.pop(0) if server.drops else len(body)
        self.wfile.write(body[start:end])

    def log_message(self, *arguments) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Remembers (path, Range) of each request; ends the next answers after `drops` bytes."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str | None]] = []
        self.drops: list[int] = []
        self.delay = 0.0

    def url(self, kind: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/{NAME}"

    def ranges(self) -> list[str | None]:
        return [wanted for _, wanted in self.requests]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setenv("no_proxy", "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def closed_url() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/{NAME}"


def fetch(urls: str | list[str], directory: Path, sha256: str | None = SHA256, **options) -> Path:
    urls = [urls] if isinstance(urls, str) else urls
    return download.fetch(urls, NAME, sha256, directory=directory, **options)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()} - {f"{NAME}.lock"}


def message_of(*arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        fetch(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and NAME in message
    return message


@pytest.mark.parametrize("kind", ["range", "plain", "unsized"])
@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper(), None])
def test_plain_download(server, tmp_path, kind, sha256):
    path = fetch(server.url(kind), tmp_path / "new" / "cache", sha256)
    assert path == tmp_path / "new" / "cache" / NAME
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == {NAME}
    assert server.ranges() == [None]


def test_cached_file_is_reused_without_a_request(server, tmp_path):
    fetch(server.url("range"), tmp_path)
    assert fetch(server.url("range"), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_damaged_cached_file_is_replaced(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    assert fetch(server.url("range"), tmp_path).read_bytes() == CONTENT


def test_damaged_cached_file_is_gone_and_named_when_the_server_is_down(
    tmp_path, server, closed_url
):
    (tmp_path / NAME).write_bytes(b"damaged")
    damaged = hashlib.sha256(b"damaged").hexdigest()
    message = message_of(closed_url, tmp_path)
    assert damaged[:12] in message and SHA256[:12] in message
    assert names(tmp_path) == set()


def test_wrong_checksum_leaves_nothing(server, tmp_path):
    message = message_of(server.url("bad"), tmp_path)
    assert SHA256[:12] in message and hashlib.sha256(CONTENT[::-1]).hexdigest()[:12] in message
    assert names(tmp_path) == set()
    assert len(server.requests) == 1


@pytest.mark.parametrize("dropped_after", [1, 70_000])
def test_dropped_connection_is_resumed(server, tmp_path, dropped_after):
    server.drops = [dropped_after]
    assert fetch(server.url("range"), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, f"bytes={dropped_after}-"]
    assert names(tmp_path) == {NAME}


def test_server_that_ignores_range_starts_over(server, tmp_path):
    server.drops = [70_000]
    assert fetch(server.url("plain"), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=70000-"]


def test_without_a_checksum_pieces_are_not_joined(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"of something else")
    server.drops = [70_000]
    assert fetch(server.url("range"), tmp_path, None).read_bytes() == CONTENT
    assert server.ranges() == [None, None]


def test_drop_on_every_attempt_keeps_the_part_for_the_next_call(server, tmp_path):
    server.drops = [1000, 1000, 1000]
    message = message_of(server.url("range"), tmp_path)
    assert f"3000 of {len(CONTENT)} bytes" in message
    assert names(tmp_path) == {f"{NAME}.part"}
    assert fetch(server.url("range"), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [None, "bytes=1000-", "bytes=2000-", "bytes=3000-"]


@pytest.mark.parametrize("attempts", [1, 4])
def test_attempts_are_counted(server, tmp_path, attempts):
    assert "503" in message_of(server.url("503"), tmp_path, attempts=attempts)
    assert len(server.requests) == attempts


def test_part_longer_than_the_file_starts_over(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    assert fetch(server.url("range"), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == [f"bytes={len(CONTENT) + 4}-", None]


def test_part_of_another_file_costs_one_more_request(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"of another version")
    assert fetch(server.url("range"), tmp_path).read_bytes() == CONTENT
    assert server.ranges() == ["bytes=18-", None]


def test_silent_server_counts_as_dropped(tmp_path, server):
    server.delay = 0.4
    assert "timed out" in message_of(server.url("range"), tmp_path, timeout=0.05, attempts=1)


def test_missing_file_is_not_asked_for_again(server, tmp_path):
    message = message_of(server.url("404"), tmp_path)
    assert "404 Not Found" in message and "127.0.0.1" in message
    assert str(tmp_path / NAME) in message
    assert len(server.requests) == 1


def test_server_down(tmp_path, server, closed_url):
    message = message_of(closed_url, tmp_path)
    assert "127.0.0.1: Connection refused" in message and str(tmp_path / NAME) in message
    assert names(tmp_path) == set()


@pytest.mark.parametrize("first", ["404", "bad", "closed"])
def test_next_mirror_is_used(server, tmp_path, closed_url, first):
    first = closed_url if first == "closed" else server.url(first)
    assert fetch([first, server.url("range")], tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == (f"/range/{NAME}", None)
    assert names(tmp_path) == {NAME}


def test_every_mirror_is_named_when_all_fail(server, tmp_path):
    message = message_of([server.url("404"), server.url("410")], tmp_path)
    assert "404" in message and "410" in message


def test_part_of_a_bad_mirror_does_not_spoil_the_good_one(server, tmp_path):
    server.drops = [1000] * 3
    urls = [server.url("bad"), server.url("range")]
    assert fetch(urls, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("lock", [True, False])
def test_simultaneous_calls(server, tmp_path, monkeypatch, lock):
    if not lock:
        monkeypatch.setitem(sys.modules, "fcntl", None)  # as on a system that has none
    server.delay = 0.1
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(fetch, server.url("range"), tmp_path) for _ in range(3)]
        assert {call.result() for call in calls} == {tmp_path / NAME}
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == {NAME}
    if lock and "fcntl" in sys.modules:
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "data:,x", "C:\\x", "weights.pth", "", "http://[x", "http://a b/"]
)
def test_what_is_no_url_is_refused(tmp_path, url):
    for call in (lambda: fetch(url, tmp_path), lambda: download.fetch_url(url)):
        with pytest.raises(UserError, match="http, https or file"):
            call()


@pytest.mark.parametrize(
    "url", ["http://:x/", "http://127.0.0.1:99999/", "http://a..b/", "http:///x"]
)
def test_bad_host_is_a_users_mistake(server, tmp_path, url):
    message_of(url, tmp_path)


@pytest.mark.parametrize("filename", ["a/b", "/a", "..", ".", "", "a\\b", "C:a"])
def test_filename_must_be_bare(tmp_path, filename):
    with pytest.raises(UserError, match="bare file name"):
        download.fetch(["http://127.0.0.1/"], filename, None, directory=tmp_path)


def test_unusable_directory(server, tmp_path):
    (tmp_path / "file").touch()
    assert "ASTEROID_CACHE" in message_of(server.url("range"), tmp_path / "file")
    assert server.requests == []


def test_file_scheme(tmp_path, server):
    source = tmp_path / "a source.bin"
    source.write_bytes(CONTENT)
    assert fetch(source.as_uri(), tmp_path).read_bytes() == CONTENT
    assert source.exists()
    assert "No such file" in message_of((tmp_path / "none").as_uri(), tmp_path / "other")


@pytest.mark.parametrize("progress", [True, False, None])
def test_progress_bar(server, tmp_path, capsys, progress):
    fetch(server.url("range"), tmp_path, progress=progress)
    out, err = capsys.readouterr()
    assert out == "" and (NAME in err) == (progress is True)


def test_fetch_url(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path))
    url = server.url("range") + "?download=1"
    path = download.fetch_url(url)
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    assert path == tmp_path / "asteroid_bsrnn" / f"{key}-{NAME}"
    assert path.read_bytes() == CONTENT
    assert download.fetch_url(f"{url}#sha256={SHA256}") == path
    assert len(server.requests) == 1
    with pytest.raises(UserError, match=SHA256[:12]):
        download.fetch_url(f"{url}#sha256={'0' * 64}")
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        download.fetch_url(f"{url}#sha256=")


def test_verify(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    assert download.sha256_of(path) == SHA256
    download.verify(path, SHA256)
    with pytest.raises(UserError, match=f"^my model: .*{SHA256[:12]}.*{'0' * 12}"):
        download.verify(path, "0" * 64, "my model")
    with pytest.raises(UserError, match=re.escape(f"{path}2: no such file")):
        download.verify(f"{path}2", SHA256)


def test_cache_directory_follows_asteroid(monkeypatch, tmp_path):
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path))
    assert download.cache_directory() == tmp_path / "asteroid_bsrnn"
    monkeypatch.delenv("ASTEROID_CACHE")
    hub_utils = pytest.importorskip("asteroid.utils.hub_utils", exc_type=ImportError)
    monkeypatch.setattr(hub_utils, "CACHE_DIR", str(tmp_path / "default"))
    assert download.cache_directory() == tmp_path / "default" / "asteroid_bsrnn"
