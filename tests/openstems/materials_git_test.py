"""Materials of git, from local repositories, and the user's copies of them."""

import shutil
import subprocess
from dataclasses import replace
from types import MappingProxyType

import pytest

from openstems.errors import UserError
from openstems.materials import CATALOGUE, available, clients, fetch

from .materials_test import needs, only, unpack_by_hand

NAME = "karoryfer.swagbass"
pytestmark = needs("git")


def git(folder, *arguments):
    """Run git in a folder and return its output."""
    person = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    command = ["git", "-C", str(folder), *person, "-c", "commit.gpgsign=false", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Make a repository with notes, a licence, and a large unused file."""
    folder = tmp_path / "origin"
    (folder / "notes").mkdir(parents=True)
    git(folder, "init", "--quiet")
    # Hosts of repositories allow filters; without them git fetches all files.
    git(folder, "config", "uploadpack.allowFilter", "true")
    (folder / "notes" / "a1_f_rr1.wav").write_bytes(b"a\r\nb\n")
    (folder / "LICENSE").write_text("CC0")
    (folder / "readme.txt").write_text("notes")
    (folder / "unwanted.bin").write_bytes(bytes(range(256)) * 4000)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "notes")
    return folder


@pytest.fixture
def declare(repository, monkeypatch):
    """Put the repository into the catalogue in place of the real one, and return its commit."""

    def declare(version=None):
        commit = git(repository, "rev-parse", "HEAD")
        entry = replace(CATALOGUE[NAME], package=repository.as_uri(), version=version or commit)
        changed = MappingProxyType({**CATALOGUE, NAME: entry})
        monkeypatch.setattr(available, "CATALOGUE", changed)
        return commit

    return declare


@pytest.mark.parametrize("digits", [8, 40])
def test_used_files_of_a_commit_are_fetched(repository, declare, tmp_path, digits):
    commit = git(repository, "rev-parse", "HEAD")
    (repository / "notes" / "a1_f_rr1.wav").write_bytes(b"a later version")
    git(repository, "commit", "--quiet", "-am", "later")
    declare(version=commit[:digits])
    said = []
    wanted = only(tmp_path / "m", NAME)
    assert [material.name for material in wanted.missing()] == [NAME]
    fetch.fetch(wanted, said.append)
    path = wanted.path(NAME)
    found = {p.relative_to(path).as_posix() for p in path.rglob("*") if p.is_file()}
    assert found == {"notes/a1_f_rr1.wav", "LICENSE", "readme.txt", available.STAMP}
    assert (path / "notes" / "a1_f_rr1.wav").read_bytes() == b"a\r\nb\n"
    assert wanted.version(NAME) == commit
    stamp = available.read_stamp(path)
    assert stamp["package"] == repository.as_uri()
    assert [p.name for p in wanted.licence_files(NAME)] == ["LICENSE", "readme.txt"]
    assert [p.name for p in (tmp_path / "m").iterdir()] == [NAME]
    assert "(150 MB by git, CC0-1.0)" in said[0]
    # A later commit in the catalogue counts as missing.
    declare(version=git(repository, "rev-parse", "HEAD"))
    assert wanted.missing()


def test_only_used_files_are_transferred(declare, tmp_path):
    declare()
    work, unpacked = tmp_path / "work", tmp_path / "work" / "unpacked"
    unpacked.mkdir(parents=True)
    clients.git(available.CATALOGUE[NAME], work, unpacked, lambda line: None)
    size = sum(p.stat().st_size for p in (work / "repository" / ".git").rglob("*") if p.is_file())
    assert size < 100_000 and not (unpacked / "unwanted.bin").exists()


@pytest.mark.parametrize(
    ("version", "words"), [("0" * 40, "not our ref"), ("00000000", "Needed a single revision")]
)
def test_a_missing_commit_is_named(declare, tmp_path, version, words):
    declare(version=version)
    with pytest.raises(UserError, match=f"{NAME}: git could not get file:.*{words}") as caught:
        fetch.fetch(only(tmp_path / "m", NAME), lambda line: None)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "m").iterdir()) == []


def test_a_missing_repository_is_named(declare, repository, tmp_path):
    declare()
    shutil.rmtree(repository)
    with pytest.raises(UserError, match="git could not get file:.*--without karoryfer.swagbass"):
        fetch.fetch(only(tmp_path / "m", NAME), lambda line: None)


def test_a_local_copy_replaces_the_download(tmp_path, monkeypatch):
    copies = tmp_path / "copies"
    copies.mkdir()
    wanted = only(tmp_path / "m", NAME, recordings=copies)
    assert wanted.missing()  # the folder exists without the material
    unpack_by_hand(copies, NAME)
    assert wanted.missing() == ()
    assert wanted.path(NAME) == copies / NAME and wanted.version(NAME) == "local copy"
    monkeypatch.setenv("OPENSTEMS_RECORDINGS", str(copies))
    assert only(tmp_path / "m", NAME).path(NAME) == copies / NAME
    # Copies are only used for materials of git.
    unpack_by_hand(copies, "mma")
    assert only(tmp_path / "m", "mma").missing()
