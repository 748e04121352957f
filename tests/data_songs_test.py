"""Lists of songs, and parts of songs: what they say and what is refused."""

import json

import pytest

from asteroid_bsrnn.data import read_songs
from asteroid_bsrnn.data.filtering import adding_up_to
from asteroid_bsrnn.data.songs import parse_part, parse_parts, read_record, song_folder
from asteroid_bsrnn.errors import UserError

from .tiny_songs import SOURCES, noise, teacher, write_parts, write_song

ACCOMPANIMENT = "bass+drums+other"


@pytest.fixture
def folder(tmp_path):
    for title in ("a", "b", "c"):
        write_song(tmp_path / "songs", title, noise(0.1, ord(title)))
    return tmp_path


def read(folder, text, name="songs.yml"):
    (folder / name).write_text(text)
    return read_songs(folder / name, SOURCES)


def test_nothing_is_known_of_a_folder(folder):
    songs = read_songs(folder / "songs", SOURCES)
    assert [song.title for song in songs] == ["a", "b", "c"]
    assert all(song.known_parts(SOURCES) == {} and song.licence is None for song in songs)


def test_a_list_says_what_is_known(folder):
    songs = read(
        folder,
        """
        - {path: songs/a.flac, licence: CC-BY-3.0, author: Someone, title: First}
        - {path: songs/b.flac, vocals: silent}
        - stems: {other+drums+bass: songs/c.flac}
          vocals: silent
        """,
    )
    assert songs[0].facts() == {
        "title": "First", "licence": "CC-BY-3.0", "author": "Someone", "link": None
    }  # fmt: skip
    assert songs[0].known_parts(SOURCES) == {}
    assert songs[1].known_parts(SOURCES) == {ACCOMPANIMENT: folder / "songs" / "b.flac"}
    assert songs[1].silent == songs[2].silent == ("vocals",)
    assert songs[2].known_parts(SOURCES) == {ACCOMPANIMENT: folder / "songs" / "c.flac"}
    assert songs[2].title == "songs"


def test_an_entry_may_be_a_folder_and_a_list_json(folder):
    entries = [{"path": "songs", "licence": "CC0-1.0", "vocals": "silent"}]
    songs = read(folder, json.dumps(entries), "songs.json")
    assert [song.title for song in songs] == ["a", "b", "c"]
    assert {song.licence for song in songs} == {"CC0-1.0"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not valid YAML"),
        ("{path: songs/a.flac}", "must be a list"),
        ("[]", "must be a list"),
        ("- songs/a.flac", "entry 1: must have a 'path' or 'stems'"),
        ("- {licence: CC0}", "either a 'path' or 'stems'"),
        ("- {path: songs/a.flac, stems: {vocals: songs/b.flac}}", "either a 'path' or 'stems'"),
        ("- {path: songs/a.flac, license: CC0}", "unknown key 'license'; valid: .*licence"),
        ("- {path: songs/a.flac, vocals: loud}", "vocals can only be 'silent', got 'loud'"),
        ("- {path: songs/d.flac}", "d.flac: No such file"),
        ("- {path: songs/a.flac}\n- {path: songs/a.flac}", "a.flac is named twice"),
        ("- {path: songs/a.flac}\n- {path: songs}", "a.flac is named twice"),
        ("- {stems: {}}", "stems must name files"),
        ("- {stems: {vocal: songs/a.flac}}", "entry 1: part 'vocal': unknown source 'vocal'"),
        ("- {stems: {bass: songs/a.flac, bass+drums: songs/b.flac}}", "'bass' is in two parts"),
        ("- {stems: {vocals: songs/a.flac}, vocals: silent}", "'vocals' is in two parts"),
        (
            "- {path: songs/a.flac, vocals: silent, bass: silent, drums: silent, other: silent}",
            "all sources are silent",
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_named(folder, text, words):
    with pytest.raises(UserError, match=words):
        read(folder, text)


def test_missing_lists_are_named(folder):
    with pytest.raises(UserError, match="none.yml: cannot be read"):
        read_songs(folder / "none.yml", SOURCES)


def test_parts_are_sums_of_sources():
    assert parse_part("other+bass", SOURCES) == ("bass", "other")
    with pytest.raises(UserError, match="'bass' comes twice"):
        parse_part("bass+bass", SOURCES)
    two = parse_parts(["vocals", ACCOMPANIMENT], SOURCES)
    four = parse_parts(SOURCES, SOURCES)
    assert [adding_up_to(part, four) for part in two] == [[0], [1, 2, 3]]
    assert [adding_up_to(part, two) for part in four] == [[0], None, None, None]


def test_a_song_counts_as_separated_only_with_all_its_files(folder):
    song = read_songs(folder / "songs", SOURCES)[0]
    checksum = song.checksum()
    place = write_parts(folder / "teacher", song, {"vocals": noise(0.1, 1)}, teacher())
    assert place == song_folder(folder / "teacher", song, checksum)
    assert read_record(place, checksum)["teacher"]["label"] == "teacher"
    assert read_record(place, "another song") is None
    content = (place / "vocals.flac").read_bytes()
    (place / "vocals.flac").write_bytes(content[:-1])
    assert read_record(place, checksum) is None
    (place / "vocals.flac").write_bytes(content)
    text = (place / "record.json").read_text()
    for damaged in (text[:-1], "[]", text.replace('"frames"', '"frame"')):
        (place / "record.json").write_text(damaged)
        assert read_record(place, checksum) is None
    (place / "record.json").write_text(text.replace('"version": 1', '"version": 2'))
    with pytest.raises(UserError, match="version 2, but this package reads 1"):
        read_record(place, checksum)
