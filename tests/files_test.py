"""Listing folders, and files that are written whole or not at all."""

from __future__ import annotations

import json
import os

import pytest

from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.files import (
    list_files,
    list_folders,
    remove_unfinished,
    whole_file,
    write_json,
    write_text,
)

LEFT_BEHIND = (
    "._vocals.wav", ".DS_Store", ".Trash-0/vocals.wav", "__MACOSX/song/._vocals.wav",
    "@eaDir/vocals.wav", "Thumbs.db", "desktop.ini", "#recycle/vocals.wav", "lost+found/a.wav",
    "$RECYCLE.BIN/a.wav", "System Volume Information/a.wav", "Icon\r",
)  # fmt: skip


def make_files(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def listed(root, *args, **options):
    return [str(path.relative_to(root)) for path in list_files(root, *args, **options)]


def test_hidden_files_and_what_systems_leave_are_not_listed(tmp_path):
    root = make_files(tmp_path / ".music", "b.WAV", "a.wav", "s/c.flac", *LEFT_BEHIND)
    make_files(root, *(f"s/{name}" for name in LEFT_BEHIND))
    assert listed(root) == ["a.wav", "b.WAV"]
    assert listed(root, recursive=True) == ["a.wav", "b.WAV", "s/c.flac"]
    assert listed(root, [".wav"], recursive=True) == ["a.wav", "b.WAV"]
    assert list_folders(root) == [root / "s"]


def test_links_are_followed_once_each(tmp_path):
    root = make_files(tmp_path / "music", "own/a.wav", "z/b.wav")
    outside = make_files(tmp_path / "outside", "c.wav", "deeper/d.wav")
    make_files(tmp_path, "next to it.wav")
    links = {"a link": root / "own", "l1": outside, "l2": outside, "own/up": root, "z/over": ".."}
    for name, target in links.items():
        (root / name).symlink_to(target)
    (outside / "back").symlink_to(root)
    (outside / "all").symlink_to(tmp_path)
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "gone.wav").symlink_to("nowhere")
    expected = ["gone.wav", "l1/c.wav", "l1/deeper/d.wav", "own/a.wav", "z/b.wav"]
    assert listed(root, [".wav"], recursive=True) == expected
    assert [path.name for path in list_folders(root)] == ["a link", "l1", "l2", "own", "z"]
    back = ["back/gone.wav", "back/own/a.wav", "back/z/b.wav", "c.wav", "deeper/d.wav"]
    assert listed(root / "l1", [".wav"], recursive=True) == back


def test_folders_that_cannot_be_searched(tmp_path):
    file = make_files(tmp_path, "file") / "file"
    for function in (list_files, list_folders):
        for path in (tmp_path / "nowhere", file):
            with pytest.raises(UserError, match=f"{path}: .*; the folder cannot be searched"):
                function(path)
    if os.geteuid() == 0:
        return
    (tmp_path / "closed").mkdir(mode=0)
    with pytest.raises(UserError, match="closed: Permission denied"):
        list_files(tmp_path, recursive=True)


def test_a_file_gets_its_name_when_it_is_complete(tmp_path):
    path = tmp_path / "record.json"
    with whole_file(path) as unfinished:
        unfinished.write_text("new")
        assert not path.exists()
        assert unfinished.parent == tmp_path
        assert unfinished.name.startswith(".") and unfinished.suffix == ".json"
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
    assert path.read_text() == "new"


def test_an_error_leaves_the_former_file(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("former")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as unfinished:
        unfinished.write_text("half")
        raise KeyboardInterrupt
    assert [file.name for file in tmp_path.iterdir()] == ["record.json"]
    assert path.read_text() == "former"


def test_two_writers_of_one_file(tmp_path):
    path = tmp_path / "record.txt"
    with whole_file(path) as first, whole_file(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


def test_the_longest_name_that_the_file_system_takes(tmp_path):
    path = tmp_path / f"{'é' * 125}.json"
    write_text(path, "text")
    assert path.read_text() == "text"


def test_json_keeps_order_and_letters(tmp_path):
    value = {"voix": "é", "b": [1, 2.5, None], "a": {}}
    write_json(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value and list(json.loads(text)) == list(value)
    assert "é" in text and text.endswith("}\n")


def test_what_killed_writers_left_is_removed(tmp_path):
    path = tmp_path / "ledger.json"
    with whole_file(path) as unfinished:
        unfinished.write_text("whole")
        killed = [unfinished.name, unfinished.name.replace("ledger", "other")]
    others = [".ledger.json", ".ledger.damaged-1.json", "ledger.00000000.json"]
    for name in [*killed, *others]:
        (tmp_path / name).touch()
    remove_unfinished(path)
    assert {file.name for file in tmp_path.iterdir()} == {"ledger.json", killed[1], *others}
    assert path.read_text() == "whole"
