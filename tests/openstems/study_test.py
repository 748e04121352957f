"""Studies: trials on a small data set, as a user runs them."""

import json
import subprocess

import numpy as np
import soundfile

from ..tiny_musdb import make_tiny_musdb, validation_names
from ..warm_python import python
from .conftest import RECIPE

KINDS = ("sinsy", "kokoro")


def make_songs(root, n_songs):
    """Write a data set with the facts that a study reads, and alternating voices."""
    make_tiny_musdb(root, train=n_songs, valid=1, test=0, seconds=7)
    (root / "validation_tracks.txt").write_text("\n".join(validation_names(1)))
    (root / "infos.json").write_text(json.dumps({"dataset": "tiny", "licenses": []}))
    for number, folder in enumerate(sorted((root / "train").iterdir())):
        voice = {"voice": {"kind": KINDS[number % 2]}}
        song = {"name": folder.name, "vocals": voice}
        (folder / "song.json").write_text(json.dumps(song))


def study(root, exp, *arguments):
    command = [python(), RECIPE / "study.py", *arguments, "--root", root, "--exp", exp]
    command += ["--minutes", 0.02, "--set", "energy.track=false", "data.workers=0"]
    command += ["data.samples_per_epoch=4", "data.segment=0.5"]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)


def test_the_study_of_voices_trains_on_one_kind(tmp_path):
    root, exp = tmp_path / "data", tmp_path / "studies"
    make_songs(root, 10)
    run = study(root, exp, "voices", "--trials", "kokoro")
    assert run.returncode == 0, run.stdout + run.stderr
    derived = exp / "voices" / "data_kokoro" / "train"
    loud = {
        folder.name: bool(np.any(soundfile.read(folder / "vocals.wav")[0]))
        for folder in derived.iterdir()
    }
    kinds = {
        folder.name: json.loads((folder / "song.json").read_text())["vocals"]["voice"]["kind"]
        for folder in (root / "train").iterdir()
    }
    (held_out,) = validation_names(1)
    assert loud == {name: kind == "kokoro" or name == held_out for name, kind in kinds.items()}
    for stem in ("drums", "mixture"):
        for folder in derived.iterdir():
            assert (folder / f"{stem}.wav").samefile(root / "train" / folder.name / f"{stem}.wav")
    table = (exp / "voices.md").read_text()
    assert "kokoro" in table and "scaled_mixture" in table


def test_unknown_trials_are_refused_by_name(tmp_path):
    run = study(tmp_path, tmp_path / "studies", "settings", "--trials", "tack")
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1
    assert "'tack'" in run.stderr and "tac, features_40" in run.stderr


def test_a_missing_data_set_is_named(tmp_path):
    run = study(tmp_path / "nowhere", tmp_path / "studies", "voices")
    assert run.returncode == 2 and len(run.stderr.splitlines()) == 1
    assert "nowhere" in run.stderr and "build the data set first" in run.stderr
