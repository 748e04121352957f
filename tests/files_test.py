"""Files that are written whole or not at all."""

from __future__ import annotations

import json

import pytest

from asteroid_bsrnn.files import remove_unfinished, whole_file, write_json, write_text


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
