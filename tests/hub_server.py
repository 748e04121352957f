"""A server on this machine that answers `huggingface_hub` as the Hugging Face Hub does.

It has the parts of the Hub's HTTP interface that downloads and uploads of models use: creation of
repositories, validation of cards, preupload, the LFS batch API with its storage, commits, model
infos, and files with their redirects, ETags and error codes. The storage has another host name than
the Hub and must never see a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml

ROOT = Path(__file__).parents[1]
TOKENS = {"hf_owner": "owner", "hf_reader": "reader", "hf_granted": "granted"}
LICENCES = {"mit", "apache-2.0", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-4.0", "other", "unknown"}


@dataclass
class Repository:
    """A repository: its commits from the first to the last, each with all files as bytes."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit on top of the last one, and return its hash."""
        whole = {**self.files("main"), **files}
        digest = hashlib.sha1(f"{len(self.commits)}{sorted(whole)}".encode())
        for content in whole.values():
            digest.update(content)
        self.commits[digest.hexdigest()] = whole
        return digest.hexdigest()

    def resolve(self, revision: str) -> str | None:
        if revision == "main":
            return list(self.commits)[-1] if self.commits else "0" * 40
        revision = self.tags.get(revision, revision)
        return revision if revision in self.commits else None

    def files(self, revision: str) -> dict[str, bytes]:
        return self.commits.get(self.resolve(revision), {})


@dataclass
class Hub:
    """The state of the server, and what was asked of it.

    Attributes:
        repositories: by name.
        requests: (method, path, token or None) of all requests to the Hub, in order.
        storage_requests: of those to the storage, in the same form.
        status: answered to everything, where it is set.
    """

    port: int = 0
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    storage_requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    status: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage_url(self) -> str:
        return f"http://localhost:{self.port}/storage"


@contextmanager
def serve():
    """Run a server as long as the block takes; gives its `Hub`."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def environment(hub, home, **more) -> dict[str, str]:
    """The environment of a user of that server, whose cache is in `home`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "OMP_NUM_THREADS": "1",
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        # The server has the plain protocol for large files, not the one of the Hub's own storage.
        "HF_HUB_DISABLE_XET": "1",
        "no_proxy": "*",
        **more,
    }


class _Error(Exception):
    """An answer other than success, with the headers by which the Hub says what is wrong."""

    def __init__(self, status: int, code: str | None = None, message: str = "", **headers: str):
        self.status, self.message = status, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if code:
            self.headers["X-Error-Code"] = code
        if message:
            self.headers["X-Error-Message"] = message


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *arguments) -> None:
        pass

    def do_HEAD(self) -> None:
        self._handle()

    do_GET = do_POST = do_PUT = do_HEAD

    def _handle(self) -> None:
        path = urlsplit(self.path).path
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            self.body = self._chunks()
        else:
            self.body = self.rfile.read(length)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None
        in_storage = path.startswith("/storage/")
        asked = self.hub.storage_requests if in_storage else self.hub.requests
        asked.append((self.command, path, token))
        try:
            if self.hub.status is not None:
                raise _Error(self.hub.status, message="out of order")
            if in_storage:
                assert self.headers["Host"].startswith("localhost:")
                return self._storage(path.removeprefix("/storage/"))
            self.user = TOKENS.get(token)
            if token and self.user is None:
                raise _Error(401, message="Invalid credentials in Authorization header")
            self._route(path)
        except _Error as error:
            self._json({"error": error.message}, error.status, error.headers)

    def _route(self, path: str) -> None:
        name = r"([\w.-]+/[\w.-]+)"
        routes = [
            ("POST", r"/api/repos/create", self._create),
            ("POST", r"/api/validate-yaml", self._validate),
            ("POST", rf"/api/models/{name}/preupload/([^/]+)", self._preupload),
            ("POST", rf"/api/models/{name}/commit/([^/]+)", self._commit),
            ("POST", rf"/{name}\.git/info/lfs/objects/batch", self._batch),
            ("POST", rf"/{name}\.git/info/lfs/objects/verify", self._verify),
            ("GET", rf"/api/models/{name}(?:/revision/([^/]+))?", self._info),
            ("HEAD|GET", rf"/{name}/resolve/([^/]+)/(.+)", self._resolve),
            ("HEAD|GET", rf"/api/resolve-cache/models/{name}/([^/]+)/(.+)", self._cached),
        ]
        for method, form, answer in routes:
            match = re.fullmatch(form, path)
            if match and self.command in method.split("|"):
                return answer(*map(unquote, filter(None, match.groups())))
        raise _Error(404, message=f"no such route: {self.command} {path}")

    # --- who may do what --------------------------------------------------------------------------

    def _readable(self, name: str, content: bool = False) -> Repository:
        """A repository; those that are hidden look as if they did not exist, as on the Hub."""
        repository = self.hub.repositories.get(name)
        hidden = repository is None or (repository.private and self.user != "owner")
        if hidden and self.user is None:
            raise _Error(401, "RepoNotFound", "Invalid username or password.")
        if hidden:
            raise _Error(404, "RepoNotFound", "Repository not found")
        if content and repository.gated and self.user not in ("owner", "granted"):
            raise _Error(401 if self.user is None else 403, "GatedRepo", "Access is restricted")
        return repository

    def _writable(self, name: str) -> Repository:
        repository = self._readable(name)
        if self.user != "owner":
            raise _Error(403, message="you don't have the right to write here")
        return repository

    # --- uploads ----------------------------------------------------------------------------------

    def _create(self) -> None:
        asked = json.loads(self.body)
        if self.user is None:
            raise _Error(401, message="Invalid username or password.")
        if asked["organization"] not in (None, self.user):
            raise _Error(403, message="You don't have the rights to create a model here")
        name = f"{self.user}/{asked['name']}"
        answer = {"url": f"{self.hub.url}/{name}", "name": name}
        if name in self.hub.repositories:
            return self._json({**answer, "error": "You already created this model repo"}, 409)
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=private)
        self._json(answer)

    def _validate(self) -> None:
        content = json.loads(self.body)["content"]
        block = re.match(r"---\r?\n(.*?)\r?\n---", content, re.DOTALL)
        problems = card_problems(yaml.safe_load(block[1]) if block else {})
        errors = [{"message": problem} for problem in problems]
        self._json({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _preupload(self, name: str, revision: str) -> None:
        self._writable(name)
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(".pth") else "regular",
                "shouldIgnore": False,
            }
            for file in json.loads(self.body)["files"]
        ]
        self._json({"files": files})

    def _batch(self, name: str) -> None:
        self._writable(name)
        asked = json.loads(self.body)
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        found = []
        for wanted in asked["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.storage_url}/{wanted['oid']}"},
                "verify": {"href": f"{self.hub.url}/{name}.git/info/lfs/objects/verify"},
            }
            known = wanted["oid"] in self.hub.objects
            found.append({**wanted, **({} if known else {"actions": actions})})
        self._json({"transfer": "basic", "objects": found})

    def _verify(self, name: str) -> None:
        self._writable(name)
        asked = json.loads(self.body)
        if len(self.hub.objects.get(asked["oid"], b"")) != asked["size"]:
            raise _Error(422, message="the object was not uploaded")
        self._json({})

    def _commit(self, name: str, revision: str) -> None:
        repository = self._writable(name)
        assert revision == "main"
        header, *operations = map(json.loads, self.body.splitlines())
        assert header["key"] == "header" and header["value"]["summary"]
        files = {}
        for operation in operations:
            value = operation["value"]
            if operation["key"] == "file":
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert operation["key"] == "lfsFile"
                files[value["path"]] = self.hub.objects[value["oid"]]
        commit = repository.commit(files)
        self._json(
            {
                "success": True,
                "commitOid": commit,
                "commitUrl": f"{self.hub.url}/{name}/commit/{commit}",
            }
        )

    # --- downloads --------------------------------------------------------------------------------

    def _info(self, name: str, revision: str = "main") -> None:
        repository = self._readable(name)
        commit = repository.resolve(revision)
        if commit is None:
            raise _Error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        self._json(
            {
                "id": name,
                "modelId": name,
                "sha": commit,
                "private": repository.private,
                "gated": "auto" if repository.gated else False,
                "siblings": [{"rfilename": path} for path in repository.files(revision)],
                "tags": [],
            }
        )

    def _resolve(self, name: str, revision: str, path: str) -> None:
        """Where a file is: in the storage, or behind a relative redirect."""
        repository = self._readable(name, content=True)
        commit = repository.resolve(revision)
        if commit is None:
            raise _Error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        content = repository.files(revision).get(path)
        if content is None:
            raise _Error(404, "EntryNotFound", "Entry not found", X_Repo_Commit=commit)
        if not path.endswith(".pth"):
            location = f"/api/resolve-cache/models/{name}/{commit}/{path}"
            return self._answer(307, b"", {"Location": location, "X-Repo-Commit": commit})
        oid = hashlib.sha256(content).hexdigest()
        self.hub.objects.setdefault(oid, content)
        headers = {
            "Location": f"{self.hub.storage_url}/{oid}",
            "X-Repo-Commit": commit,
            "X-Linked-ETag": f'"{oid}"',
            "X-Linked-Size": str(len(content)),
        }
        self._answer(302, b"", headers)

    def _cached(self, name: str, commit: str, path: str) -> None:
        content = self._readable(name, content=True).files(commit)[path]
        headers = {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": commit}
        self._answer(200, content, headers)

    def _storage(self, oid: str) -> None:
        if self.command == "PUT":
            if hashlib.sha256(self.body).hexdigest() != oid:
                raise _Error(400, message="another SHA-256 than announced")
            self.hub.objects[oid] = self.body
            return self._answer(200, b"", {})
        self._answer(200, self.hub.objects[oid], {"ETag": f'"{oid}"'})

    # --- answers ----------------------------------------------------------------------------------

    def _json(self, value, status: int = 200, headers: dict | None = None) -> None:
        headers = {"Content-Type": "application/json", **(headers or {})}
        self._answer(status, json.dumps(value).encode(), headers)

    def _answer(self, status: int, content: bytes, headers: dict) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _chunks(self) -> bytes:
        """The body of a request of unknown length."""
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


def card_problems(block) -> list[str]:
    """What the Hub would refuse in a card's metadata."""
    if not isinstance(block, dict):
        return ["the metadata is no mapping"]
    problems = []
    if block.get("license", "unknown") not in LICENCES:
        problems.append(f'"license" must be one of {sorted(LICENCES)}')
    if block.get("license") == "other" and not block.get("license_name"):
        problems.append('"license_name" is required where "license" is other')
    for name in ("tags", "datasets", "metrics"):
        if not all(isinstance(item, str) for item in block.get(name) or []):
            problems.append(f'"{name}" must be a list of texts')
    for index in block.get("model-index") or []:
        for result in index["results"]:
            if not {"task", "dataset", "metrics"} <= set(result):
                problems.append('"model-index" needs task, dataset and metrics')
            elif not {"type", "name"} <= set(result["dataset"]) or "type" not in result["task"]:
                problems.append('"model-index" needs the type and name of a dataset')
            elif not all({"type", "value"} <= set(metric) for metric in result["metrics"]):
                problems.append('"model-index" needs the type and value of a metric')
    return problems
