"""A server that publishes files as a research repository does, with the faults that real ones have.

Run as a program it serves a folder: python -m tests.web_server FOLDER PORT [BYTES A SECOND]
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BLOCK = 1 << 14


class Server(ThreadingHTTPServer):
    """Serves files at `/api/records/1/files/<name>/content`, behind a redirect.

    Attributes:
        files: contents by name.
        requests: (name, Range header) of each request for a content.
        ranges: whether ranges are served; otherwise every answer is the whole file.
        sized: whether answers tell their length.
        fault: called with the number of the request and the bytes of the answer; returns None to
            answer well, an integer to cut the answer after so many bytes, a status with headers, or
            "stall" to stop in the middle without closing.
        speed: bytes a second of one connection; None: as fast as it goes.
        released: ends stalls.
    """

    daemon_threads = True
    request_queue_size = 50

    def __init__(self, files: dict[str, bytes | Path], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.files = files
        self.requests: list[tuple[str, str | None]] = []
        self.ranges = self.sized = True
        self.content_type = "application/octet-stream"
        self.fault: Callable[[int, int], object] = lambda number, length: None
        self.speed: float | None = None
        self.released = threading.Event()
        self.lock = threading.Lock()

    def __enter__(self) -> Server:
        self.thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )
        self.thread.start()
        return self

    def __exit__(self, *exception) -> None:
        self.released.set()
        self.shutdown()
        self.thread.join()
        self.server_close()

    def handle_error(self, request, client_address) -> None:
        """Clients that hang up are what these tests are about."""

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/api/records/1/files/{name}/content"

    def asked(self, name: str) -> list[str | None]:
        """The Range headers of all requests for a file."""
        return [wanted for file, wanted in self.requests if file == name]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments) -> None:
        pass

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].strip("/").split("/")
        if parts == ["api", "records", "1"]:
            return self.record()
        if parts[:4] == ["api", "records", "1", "files"] and parts[-1] == "content":
            return self.answer(302, {"Location": f"/storage/{parts[4]}?token=1"})
        if parts[0] == "storage" and parts[1] in self.server.files:
            return self.content(parts[1])
        self.answer(404, {})

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def record(self) -> None:
        files = [
            {
                "key": name,
                "size": len(content),
                "checksum": f"md5:{hashlib.md5(content).hexdigest()}",
                "links": {"self": self.server.url(name)},
            }
            for name, content in self.server.files.items()
        ]
        body = json.dumps({"files": files}).encode()
        self.answer(200, {"Content-Type": "application/json"}, body)

    def content(self, name: str) -> None:
        server, wanted = self.server, self.headers.get("Range")
        with server.lock:
            server.requests.append((name, wanted))
            number = len(server.requests)
        body = server.files[name]
        size = body.stat().st_size if isinstance(body, Path) else len(body)
        start, stop = 0, size
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted or "")
        in_range = server.ranges and match is not None
        if in_range:
            start, stop = int(match[1]), min(int(match[2] or size - 1) + 1, size)
            if start >= size:
                return self.answer(416, {"Content-Range": f"bytes */{size}"})
        fault = server.fault(number, stop - start)
        if isinstance(fault, tuple):
            status, headers = fault
            return self.answer(status, headers)
        self.send_response(206 if in_range else 200)
        self.send_header("Content-Type", server.content_type)
        if in_range:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        if server.sized:
            self.send_header("Content-Length", str(stop - start))
        self.close_connection = fault is not None or not server.sized
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        end = start + fault if isinstance(fault, int) else stop
        for position in range(start, min(end, stop), BLOCK):
            if fault == "stall" and position > start:
                server.released.wait(30)
                return
            self.wfile.write(self.read(body, position, min(position + BLOCK, end, stop)))
            if server.speed:
                time.sleep(BLOCK / server.speed)

    @staticmethod
    def read(body: bytes | Path, start: int, stop: int) -> bytes:
        if isinstance(body, bytes):
            return body[start:stop]
        with open(body, "rb") as file:
            file.seek(start)
            return file.read(stop - start)


if __name__ == "__main__":
    _folder = Path(sys.argv[1])
    _files: dict[str, bytes | Path] = {p.name: p for p in _folder.iterdir() if p.is_file()}
    _server = Server(_files, int(sys.argv[2]))
    _server.speed = float(sys.argv[3]) if len(sys.argv) > 3 else None
    print(_server.url("<name>"), flush=True)
    _server.serve_forever()
