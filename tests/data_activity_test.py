"""Source activity: the paper's rule, any length and rate, and the cache."""

import doctest
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asteroid_bsrnn import files
from asteroid_bsrnn.data import (
    active_segments,
    active_segments_of_file,
    activity,
    detect_activity,
    find_tracks,
)
from asteroid_bsrnn.errors import UserError

from .tiny_musdb import make_tiny_musdb

GOLDEN = json.loads((Path(__file__).parent / "parity" / "sad.json").read_text())
RATE = 8000


def golden_signal(sample_rate):
    envelope = np.repeat(GOLDEN["envelope_per_second"], sample_rate)
    phases = np.outer(GOLDEN["frequencies_hz"], np.arange(len(envelope))) / sample_rate
    return envelope * np.sin(2 * np.pi * phases)


def swelling_tone(seconds, channels=2, sample_rate=RATE):
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    tone = (0.1 + 0.01 * time) * np.sin(2 * np.pi * 440 * time)
    return np.tile(tone.astype(np.float32), (channels, 1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_signal(dtype):
    signal = golden_signal(GOLDEN["sample_rate"]).astype(dtype)
    starts = GOLDEN["salient_start_samples"]
    assert active_segments(signal) == starts
    assert active_segments(torch.from_numpy(signal), sample_rate=44100) == starts


@pytest.mark.parametrize("sample_rate", [11025, 22050, 48000])
def test_other_rates_find_the_same_seconds(sample_rate):
    starts = active_segments(golden_signal(sample_rate).astype(np.float32), sample_rate)
    expected = [start / GOLDEN["sample_rate"] for start in GOLDEN["salient_start_samples"]]
    assert [start / sample_rate for start in starts] == expected


def test_a_file_is_as_its_samples(tmp_path):
    signal = golden_signal(GOLDEN["sample_rate"])[:, :-1000]
    path = tmp_path / "stem.wav"
    soundfile.write(path, signal.T, GOLDEN["sample_rate"], subtype="FLOAT")
    assert active_segments_of_file(path) == GOLDEN["salient_start_samples"]


def test_every_channel_must_be_active():
    signal = swelling_tone(12)
    assert active_segments(signal, RATE) == [0, 3 * RATE, 6 * RATE]
    signal[1, : 8 * RATE] = 0
    assert active_segments(signal, RATE) == [6 * RATE]
    assert active_segments(signal[0], RATE) == [0, 3 * RATE, 6 * RATE]


def test_more_than_half_the_chunks_must_sound():
    signal = swelling_tone(6)
    chunk = 6 * RATE // 10
    signal[:, 6 * chunk :] = 0
    assert active_segments(signal, RATE) == [0]
    signal[:, 5 * chunk :] = 0
    assert active_segments(signal, RATE) == []


def test_the_least_level():
    noise = np.random.default_rng(0).normal(0, 1, (2, 6 * RATE))
    assert active_segments(0.0011 * noise, RATE) == [0]
    assert active_segments(0.0009 * noise, RATE) == []


@pytest.mark.parametrize("seconds, starts", [(2, [0]), (6, [0]), (8.9, [0]), (9, [0, 3 * RATE])])
def test_short_signals(seconds, starts):
    assert active_segments(swelling_tone(seconds), RATE) == starts


def test_silent_and_tiny_signals_are_not_active(tmp_path):
    assert active_segments(np.zeros((2, 20 * RATE)), RATE) == []
    assert active_segments(np.ones((2, 9)), RATE) == []
    assert active_segments(np.ones((2, 0)), RATE) == []
    soundfile.write(tmp_path / "tiny.wav", np.ones((9, 2)), RATE)
    assert active_segments_of_file(tmp_path / "tiny.wav") == []


def test_what_is_no_signal_is_refused(tmp_path):
    with pytest.raises(UserError, match="int16"):
        active_segments(np.ones((2, 100), np.int16))
    with pytest.raises(UserError, match=r"\(1, 2, 100\)"):
        active_segments(torch.ones(1, 2, 100))
    with pytest.raises(UserError, match="NaN"):
        active_segments(np.full((1, 100), np.nan))
    bad = tmp_path / "bad.wav"
    bad.write_text("no audio")
    with pytest.raises(UserError, match="bad.wav"):
        active_segments_of_file(bad)
    soundfile.write(bad, np.full((100, 2), np.nan), RATE, subtype="FLOAT")
    with pytest.raises(UserError, match="bad.wav.*NaN"):
        active_segments_of_file(bad)


def test_a_file_cut_short_is_named(tmp_path):
    path = tmp_path / "stem.flac"
    soundfile.write(path, np.random.default_rng(0).uniform(-1, 1, (7 * RATE, 2)), RATE)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="stem.flac"):
        active_segments_of_file(path)


def test_the_example_in_the_documentation():
    results = doctest.testmod(activity, extraglobs={"torch": torch})
    assert results.attempted and not results.failed


@pytest.fixture
def tiny(tmp_path):
    root = make_tiny_musdb(tmp_path / "tiny", valid=0, test=0, seconds=10, sample_rate=RATE)
    return root, find_tracks(root)


def read_stems(root, tracks, **options):
    """What `detect_activity` finds, and the stems that it read for it."""
    done = []
    found = detect_activity(root, tracks, progress=lambda *counts: done.append(counts), **options)
    return found, done


def test_the_cache_holds_until_a_file_changes(tiny):
    root, tracks = tiny
    found, done = read_stems(root, tracks, workers=3)
    assert found == {path: active_segments_of_file(path) for t in tracks for path in t.stems()}
    assert all(found.values())
    assert done == [(i, 8) for i in range(1, 9)]
    assert read_stems(root, tracks) == (found, [])
    assert sorted(path.name for path in root.iterdir()) == ["activity.json", "train"]

    changed = tracks[0].path("bass")
    soundfile.write(changed, np.zeros((10 * RATE, 2)), RATE, subtype="PCM_16")
    os.utime(changed, ns=(1, 1))
    assert read_stems(root, tracks) == ({**found, changed: []}, [(8, 8)])


def test_the_cache_moves_with_the_data(tiny, tmp_path):
    root, tracks = tiny
    detect_activity(root, tracks)
    moved = root.rename(tmp_path / "moved")
    assert read_stems(moved, find_tracks(moved))[1] == []


def test_a_part_of_the_data_keeps_the_rest_of_the_cache(tiny):
    root, tracks = tiny
    detect_activity(root, tracks[:1])
    assert len(read_stems(root, tracks[1:])[1]) == 4
    assert read_stems(root, tracks)[1] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: text.replace('"quantile": 0.15', '"quantile": 0.2'),
        lambda text: text.replace('"starts": [', '"starts": ["x", '),
        lambda text: json.dumps({**json.loads(text), "files": 3}),
    ],
)
def test_a_damaged_cache_is_made_anew(tiny, damage):
    root, tracks = tiny
    found = detect_activity(root, tracks)
    cache = root / "activity.json"
    text = cache.read_text()
    cache.write_text(damage(text))
    again, done = read_stems(root, tracks)
    assert again == found and len(done) == 8
    assert cache.read_text() == text


def test_another_folder_for_the_cache(tiny, tmp_path):
    root, tracks = tiny
    folder = tmp_path / "some" / "caches"
    found, _ = read_stems(root, tracks, cache_folder=folder)
    assert read_stems(root, tracks, cache_folder=folder) == (found, [])
    assert [path.name for path in folder.iterdir()] == ["tiny-activity.json"]
    assert not (root / "activity.json").exists()


def test_a_folder_that_cannot_be_written_is_refused_before_reading(tiny, tmp_path):
    root, tracks = tiny
    (tmp_path / "file").write_text("")
    done = []
    with pytest.raises(UserError, match="cache_folder"):
        detect_activity(
            root, tracks, cache_folder=tmp_path / "file", progress=lambda *c: done.append(c)
        )
    assert done == []


def test_what_was_found_before_an_error_is_kept(tiny):
    root, tracks = tiny
    tracks[1].path("other").write_bytes(b"broken")
    with pytest.raises(UserError, match="other.wav"):
        detect_activity(root, tracks)
    known = json.loads((root / "activity.json").read_text())["files"]
    assert len(known) == 7
    assert known["train/Train 1/bass.wav"]["size"] == tracks[0].path("bass").stat().st_size


def test_no_half_written_cache_is_left(tiny, monkeypatch):
    root, tracks = tiny
    detect_activity(root, tracks)
    before = (root / "activity.json").read_bytes()
    os.utime(tracks[0].path("bass"), ns=(1, 1))

    def full_disk(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full_disk)
    with pytest.raises(UserError, match="No space left"):
        detect_activity(root, tracks)
    assert (root / "activity.json").read_bytes() == before
    assert sorted(path.name for path in root.iterdir()) == ["activity.json", "train"]
