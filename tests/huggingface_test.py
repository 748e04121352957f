"""Weights on the Hugging Face Hub, from a server here that answers as the Hub does.

`huggingface_hub` reads its environment when it is imported, so what is tested runs in processes of
their own.
"""

from __future__ import annotations

import json
import pickle
import subprocess
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn.weights import checkpoint, hub
from asteroid_bsrnn.weights.cache import sha256_of

from .hub_server import Repository, environment, serve
from .models_test import build
from .sounds import RATE, noise, refused, write
from .tiny_musdb import make_tiny_musdb
from .warm_python import python

CARD = "---\nlicense: mit\ntags:\n- asteroid\n---\n\n# Title\n\nText.\n"
# Does what it reads from stdin, a list of [function of `hub` or `zoo`, arguments, options]. "token"
# changes the token, which the library reads at every call, and "limit" the largest size of files in
# bytes, a stand-in for a full disk that needs no rights.
SCRIPT = """
import json, os, resource, sys
from asteroid_bsrnn import UserError, zoo
from asteroid_bsrnn.weights import hub

answers = []
for function, arguments, options in json.load(sys.stdin):
    if function == "token":
        os.environ["HF_TOKEN"] = arguments[0]
        continue
    if function == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (arguments[0], arguments[0]))
        continue
    try:
        answer = getattr(zoo if function == "load" else hub, function)(*arguments, **options)
        if function == "load":
            answer = {key: value.tolist() for key, value in answer.state_dict().items()}
        answers.append({"value": answer if isinstance(answer, (str, dict)) else str(answer)})
    except UserError as error:
        answers.append({"error": str(error)})
json.dump(answers, sys.stdout)
"""


@pytest.fixture
def server():
    with serve() as found:
        yield found


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A small published file."""
    return checkpoint.save_model(build("all"), tmp_path_factory.mktemp("model") / "mine.pth")


@pytest.fixture
def with_weights(server, published):
    """The server, with the file in repositories that are public, private and gated."""
    for name, options in [("open", {}), ("hidden", {"private": True}), ("gated", {"gated": True})]:
        repository = Repository(**options)
        repository.commit({"README.md": b"first"})
        commit = repository.commit({"model.pth": published.read_bytes()})
        repository.tags["v1"] = commit
        server.repositories[f"owner/{name}"] = repository
    return server


def ask(server, home, *calls, **more) -> list[dict]:
    """What functions answer in a process of their own: for each a `value` or an `error`."""
    calls = [[function, arguments, {}] for function, *arguments in calls]
    for call in calls:
        if call[1] and isinstance(call[1][-1], dict):
            call[2] = call[1].pop()
    run = subprocess.run(
        [python(), "-c", SCRIPT],
        input=json.dumps(calls),
        env=environment(server, home, **more),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    answers = json.loads(run.stdout)
    for answer in answers:
        assert "\n" not in answer.get("error", "")
    return answers


def command_line(server, home, *arguments, **more):
    return subprocess.run(
        [python(), "-m", "asteroid_bsrnn", *map(str, arguments)],
        env=environment(server, home, **more),
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )


def assert_weights(answer, path) -> None:
    state = torch.load(path, weights_only=True)["state_dict"]
    assert answer["value"] == {key: value.tolist() for key, value in state.items()}


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hf:a/b", hub.Reference("a/b", None, "model.pth")),
        ("hf:a-1/b_2.0@main", hub.Reference("a-1/b_2.0", "main", "model.pth")),
        ("hf:a/b@refs/pr/3", hub.Reference("a/b", "refs/pr/3", "model.pth")),
        ("hf:a/b@try%2Fthis/x.pth", hub.Reference("a/b", "try/this", "x.pth")),
        ("hf:a/b/deep/er/x.pth", hub.Reference("a/b", None, "deep/er/x.pth")),
    ],
)
def test_references(name, expected):
    assert hub.is_reference(name)
    assert hub.parse(name) == expected


@pytest.mark.parametrize(
    "name", ["hf:", "hf:b", "hf:a/", "hf://a/b", "hf:a/b@", "hf:a/b/", "hf:a b/c", "hf:a/b@x@y"]
)
def test_other_forms_are_refused(name):
    with refused(repr(name), "write hf:user/name"):
        hub.fetch(name)


def test_other_models_are_no_references(published):
    for name in ("small", str(published), "https://host/hf:a/b", "HF:a/b"):
        assert not hub.is_reference(name)


# --- download ------------------------------------------------------------------------------------


def test_load(with_weights, published, tmp_path):
    commit = with_weights.repositories["owner/open"].tags["v1"]
    names = [f"hf:owner/open{form}" for form in ("", "@v1", f"@{commit}", "/model.pth")]
    answers = ask(with_weights, tmp_path, ["fetch", names[0]], *(["load", name] for name in names))
    path = Path(answers.pop(0)["value"])
    assert path.is_relative_to(tmp_path) and path.name == "model.pth"
    assert path.read_bytes() == published.read_bytes()
    for answer in answers:
        assert_weights(answer, published)
    assert [request[0] for request in with_weights.storage_requests] == ["GET"], "once"


def test_a_private_repository_needs_its_owners_token(with_weights, published, tmp_path):
    calls = [["load", "hf:owner/hidden"], ["load", "hf:owner/none"], ["load", "hf:owner/gated"]]
    everyone = calls.copy()
    for token in ("hf_wrong", "hf_reader", "hf_owner"):
        everyone += [["token", token], *(calls[:1] if token == "hf_wrong" else calls)]
    answers = iter(ask(with_weights, tmp_path, *everyone))

    hidden, none, gated = (next(answers)["error"] for _ in calls)
    # The Hub doesn't tell whether there is such a repository.
    for message in (hidden, none):
        assert "no such repository" in message and "or a private one" in message
        assert "log in (hf auth login, or HF_TOKEN)" in message
    assert "access must be granted" in gated
    assert f"{with_weights.url}/owner/gated" in gated

    assert "does not accept the token" in next(answers)["error"]

    hidden, none, gated = (next(answers)["error"] for _ in calls)
    for message in (hidden, none):
        assert "no such repository" in message and "the token" in message
    assert "access must be granted" in gated

    hidden, none, gated = answers
    assert_weights(hidden, published)
    assert_weights(gated, published)
    assert "no such repository" in none["error"]
    assert {method for method, *_ in with_weights.storage_requests} == {"GET"}
    assert {token for *_, token in with_weights.storage_requests} == {None}, "never sent there"


def test_offline(with_weights, published, tmp_path):
    calls = [["load", "hf:owner/open"], ["load", "hf:owner/hidden"], ["load", "hf:owner/open@v1"]]
    before = ask(with_weights, tmp_path, *calls, HF_HUB_OFFLINE="1")
    assert with_weights.requests == []
    for answer in before:
        assert "offline (HF_HUB_OFFLINE is set) and not in the cache" in answer["error"]
    assert_weights(ask(with_weights, tmp_path, calls[0])[0], published)
    with_weights.requests.clear()
    open_, hidden, _ = ask(with_weights, tmp_path, *calls, HF_HUB_OFFLINE="1")
    assert_weights(open_, published)
    assert "not in the cache" in hidden["error"]
    assert with_weights.requests == with_weights.storage_requests[1:] == []


def test_what_is_cached_serves_while_the_hub_is_out_of_order(with_weights, published, tmp_path):
    calls = [["load", "hf:owner/open"]]
    ask(with_weights, tmp_path, *calls)
    with_weights.status = 501
    calls.append(["load", "hf:owner/hidden"])
    cached, missing = ask(with_weights, tmp_path, *calls)
    assert_weights(cached, published)
    assert "the Hub answers 501 (out of order)" in missing["error"]


@pytest.mark.slow
def test_no_connection(with_weights, tmp_path):
    (answer,) = ask(
        with_weights, tmp_path, ["load", "hf:owner/open"], HF_ENDPOINT="http://127.0.0.1:9"
    )
    assert "http://127.0.0.1:9 cannot be reached (" in answer["error"]


class Evil:
    def __reduce__(self):
        return (open, ("executed", "w"))


def test_what_is_not_there_and_what_is_no_model(with_weights, published, tmp_path):
    files = {
        "half.pth": published.read_bytes()[:-2000],
        "page.pth": b"<html>not weights</html>",
        "code.pth": pickle.dumps({"state_dict": Evil()}),
        "code.zip.pth": b"",
    }
    torch.save({"state_dict": Evil()}, tmp_path / "code.zip.pth")
    files["code.zip.pth"] = (tmp_path / "code.zip.pth").read_bytes()
    with_weights.repositories["owner/open"].commit(files)
    names = ["@v2", "/other.pth", *(f"/{name}" for name in files)]
    calls = [["load", f"hf:owner/open{name}"] for name in names]
    answers = [answer["error"] for answer in ask(with_weights, tmp_path, *calls)]
    assert answers[0].startswith("hf:owner/open@v2: no such revision")
    assert "the repository has no file 'other.pth'" in answers[1]
    for answer, name in zip(answers[2:], files, strict=True):
        assert name in answer and ("damaged" in answer or "could execute code" in answer)
    assert "could execute code" in answers[-1]
    assert not (tmp_path / "executed").exists()


def test_a_full_disk_and_an_unusable_cache_are_said(with_weights, tmp_path):
    calls = [["limit", 5000], ["load", "hf:owner/open"]]
    (full,) = ask(with_weights, tmp_path, *calls)
    (tmp_path / "file").write_text("no folder")
    (unusable,) = ask(with_weights, tmp_path, calls[1], HF_HUB_CACHE=str(tmp_path / "file"))
    assert f"cannot be stored at {tmp_path / 'hub'}" in full["error"]
    assert f"cannot be stored at {tmp_path / 'file'}" in unusable["error"]
    for answer in (full, unusable):
        assert "make room there or point HF_HOME elsewhere" in answer["error"]


# --- upload --------------------------------------------------------------------------------------


def test_publish_and_load_back(server, published, tmp_path):
    publish = ["publish", str(published), "owner/mine", CARD]
    first, load = ask(server, tmp_path, publish, ["load", "hf:owner/mine"], HF_TOKEN="hf_owner")
    assert_weights(load, published)
    repository = server.repositories["owner/mine"]
    (commit,) = repository.commits
    assert first["value"] == f"hf:owner/mine@{commit}"
    assert repository.commits[commit] == {
        "model.pth": published.read_bytes(),
        "README.md": CARD.encode(),
    }
    assert not repository.private
    assert {token for *_, token in server.storage_requests} == {None}
    # Another version: a commit on top, and the first one stays.
    other = checkpoint.save_model(build("lstm"), tmp_path / "other.pth")
    publish = ["publish", str(other), "hf:owner/mine", CARD + "More.\n"]
    calls = [publish, ["load", "hf:owner/mine"], ["load", first["value"]]]
    second, new, old = ask(server, tmp_path, *calls, HF_TOKEN="hf_owner")
    assert second["value"] != first["value"] and len(repository.commits) == 2
    assert_weights(new, other)
    assert_weights(old, published)


def test_private_uploads_stay_private(server, published, tmp_path):
    server.repositories["owner/open"] = Repository()
    private = {"private": True}
    calls = [
        ["publish", str(published), f"owner/{name}", CARD, private] for name in ("new", "open")
    ]
    new, open_ = ask(server, tmp_path, *calls, HF_TOKEN="hf_owner")
    assert new["value"].startswith("hf:owner/new@") and server.repositories["owner/new"].private
    assert "owner/open: this repository is public, nothing was uploaded" in open_["error"]
    assert server.repositories["owner/open"].commits == {}
    # Not said: the repository stays as it is.
    (again,) = ask(
        server,
        tmp_path,
        ["publish", str(published), "owner/new", "# no block"],
        HF_TOKEN="hf_owner",
    )
    assert "value" in again and server.repositories["owner/new"].private


def test_uploads_that_are_refused(server, published, tmp_path):
    (tmp_path / "page.pth").write_text("<html></html>")
    torch.save({"state_dict": Evil()}, tmp_path / "code.pth")
    for path in ("page.pth", "code.pth"):
        with refused(path):
            hub.publish(tmp_path / path, "owner/mine", CARD)
    for name in ("mine", "owner/mine@v1", "owner/mine/other.pth"):
        with refused(name, "write"):
            hub.publish(published, name, CARD)
    calls = [
        ["publish", str(published), "owner/mine", CARD.replace("mit", "my own")],
        ["publish", str(published), "owner/mine", "---\na: [\n---\n"],
        ["publish", str(published), "other/mine", CARD],
    ]
    calls = [["publish", str(published), "owner/mine", CARD], ["token", "hf_owner"], *calls]
    answers = [answer["error"] for answer in ask(server, tmp_path, *calls)]
    anonymous, licence, block, other = answers
    assert "log in" in anonymous
    assert "Invalid metadata in README.md" in licence and '"license" must be' in licence
    assert "the card's metadata are not valid" in block
    assert "the Hub refuses" in other
    (offline,) = ask(server, tmp_path, calls[0], HF_HUB_OFFLINE="1", HF_TOKEN="hf_owner")
    assert "HF_HUB_OFFLINE is set" in offline["error"] and "upload" in offline["error"]
    assert all(not repository.commits for repository in server.repositories.values())


# --- commands ------------------------------------------------------------------------------------


def test_separate(with_weights, tmp_path):
    write(tmp_path / "song.wav", noise(RATE // 10))
    run = command_line(with_weights, tmp_path, "separate", "song.wav", "--model", "hf:owner/open")
    assert run.returncode == 0, run.stderr
    stems = {path.name for path in (tmp_path / "separated" / "song").iterdir()}
    assert stems == {"a.wav", "b.wav"}
    run = command_line(with_weights, tmp_path, "separate", "song.wav", "--model", "hf:owner/hidden")
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1 and "hf:owner/hidden: no such repository" in run.stderr


def test_evaluate(with_weights, published, tmp_path):
    data = make_tiny_musdb(
        tmp_path / "data", train=0, valid=0, test=1, seconds=1.2, sources=("a", "b")
    )
    models = ["hf:owner/open", "named=hf:owner/open@v1"]
    arguments = ["evaluate", *models, "--root", data, "--output", "out", "--device", "cpu"]
    run = command_line(with_weights, tmp_path, *arguments)
    assert run.returncode == 0, run.stderr
    folders = {path.name.rpartition("-")[0]: path for path in (tmp_path / "out").iterdir()}
    assert set(folders) == {"open", "named"}
    for label, name in zip(("open", "named"), ("hf:owner/open", "hf:owner/open@v1"), strict=True):
        model = json.loads((folders[label] / "final_metrics.json").read_text())["model"]
        assert (model["name"], model["path"]) == (name, None)
        assert model["sha256"] == sha256_of(published)
