"""Downloads from a real HTTP server on this machine, honest and misbehaving."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import resource
import runpy
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path

import filelock
import pytest
from asteroid.utils import hub_utils

from asteroid_bsrnn import progress
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.weights import answers, cache, download
from asteroid_bsrnn.weights.cache import Part, Spans

from .web_server import Server

CONTENT = random.Random(0).randbytes(1_000_003)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()
NAME = "weights.pth"
PIECES = -(-len(CONTENT) // 100_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(download, "REQUEST_BYTES", 100_000)
    monkeypatch.setenv("no_proxy", "*")
    with Server({NAME: CONTENT}) as server:
        yield server


@pytest.fixture
def closed_url() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/{NAME}"


def fetch(
    urls: str | list[str],
    directory: Path,
    sha256: str | None = SHA256,
    attempts: int = download.ATTEMPTS,
    timeout: float = answers.TIMEOUT_SECONDS,
    **options,
) -> Path:
    urls = [urls] if isinstance(urls, str) else urls
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "ATTEMPTS", attempts)
        patch.setattr(answers, "TIMEOUT_SECONDS", timeout)
        return download.fetch(urls, directory / NAME, sha256, **options)


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir() if "lock" not in path.suffix}


def message_of(*arguments, **options) -> str:
    with pytest.raises(UserError) as caught:
        fetch(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message and NAME in message
    return message


def first_fails(*faults):
    """A fault for each of the first answers, and none for the later ones."""
    return lambda number, length: faults[number - 1] if number <= len(faults) else None


# --- what is there already -----------------------------------------------------------------------


def test_spans_against_sets():
    chooser = random.Random(1)
    for _ in range(200):
        spans, positions = Spans(), set()
        for _ in range(chooser.randrange(12)):
            start, length = chooser.randrange(60), chooser.randrange(10)
            spans.add(start, start + length)
            positions |= set(range(start, start + length))
        assert spans.total == len(positions)
        start, stop = sorted(chooser.choices(range(70), k=2))
        missing = [p for first, last in spans.missing(start, stop) for p in range(first, last)]
        assert missing == sorted(set(range(start, stop)) - positions)


def test_a_part_is_continued_only_if_its_journal_says_so(tmp_path):
    path = tmp_path / "x.part"
    part = Part(path, "md5:1")
    part.size = 10
    part.fill(2, b"abc")
    part.fill(3, b"XYZ")  # what is there stays
    part.save()
    part.close()
    again = Part(path, "md5:1")
    assert (again.received, again.size, again.missing(0, 10)) == (4, 10, [(0, 2), (6, 10)])
    assert again.read(2, 4) == b"abcZ"
    again.close()
    for identity in ("md5:2", None):
        other = Part(path, identity)
        assert other.received == 0
        other.close()
        assert path.stat().st_size == 0


@pytest.mark.parametrize("journal", [b"", b"{", b"[]", b'{"identity": "md5:1"}', None])
def test_a_damaged_journal_means_to_start_over(tmp_path, journal):
    path = tmp_path / "x.part"
    path.write_bytes(b"something")
    if journal is not None:
        path.with_name("x.part.json").write_bytes(journal)
    part = Part(path, "md5:1")
    assert part.received == 0 and path.stat().st_size == 0
    part.close()


# --- honest servers ------------------------------------------------------------------------------


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("sized", [True, False])
@pytest.mark.parametrize("sha256", [SHA256, SHA256.upper(), None])
def test_plain_download(server, tmp_path, ranges, sized, sha256):
    server.ranges, server.sized = ranges, sized
    path = fetch(server.url(NAME), tmp_path / "new" / "cache", sha256)
    assert path == tmp_path / "new" / "cache" / NAME
    assert path.read_bytes() == CONTENT
    assert names(path.parent) == {NAME}
    asked = server.asked(NAME)
    if sha256 is None:
        assert asked == [None]
    elif ranges:
        wanted = {f"bytes={start}-{min(start + 100_000, len(CONTENT)) - 1}"
                  for start in range(0, len(CONTENT), 100_000)}  # fmt: skip
        assert len(asked) == PIECES and {*asked[1:], *asked} >= wanted - {asked[-1]}
    else:
        assert asked == ["bytes=0-99999"], "one stream gives everything"


def test_pieces_come_at_once(server, tmp_path):
    server.speed = 1_000_000
    begun = time.monotonic()
    fetch(server.url(NAME), tmp_path, connections=1)
    one = time.monotonic() - begun
    begun = time.monotonic()
    fetch(server.url(NAME), tmp_path / "again", connections=10)
    assert time.monotonic() - begun < one / 2, "ten connections against one of limited speed"


def test_number_of_connections(server, tmp_path, monkeypatch):
    monkeypatch.setenv(download.CONNECTIONS, "3")
    assert download.number_of_connections() == 3
    monkeypatch.setenv(download.CONNECTIONS, "many")
    with pytest.raises(UserError, match="ASTEROID_BSRNN_CONNECTIONS must be a whole number"):
        fetch(server.url(NAME), tmp_path)
    monkeypatch.setenv(download.CONNECTIONS, "")
    assert download.number_of_connections() == 6


def test_cached_file_is_reused_without_a_request(server, tmp_path):
    fetch(server.url(NAME), tmp_path)
    before = len(server.requests)
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == before


def test_damaged_cached_file_is_replaced(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT


# --- faults of the network -----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_connections_dropped_at_random_places(server, tmp_path, seed):
    chooser = random.Random(seed)
    server.fault = lambda number, length: chooser.randrange(length) if number % 3 else None
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT
    assert names(tmp_path) == {NAME}
    assert len(server.requests) > PIECES


def test_what_arrived_before_a_drop_is_not_asked_for_again(server, tmp_path):
    server.fault = first_fails(50_000)
    fetch(server.url(NAME), tmp_path)
    asked = [int(re.match(r"bytes=(\d+)-", wanted)[1]) for wanted in server.asked(NAME)]
    resumed = [start for start in asked if 0 < start < 100_000]
    assert len(resumed) == 1 and asked.count(0) == 1


def test_one_stream_is_joined_after_a_drop(server, tmp_path):
    server.ranges = False
    server.fault = first_fails(70_000, 300_000)
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT


def test_without_a_checksum_pieces_are_not_joined(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(b"of something else")
    server.fault = first_fails(70_000)
    assert fetch(server.url(NAME), tmp_path, None).read_bytes() == CONTENT
    assert server.asked(NAME) == [None, None]


def test_the_next_call_resumes(server, tmp_path):
    server.fault = lambda number, length: 0 if number > 4 else None
    message = message_of(server.url(NAME), tmp_path, attempts=2)
    assert "the same command resumes from there" in message and "connection closed" in message
    assert names(tmp_path) == {f"{NAME}.part", f"{NAME}.part.json"}
    received = json.loads((tmp_path / f"{NAME}.part.json").read_text())["received"]
    server.fault = lambda number, length: None
    server.requests.clear()
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT
    for wanted in server.asked(NAME):
        start = int(re.match(r"bytes=(\d+)-", wanted)[1])
        assert not any(first <= start < last for first, last in received)


@pytest.mark.parametrize("attempts", [1, 2])
def test_attempts_are_counted(server, tmp_path, attempts):
    server.fault = lambda number, length: (503, {})
    assert "503" in message_of(server.url(NAME), tmp_path, attempts=attempts, connections=1)
    assert len(server.requests) == attempts


def test_without_any_byte_the_attempts_are_few(server, tmp_path):
    server.fault = lambda number, length: (503, {})
    message_of(server.url(NAME), tmp_path, attempts=50, connections=1)
    assert len(server.requests) == download.FIRST_ATTEMPTS


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_obeyed(server, tmp_path, as_date):
    moments = []

    def limit(number, length):
        moments.append(time.monotonic())
        after = formatdate(time.time() + 2, usegmt=True) if as_date else "1"
        return (429, {"Retry-After": after}) if number == 3 else None

    server.fault = limit
    assert fetch(server.url(NAME), tmp_path, connections=1).read_bytes() == CONTENT
    assert moments[3] - moments[2] >= 0.9


def test_a_long_retry_after_ends_with_one_line(server, tmp_path):
    server.fault = lambda number, length: (429, {"Retry-After": "7200"}) if number > 3 else None
    message = message_of(server.url(NAME), tmp_path)
    assert "asks to wait 7200 s" in message and "resumes" in message


@pytest.mark.parametrize("connections", [1, 6])
def test_a_stalled_connection_counts_as_dropped(server, tmp_path, connections):
    server.fault = first_fails(None, "stall", None, "stall")
    path = fetch(server.url(NAME), tmp_path, timeout=0.3, connections=connections)
    assert path.read_bytes() == CONTENT
    server.fault = lambda number, length: "stall"
    (tmp_path / NAME).unlink()
    assert "timed out" in message_of(server.url(NAME), tmp_path, timeout=0.1, attempts=1)


def test_missing_file_is_not_asked_for_again(server, tmp_path):
    message = message_of(server.url("other"), tmp_path)
    assert "404 Not Found" in message and "127.0.0.1" in message
    assert str(tmp_path / NAME) in message


def test_server_down(tmp_path, server, closed_url):
    message = message_of(closed_url, tmp_path)
    assert "127.0.0.1: Connection refused" in message and str(tmp_path / NAME) in message


def test_a_log_in_page_is_no_file_and_costs_nothing(server, tmp_path):
    server.fault = lambda number, length: 0 if number > 4 else None
    message_of(server.url(NAME), tmp_path, attempts=2)
    kept = (tmp_path / f"{NAME}.part.json").read_text()
    server.fault, server.content_type, server.ranges = lambda n, m: None, "text/html", False
    assert "web page" in message_of(server.url(NAME), tmp_path)
    assert (tmp_path / f"{NAME}.part.json").read_text() == kept


# --- other files than the promised one -----------------------------------------------------------


def test_wrong_checksum_leaves_nothing(server, tmp_path):
    server.files[NAME] = CONTENT[::-1]
    message = message_of(server.url(NAME), tmp_path)
    assert SHA256[:12] in message and hashlib.sha256(CONTENT[::-1]).hexdigest()[:12] in message
    assert "deleted" in message
    assert names(tmp_path) == set()
    assert len(server.requests) == PIECES


def test_changed_size_is_named(server, tmp_path):
    server.files[NAME] = CONTENT[:-3]
    message = message_of(server.url(NAME), tmp_path, size=len(CONTENT))
    assert f"has {len(CONTENT) - 3} bytes instead of {len(CONTENT)}" in message
    assert len(server.requests) == 1


def test_a_part_of_another_version_costs_one_more_download(server, tmp_path):
    part = Part(tmp_path / f"{NAME}.part", f"sha256:{SHA256}")
    part.size = len(CONTENT)
    part.fill(0, b"x" * 5000)
    part.save()
    part.close()
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("first", ["404", "bad", "closed", "ends"])
def test_next_mirror_is_used(server, tmp_path, closed_url, first):
    with Server({NAME: CONTENT[::-1] if first == "bad" else CONTENT}) as other:
        if first == "ends":  # gone in the middle
            other.fault = lambda number, length: (404, {}) if number > 3 else None
        bad = {"404": server.url("none"), "closed": closed_url}.get(first, other.url(NAME))
        assert fetch([bad, server.url(NAME)], tmp_path).read_bytes() == CONTENT
        assert server.requests[-1][0] == NAME
        assert names(tmp_path) == {NAME}
        if first == "ends":
            assert len(server.asked(NAME)) < PIECES, "what the first one gave is used"


def test_a_mirror_without_ranges_takes_over(server, tmp_path):
    server.ranges = False
    with Server({NAME: CONTENT}) as first:
        first.fault = lambda number, length: (404, {}) if number > 3 else None
        assert fetch([first.url(NAME), server.url(NAME)], tmp_path).read_bytes() == CONTENT


def test_every_mirror_is_named_when_all_fail(server, tmp_path, closed_url):
    message = message_of([server.url("none"), closed_url], tmp_path)
    assert "404" in message and "refused" in message


def test_part_of_a_bad_mirror_does_not_spoil_the_good_one(server, tmp_path):
    with Server({NAME: CONTENT[::-1]}) as bad:
        bad.fault = lambda number, length: (404, {}) if number > 2 else None
        assert fetch([bad.url(NAME), server.url(NAME)], tmp_path).read_bytes() == CONTENT


# --- the disk, other processes, sudden ends ------------------------------------------------------


def test_simultaneous_calls(server, tmp_path):
    server.speed = 2_000_000
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(fetch, server.url(NAME), tmp_path) for _ in range(3)]
        assert {call.result() for call in calls} == {tmp_path / NAME}
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == {NAME}
    assert len(server.requests) == PIECES


def test_simultaneous_calls_on_a_file_system_without_locks(server, tmp_path, monkeypatch):
    def refuse(self):
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    server.speed = 2_000_000
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(fetch, server.url(NAME), tmp_path) for _ in range(3)]
        assert {call.result() for call in calls} == {tmp_path / NAME}
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == {NAME}
    assert len(server.requests) == PIECES


def test_a_second_process_says_that_it_waits(tmp_path, capsys):
    with ThreadPoolExecutor(1) as pool, cache.exclusive(tmp_path / NAME):

        def wait():
            with cache.exclusive(tmp_path / NAME):
                pass

        waiting = pool.submit(wait)
        while "waiting for another process" not in (err := capsys.readouterr().err):
            time.sleep(0.01)
        assert NAME in err and not waiting.done()


# Stands in for the package's own __init__, which imports torch: downloads need none of it.
PROGRAM = """
import pathlib, sys, types
package = types.ModuleType("asteroid_bsrnn")
package.__path__ = [sys.argv[4]]
sys.modules["asteroid_bsrnn"] = package
from asteroid_bsrnn.weights import download

download.REQUEST_BYTES, download.BACKOFF_SECONDS = 100_000, 0.01
download.fetch([sys.argv[1]], pathlib.Path(sys.argv[3], "weights.pth"), sys.argv[2])
"""


def run(server, directory: Path, **options) -> subprocess.Popen:
    package = str(Path(download.__file__).parents[1])
    command = [sys.executable, "-c", PROGRAM, server.url(NAME), SHA256, str(directory), package]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)


def test_killed_at_random_moments_and_resumed(server, tmp_path):
    chooser = random.Random(3)
    server.speed = 60_000  # of each of six connections
    kills = 0
    for _ in range(40):
        before = {tuple(span) for span in _received(tmp_path)}
        process = run(server, tmp_path)
        arriving = time.monotonic() + 60
        while {tuple(span) for span in _received(tmp_path)} == before and process.poll() is None:
            assert time.monotonic() < arriving
            time.sleep(0.02)
        time.sleep(chooser.random() / 4)
        if process.poll() is not None or kills == 4:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert not (tmp_path / NAME).exists()
        assert sum(stop - start for start, stop in _received(tmp_path)) >= sum(
            stop - start for start, stop in before
        ), "nothing that was there is lost"
    server.speed = None
    assert process.wait(60) == 0, process.stderr.read()
    assert kills >= 2 and (tmp_path / NAME).read_bytes() == CONTENT
    assert names(tmp_path) == {NAME}


def _received(directory: Path) -> list:
    try:
        return json.loads((directory / f"{NAME}.part.json").read_text())["received"]
    except (OSError, ValueError):
        return []


def test_interrupted_by_the_user(server, tmp_path):
    server.speed = 50_000
    process = run(server, tmp_path)
    while not _received(tmp_path):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) != 0
    assert "KeyboardInterrupt" in process.stderr.read()
    assert _received(tmp_path)


def test_a_full_disk(server, tmp_path):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    process = run(server, tmp_path, preexec_fn=limit)
    error = process.communicate(timeout=60)[1].splitlines()[-1]
    assert "cannot be read or stored (File too large)" in error and "ASTEROID_CACHE" in error
    assert names(tmp_path) == {f"{NAME}.part", f"{NAME}.part.json"}
    assert fetch(server.url(NAME), tmp_path).read_bytes() == CONTENT


def test_room_is_checked_with_numbers(tmp_path):
    cache.check_room(tmp_path / "not" / "there", 1000, "x")
    with pytest.raises(UserError, match=r"^x: needs 1000000.00 GB .* has [\d.]+ [GM]B; free some"):
        cache.check_room(tmp_path / "not" / "there", 10**15, "x")


def test_unusable_directory(server, tmp_path):
    (tmp_path / "file").touch()
    assert "ASTEROID_CACHE" in message_of(server.url(NAME), tmp_path / "file")
    assert server.requests == []


# --- names and addresses -------------------------------------------------------------------------


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


@pytest.mark.parametrize("sha256", [SHA256, None])
def test_file_scheme(tmp_path, monkeypatch, sha256):
    monkeypatch.setattr(download, "REQUEST_BYTES", 100_000)
    source = tmp_path / "a source.bin"
    source.write_bytes(CONTENT)
    assert fetch(source.as_uri(), tmp_path, sha256).read_bytes() == CONTENT
    assert source.exists()
    assert "No such file" in message_of((tmp_path / "none").as_uri(), tmp_path / "other")


def test_fetch_url(server, tmp_path, monkeypatch):
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path))
    url = server.url(NAME) + "?download=1"
    path = download.fetch_url(url)
    key = hashlib.sha256(url.encode()).hexdigest()[:16]
    assert path == tmp_path / "asteroid_bsrnn" / f"{key}-content"
    assert path.read_bytes() == CONTENT
    assert download.fetch_url(f"{url}#sha256={SHA256}") == path
    assert len(server.requests) == 1
    with pytest.raises(UserError, match=SHA256[:12]):
        download.fetch_url(f"{url}#sha256={'0' * 64}")
    with pytest.raises(UserError, match="64 hexadecimal digits"):
        download.fetch_url(f"{url}#sha256=")


# --- progress ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shown", [True, False])
def test_progress_bar(server, tmp_path, capsys, monkeypatch, shown):
    server.speed = 1_000_000
    monkeypatch.setattr(sys.stderr, "isatty", lambda: shown)
    fetch(server.url(NAME), tmp_path)
    out, err = capsys.readouterr()
    assert out == "" and (NAME in err) == shown
    assert not shown or "B/s" in err


def test_a_line_a_minute_where_there_is_no_terminal(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    server.speed = 100_000
    fetch(server.url(NAME), tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    for line in lines:
        assert re.fullmatch(
            rf"{NAME}: \d+ % of 1 MB, (\d+\.\d\d MB/s, \d+ minutes left|nothing arrives .*)", line
        )


def test_lines_tell_the_time_left():
    assert progress._line(0, 1_200_000_000, 100_000) == "0 % of 1.20 GB, 0.10 MB/s, 3.3 hours left"
    assert progress._line(5, None, 0) == "0 MB, 0.00 MB/s"


# --- checksums -----------------------------------------------------------------------------------


def test_checksums(tmp_path):
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    assert cache.sha256_of(path) == SHA256
    assert cache.fault_of(path, f"sha256:{SHA256.upper()}") is None
    assert cache.fault_of(path, f"md5:{MD5}") is None
    assert cache.fault_of(path, f"md5:{'0' * 32}").startswith(f"its MD5 is {MD5[:12]}")
    assert cache.fault_of(path, None) is None
    assert cache.fault_of(tmp_path / "other", None) == "no such file"


def test_the_checksum_of_a_folder_is_that_of_its_models(tmp_path):
    (tmp_path / "a.pth").write_bytes(b"a")
    (tmp_path / "b.pth").write_bytes(b"b")
    before = cache.sha256_of(tmp_path)
    (tmp_path / "source.json").write_text("{}")
    (tmp_path / "._a.pth").write_bytes(b"of another system")
    assert cache.sha256_of(tmp_path) == before
    os.rename(tmp_path / "b.pth", tmp_path / "c.pth")
    assert cache.sha256_of(tmp_path) != before


def test_cache_directory_follows_asteroid(monkeypatch, tmp_path):
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path))
    assert cache.cache_directory() == tmp_path / "asteroid_bsrnn"
    monkeypatch.delenv("ASTEROID_CACHE")
    default = runpy.run_path(hub_utils.__file__)["CACHE_DIR"]
    assert cache.cache_directory() == Path(default) / "asteroid_bsrnn"
