"""The list of whole songs, from materials as apt unpacks them."""

import json
import zipfile

import pytest

from openstems.errors import UserError
from openstems.materials import CATALOGUE, clients, find
from openstems.whole_songs import entries, write_list

from .conftest import generate
from .materials_test import needs, only, unpack_by_hand

NAMES = ("marsshooter-data", "ufoai-music", "performous")


@pytest.fixture
def songs(tmp_path):
    """Make materials with a file for each pattern."""
    for name in NAMES:
        unpack_by_hand(tmp_path, name)
    return only(tmp_path, *NAMES, kinds=("songs",))


def test_every_song_comes_with_its_licence(songs, tmp_path):
    found = {entry["title"]: entry for entry in entries(songs)}
    metal = found["marsshooter-data: menu"]
    assert metal["licence"] == "CC-BY-SA-3.0" and metal["author"] == "Obsidian Shell"
    assert metal["link"] == "marsshooter-data unknown (apt)" and "vocals" not in metal
    assert found["ufoai-music: Davidx"]["licence"] == "CC-BY-3.0"
    assert found["ufoai-music: Psymongx"]["licence"] == "GPL-2.0"
    assert all(e["vocals"] == "silent" for title, e in found.items() if title.startswith("ufoai"))
    choir = found["performous: practice"]
    assert [choir[name] for name in ("drums", "bass", "other")] == ["silent"] * 3
    items = [item for name in NAMES for item in find(name).items]
    assert len(found) == sum(item.split == "train" for item in items)
    held_out = {entry["title"] for entry in entries(songs, "valid")}
    assert len(held_out) == sum(item.split == "valid" for item in items) > 0
    assert not held_out & set(found)


def test_the_list_does_not_overwrite_other_files(songs, tmp_path):
    path = tmp_path / "songs.json"
    n_songs = write_list(path, songs)
    assert len(json.loads(path.read_text())) == n_songs
    assert write_list(path, songs) == n_songs
    path.write_text("mine")
    with pytest.raises(UserError, match="other contents"):
        write_list(path, songs)
    assert path.read_text() == "mine"
    with pytest.raises(UserError, match="cannot be written"):
        write_list(tmp_path, songs)


def test_archives_in_packages_are_unpacked(tmp_path):
    material = find("nexuiz-music")
    archive = tmp_path / material.archives[0]
    archive.parent.mkdir(parents=True)
    with pytest.raises(UserError, match="music.pk3 cannot be unpacked"):
        clients.unpack_archives(material, tmp_path)
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("sound/cdtracks/a.ogg", b"x")
        content.writestr("../outside", b"x")
    clients.unpack_archives(material, tmp_path)
    assert [path.name for path in material.items[0].found(tmp_path)] == ["a.ogg"]
    assert not archive.exists() and not (archive.parent / "outside").exists()


@needs("apt-get")
@pytest.mark.slow
def test_the_command_downloads_and_lists_songs(tmp_path):
    others = [name for name in CATALOGUE if name != "zaz-data"]
    arguments = ["--materials", tmp_path / "m", "--without", *others]
    run = generate("songs", tmp_path / "songs.json", *arguments)
    assert run.returncode == 0, run.stderr
    assert len(json.loads((tmp_path / "songs.json").read_text())) == 4
