"""The filter of estimates on constructed signals, and the selection's figures."""

import json

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.data import (
    Filter,
    describe_selection,
    read_selection,
    selection_table,
)
from asteroid_bsrnn.data.filtering import together
from asteroid_bsrnn.data.selection import licences, windows_together
from asteroid_bsrnn.errors import UserError

from .tiny_songs import RATE, SOURCES, make_selection, noise, teacher, write_parts, write_song

ACCOMPANIMENT = "bass+drums+other"


def decisions(selection, number=0):
    """From the name of each part to its decisions, window by window."""
    found = {}
    for name, part in selection["songs"][number]["parts"].items():
        windows = {w: decision for decision, ws in part["decisions"].items() for w in ws}
        found[name] = [windows[window] for window in sorted(windows)]
    return found


def select_parts(tmp_path, *estimates, **settings):
    """The selection of one song with these teachers' estimates."""
    song = write_song(tmp_path / "songs", "song", noise(0.1, 1))
    names = [f"teacher{number}" for number in range(len(estimates))]
    for name, parts in zip(names, estimates, strict=True):
        write_parts(tmp_path / name, song, parts, teacher(name))
    return make_selection(tmp_path, [song], names, **settings)


def windows(*levels, seed=0):
    """A second of noise of each level."""
    return np.concatenate([noise(1, seed, n, level=level) for n, level in enumerate(levels)])


def test_silence_leakage_and_whole_mixtures(tmp_path):
    parts = {
        # Both loud; no vocals at all; leakage; vocals alone; silence.
        "vocals": windows(0.1, 0, 0.005, 0.1, 0, seed=1),
        ACCOMPANIMENT: windows(0.1, 0.1, 0.1, 0.005, 0.0005, seed=2),
    }
    selection = select_parts(tmp_path, parts)
    assert decisions(selection) == {
        "vocals": ["used", "silent", "quiet", "whole", "silent"],
        ACCOMPANIMENT: ["used", "whole", "whole", "quiet", "silent"],
    }
    assert list(windows_together(selection["songs"][0])) == [0]
    # -26 dB of the mixture is enough for another setting, and -66 dB of full scale.
    selection = select_parts(tmp_path / "more", parts, share=-30.0, level=-70.0)
    assert decisions(selection)["vocals"] == ["used", "silent", "used", "used", "silent"]
    assert decisions(selection)[ACCOMPANIMENT] == ["used", "whole", "used", "used", "whole"]
    assert selection["filter"]["share"] == -30


def test_teachers_that_disagree(tmp_path):
    voice, rest = windows(0.1, 0.1, seed=1), windows(0.1, 0.1, seed=2)
    error = windows(0.01, 0.1, seed=3)
    first = {"vocals": voice, ACCOMPANIMENT: rest}
    other = {"vocals": voice + error, ACCOMPANIMENT: rest - error}
    selection = select_parts(tmp_path, first, other)
    assert decisions(selection) == dict.fromkeys(first, ["used", "disagreement"])
    # 20 dB and 0 dB.
    agreement = selection["songs"][0]["parts"]["vocals"]["agreement"]
    assert agreement == pytest.approx(10, abs=0.2)
    assert list(windows_together(selection["songs"][0])) == [0]
    selection = select_parts(tmp_path / "more", first, other, agreement=-5.0)
    assert decisions(selection) == dict.fromkeys(first, ["used", "used"])
    # A third teacher has a say too, and one that is silent there disagrees.
    silent = {"vocals": 0 * voice, ACCOMPANIMENT: voice + rest}
    selection = select_parts(tmp_path / "third", first, first, silent)
    assert decisions(selection)["vocals"] == ["disagreement", "disagreement"]
    selection = select_parts(tmp_path / "turned", silent, first)
    assert decisions(selection)["vocals"] == ["disagreement", "disagreement"]


def test_another_teacher_tells_solos_from_failures(tmp_path):
    solo = {"vocals": windows(0.1, 0.1, seed=1), ACCOMPANIMENT: windows(0.003, 0.003, seed=2)}
    failed = dict(zip(solo, reversed(solo.values()), strict=True))
    assert decisions(select_parts(tmp_path / "one", solo))["vocals"] == ["whole", "whole"]
    selection = select_parts(tmp_path / "two", solo, solo)
    assert decisions(selection) == {"vocals": ["used"] * 2, ACCOMPANIMENT: ["quiet"] * 2}
    assert list(windows_together(selection["songs"][0])) == [0, 1]
    selection = select_parts(tmp_path / "other", solo, failed)
    assert decisions(selection) == dict.fromkeys(solo, ["disagreement"] * 2)


def test_teachers_of_other_parts_are_compared_where_they_can_be(tmp_path):
    four = {name: windows(0.1, 0.1, seed=n) for n, name in enumerate(SOURCES)}
    rest = four["bass"] + four["drums"] + four["other"]
    two = {"vocals": windows(0.1, 0.1, seed=9), ACCOMPANIMENT: rest}
    selection = select_parts(tmp_path, four, two)
    found = decisions(selection)
    assert found["vocals"] == ["disagreement", "disagreement"]
    assert found["bass"] == found["drums"] == found["other"] == ["used", "used"]
    assert selection["songs"][0]["parts"]["bass"]["agreement"] is None
    selection = select_parts(tmp_path / "turned", two, four)
    assert decisions(selection)[ACCOMPANIMENT] == ["used", "used"]
    assert [entry["label"] for entry in selection["teachers"]] == ["teacher0", "teacher1"]


def test_what_the_teachers_disagree_on_is_learnt_as_a_sum():
    used, unsure = "used", "disagreement"
    assert together({"vocals": used, "bass": "quiet"}) == [["vocals"], ["bass"]]
    groups = together({"vocals": used, "bass": unsure, "drums": used, "other": unsure})
    assert groups == [["vocals"], ["drums"], ["bass", "other"]]
    assert together({"vocals": unsure, "bass": unsure}) is None
    assert together({"vocals": "whole", "bass": "quiet"}) is None
    assert together({"vocals": "silent", "bass": "silent"}) is None


def test_known_parts_are_used_wherever_they_sound(tmp_path):
    path = tmp_path / "songs"
    instrumental = write_song(path, "instrumental", noise(0.1, 1), silent=("vocals",))
    write_parts(tmp_path / "known", instrumental, {ACCOMPANIMENT: windows(0.1, 0, 0.002)})
    phrase = write_song(path, "phrase", noise(0.1, 2))
    phrase = type(phrase)("phrase", stems={"vocals": phrase.path})
    write_parts(tmp_path / "known", phrase, {"vocals": windows(0.1, 0.1)})
    selection = make_selection(tmp_path, [instrumental, phrase], teachers=())
    assert decisions(selection, 0) == {ACCOMPANIMENT: ["used", "silent", "used"]}
    assert decisions(selection, 1) == {"vocals": ["used", "used"]}
    assert [song["complete"] for song in selection["songs"]] == [True, False]
    assert selection["teachers"] == []
    assert selection["summary"]["as_songs"] == pytest.approx(2 / 3600)


def test_a_selection_says_how_much_is_used_and_why_the_rest_is_not(tmp_path):
    notice = {"title": "what the teacher learnt from", "license": "academic use only"}
    songs = []
    for number, (licence, rate, channels) in enumerate(
        [("CC0-1.0", RATE, 2), ("CC-BY-NC-4.0", RATE, 1), (None, RATE // 2, 2), (None, RATE, 3)]
    ):
        samples = noise(4.5, number, rate=rate, channels=channels)
        song = write_song(tmp_path / "songs", f"song{number}", samples, rate, licence=licence)
        songs.append(song)
        parts = {"vocals": samples, ACCOMPANIMENT: samples[::-1].copy()}
        parts["vocals"][: 2 * rate] = 0
        write_parts(tmp_path / "teacher", song, parts, teacher(licenses=[notice]), rate)
    selection = make_selection(tmp_path, songs)
    summary = selection["summary"]
    assert (summary["songs"], summary["songs_used"]) == (4, 2)
    assert summary["hours"] == pytest.approx(4 * 4.5 / 3600)
    # The last half second is no window; two of four windows have vocals.
    assert summary["parts"]["vocals"] == pytest.approx({"silent": 4 / 3600, "used": 4 / 3600})
    assert summary["hours_used"] == summary["as_songs"] == pytest.approx(4 / 3600)
    assert summary["licences"] == pytest.approx({"CC-BY-NC-4.0": 4.5 / 3600, "CC0-1.0": 4.5 / 3600})
    assert [song["left_out"] for song in selection["songs"]] == [
        None, None, "sample rate", "channels"
    ]  # fmt: skip
    text = selection_table(selection)
    assert "songs: 4, of which used: 2" in text and "songs left out for their channels: 1" in text
    row = next(line.split() for line in text.splitlines() if line.startswith("vocals"))
    assert row == ["vocals", "0.00", "50", "%", "50", "%", "0", "%", "0", "%", "0", "%"]
    path = tmp_path / "selection.json"
    path.write_text(json.dumps(selection))
    assert read_selection(path) == selection
    described = describe_selection(selection)
    assert described["licences"] == summary["licences"]
    assert described["teachers"][0]["label"] == "teacher"
    assert len(described["selection_sha256"]) == 64
    notices = licences(selection)
    assert [(n["title"], n["license"]) for n in notices] == [
        ("song0", "CC0-1.0"),
        ("song1", "CC-BY-NC-4.0"),
        ("estimates of the model teacher", "licence not stated"),
        (notice["title"], notice["license"]),
    ]
    assert [n.get("non_commercial") for n in notices] == [False, True, False, None]


def test_songs_that_are_not_separated_or_there_twice_are_named(tmp_path):
    song = write_song(tmp_path / "songs", "song", noise(1, 1))
    with pytest.raises(UserError, match="song.flac: not separated yet"):
        make_selection(tmp_path, [song])
    place = write_parts(tmp_path / "teacher", song, {"vocals": noise(1, 1)}, teacher())
    (tmp_path / "songs" / "copy").mkdir()
    copy = tmp_path / "songs" / "copy" / "song.flac"
    copy.write_bytes(song.path.read_bytes())
    with pytest.raises(UserError, match="copy/song.flac: the same recording as .*songs/song.flac"):
        make_selection(tmp_path, [song, type(song)("song", copy)])
    # A file of the right size that is damaged inside.
    path = place / "vocals.flac"
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    with pytest.raises(UserError, match="vocals.flac: damaged"):
        make_selection(tmp_path, [song])


def test_parts_of_different_lengths_are_refused(tmp_path):
    song = write_song(tmp_path / "songs", "song", noise(1, 1))
    parts = {"vocals": noise(2, 1), ACCOMPANIMENT: noise(2, 2)}
    place = write_parts(tmp_path / "teacher", song, parts, teacher())
    record = json.loads((place / "record.json").read_text())
    soundfile.write(place / "vocals.flac", noise(1, 1), RATE)
    record["parts"]["vocals"]["bytes"] = (place / "vocals.flac").stat().st_size
    (place / "record.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match="differ in length"):
        make_selection(tmp_path, [song])


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not valid JSON"), ("[]", "its format is not"), ("{}", "its format is not")],
)
def test_files_that_are_no_selection_are_refused(tmp_path, text, words):
    path = tmp_path / "selection.json"
    with pytest.raises(UserError, match="cannot be read"):
        read_selection(path)
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read_selection(path)
    path.write_text(json.dumps({"format": "asteroid-bsrnn selection", "version": 2}))
    with pytest.raises(UserError, match="version 2"):
        read_selection(path)


@pytest.mark.parametrize(
    "settings",
    [
        {"window": 0},
        {"window": 61},
        {"level": 0},
        {"share": 3},
        {"sample_rate": 0},
        {"channels": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        Filter(**settings)
