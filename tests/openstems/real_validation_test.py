"""The validation set of real recordings, made of small synthetic recordings, and its figures."""

import json
import subprocess

import numpy as np
import pytest
import soundfile

from openstems.errors import UserError
from openstems.materials import CLIENTS, Materials
from openstems.music import RATE
from openstems.real import songs
from openstems.real.scores import (
    COLUMNS,
    FALSE_VOCALS,
    MEAN,
    STEMS,
    Figures,
    differences_table,
    obstacles,
)
from openstems.voices.phrases import sets

from ..warm_python import python
from .conftest import RECIPE
from .recorded_test import recordings  # noqa: F401
from .whole_songs_test import unpack_by_hand

SECONDS = 3


def noise(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(seed).standard_normal((SECONDS * RATE, 2))
    soundfile.write(path, samples, RATE)
    return path


@pytest.fixture(scope="module")
def parts(recordings, tmp_path_factory):  # noqa: F811
    """Make copies of all recordings, of a few seconds each."""
    for number in range(3):
        name = f"ETV Phrase - 00{number} - 136 BPM - A Minor.wav"
        noise(recordings / "producer-space-vocals" / "etv_am_136_phrase" / name, number)
    for number, stem in enumerate(("vocals", "drums", "rest")):
        noise(recordings / "everythingisfree" / "caesium" / f"{stem}.ogg", number)
    root = tmp_path_factory.mktemp("materials")
    unpack_by_hand(root, "fretsonfire-songs-sectoid")
    guitars = root / "fretsonfire-songs-sectoid" / "usr/share/games/fretsonfire/data/songs"
    noise(guitars / "sectoid" / "Metal madness" / "guitar.ogg", 3)
    return Materials(clients=CLIENTS, directory=root, recordings=recordings)


@pytest.fixture
def some_songs(parts, tmp_path):
    """Return a song of each group except the teacher's."""
    piece = {"path": str(noise(tmp_path / "piece.ogg", 4)), "title": "apt: piece"}
    piece |= {"licence": "CC-BY-3.0", "author": "someone", "link": "apt 1", "vocals": "silent"}
    collections = [one for one in sets("valid", parts) if len(one.paths) == 3]
    return [
        *songs.multitracks(parts),
        songs.band(0, collections, parts),
        songs.with_phrases(0, piece, collections),
        songs.without_vocals(piece),
    ]


def test_songs_have_origins_and_do_not_clip(some_songs, tmp_path):
    root = tmp_path / "set"
    manifest = songs.write_set(root, iter(some_songs), lambda line: None)
    assert json.loads((root / songs.MANIFEST).read_text()) == manifest
    assert [song["group"] for song in manifest["songs"]] == [song.group for song in some_songs]
    for entry in manifest["songs"]:
        folder = root / entry["group"] / entry["name"]
        stems = {path.stem: soundfile.read(path)[0] for path in folder.iterdir()}
        assert set(stems) == set(entry["stems"])
        assert len({len(stem) for stem in stems.values()}) == 1
        assert 0.02 < np.abs(sum(stems.values())).max() < 1
        for name, origin in entry["stems"].items():
            silent = origin["material"] == "silence"
            assert silent == (not stems[name].any()) and (silent or origin["licence"])
    with pytest.raises(UserError, match="exists already"):
        songs.write_set(root, iter(some_songs), lambda line: None)


def test_songs_are_reproducible(parts, some_songs):
    collections = [one for one in sets("valid", parts) if len(one.paths) == 3]
    (band,) = [song for song in some_songs if song.group == "bands"]
    again = songs.band(0, collections, parts)
    other = songs.band(1, collections, parts)
    assert set(band.stems) == {"vocals", "bass", "drums", "other"}
    for name, sound in band.stems.items():
        assert np.array_equal(sound.samples, again.stems[name].samples)
    assert not np.array_equal(band.stems["bass"].samples, other.stems["bass"].samples)


def test_multitracks_need_a_copy(tmp_path):
    parts = Materials(clients=("git",), recordings=tmp_path)
    with pytest.raises(UserError, match="everythingisfree"):
        next(songs.multitracks(parts))


def test_a_model_is_measured_and_compared(some_songs, tmp_path):
    root, output = tmp_path / "set", tmp_path / "out"
    teacher = songs.RealSong("teacher", "song", some_songs[2].stems)
    songs.write_set(root, iter([*some_songs, teacher]), lambda line: None)
    command = [python(), RECIPE / "real_validation.py", "evaluate", "small", "again=small"]
    command += ["--root", root, "--output", output, "--device", "cpu", "--against", "small"]
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert (output / "table.md").read_text() == run.stdout
    scores = json.loads((output / "scores.json").read_text())["models"]["small"]
    counts = {column: sum(score is not None for score in scores[column]) for column in COLUMNS}
    assert counts == {
        **{"vocals": 4, "drums": 2, "bass": 1, "other": 1, "bass+other": 1},
        **{"bass+drums+other": 2, MEAN: 4, FALSE_VOCALS: 1},
    }
    assert "May `again` replace `small`? no (mean: +0.00 dB, p = 1)." in run.stdout
    unknown = subprocess.run([*map(str, command), "--against", "x"], capture_output=True, text=True)
    assert unknown.returncode == 2 and unknown.stderr.count("\n") == 1


def figures(label, mean, worse=None, by=0.0):
    """Return figures `mean` dB above the scaled mixture on eight songs, except in one column."""
    spread = np.linspace(-0.01, 0.01, 8)
    scores = dict.fromkeys((*STEMS, MEAN), mean + spread)
    scores[FALSE_VOCALS] = spread - 10 - mean
    if worse:
        scores[worse] = scores[worse] + by
    return Figures(label, [("phrases", str(number)) for number in range(8)], scores)


@pytest.mark.parametrize(
    ("challenger", "problems"),
    [
        (figures("new", 2.0), []),
        (figures("new", 1.0), [MEAN]),
        (figures("new", 2.0, "bass", -1.5), ["bass"]),
        (figures("new", 2.0, FALSE_VOCALS, 1.5), [FALSE_VOCALS]),
        (figures("new", 2.0, "bass", -1.05), ["bass"]),  # slightly lower in every song
    ],
)
def test_the_rule_requires_a_better_mean_and_no_worse_stem(challenger, problems):
    found = obstacles(challenger, figures("old", 1.0))
    assert [line.partition(":")[0] for line in found] == problems
    assert "| `new` - `old` |" in differences_table([challenger], figures("old", 1.0))
