"""Trainings that fail, are interrupted, killed, or resumed with other settings."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn.costs import ledger

from . import processes
from .recipe_run_test import FOLDER, SMALL, assert_equal, latest
from .tiny_musdb import make_tiny_musdb, validation_names

PARTS = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "batches")
CHANGES = [
    "data.samples_per_epoch=8",
    "data.workers=0",
    "training.max_epochs=3",
    "training.checkpoint_minutes=1e-9",
    "energy.track=false",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    make_tiny_musdb(root / "data", train=2, valid=1, test=1, seconds=1.5)
    (root / "valid.txt").write_text("\n".join(validation_names(1)))
    return root


def arguments(tiny, folder, *changes):
    """Arguments of `train.py`; later changes win."""
    command = ["--root", tiny / "data", "--row", "bsrnn", "--source", "vocals"]
    command += ["--exp_dir", folder, "--accelerator", "cpu", "--set", *SMALL]
    command += ["data.segment=0.5", "data.activity_detection=false"]
    command += [f"data.validation_tracks={tiny / 'valid.txt'}", *CHANGES, *changes]
    return list(map(str, command))


@pytest.fixture(scope="module")
def recipe_train():
    """`train.py` with one thread, as a function of its arguments: exit code and stderr."""
    sys.path.insert(0, str(FOLDER))
    import train

    return train


def train(tiny, folder, *changes):
    """Run `train.py` to its end."""
    command = [sys.executable, "train.py", *arguments(tiny, folder, *changes)]
    process = processes.start(command, Path(f"{folder}.log"), FOLDER)
    return process.wait(timeout=200), Path(f"{folder}.log").read_text()


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, output = train(tiny, folder)
    assert code == 0, output
    return folder


def assert_same_run(folder, expected):
    """The same to the last bit, with nothing left behind."""
    one, two = latest(folder)[1], latest(expected)[1]
    for part in PARTS:
        assert_equal(one[part], two[part], part)
    names = [sorted(path.name for path in f.glob("checkpoints/*")) for f in (folder, expected)]
    assert names[0] == names[1]
    assert [path.name for path in folder.rglob(".*")] == []
    best = [torch.load(f / "best_model.pth", weights_only=True) for f in (folder, expected)]
    assert_equal(best[0]["state_dict"], best[1]["state_dict"])
    records = [ledger.read(f) for f in (folder, expected)]
    assert records[0]["best"] == records[1]["best"]
    assert records[0]["totals"]["epochs"] == records[1]["totals"]["epochs"]
    assert records[0]["sessions"][-1]["state"] == "finished"


def kill(tiny, folder, seed, kills):
    """How the processes ended."""
    harness = [sys.executable, Path(__file__).with_name("killing.py"), seed, kills]
    run = subprocess.run(
        [*map(str, harness), *arguments(tiny, folder)],
        cwd=FOLDER,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    ends = json.loads(run.stdout.splitlines()[-1])
    assert ends[-1][1] == 0, run.stderr
    assert all(code == -signal.SIGKILL for _, code in ends[:-1]), (ends, run.stderr)
    return ends


def test_a_run_killed_several_times_is_the_whole_one(tiny, whole, tmp_path):
    ends = kill(tiny, tmp_path / "run", seed=2, kills=4)
    assert len(ends) > 3, ends
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.slow
def test_runs_killed_at_twenty_moments_are_the_whole_one(tiny, whole, tmp_path):
    kills, seed, seen = 0, 100, set()
    while kills < 20:
        folder = tmp_path / str(seed)
        ends = kill(tiny, folder, seed=seed, kills=8)
        assert_same_run(folder, whole)
        kills, seed = kills + len(ends) - 1, seed + 1
        seen |= {moment[1] for moment, _ in ends if moment}
    assert seen >= {"latest-", "ledger", "best_model"}, seen
