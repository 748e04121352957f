"""Trainings that fail, are interrupted, killed, or resumed with other settings."""

import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import zoo
from asteroid_bsrnn.costs import ledger
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.engine.checkpoints import resumable
from asteroid_bsrnn.weights.find import best_checkpoint

from . import processes
from .recipe_run_test import FOLDER, SMALL, assert_equal, latest, recipe_main
from .tiny_musdb import make_tiny_recipe
from .warm_python import python

PARTS = ("epoch", "global_step", "state_dict", "optimizer_states", "lr_schedulers", "batches")
CHANGES = [
    "data.samples_per_epoch=8",
    "data.workers=0",
    "training.max_epochs=3",
    "training.accumulate=2",
    # As if every step took minutes; a batch between two steps must not be lost.
    "training.checkpoint_minutes=1e-9",
    "energy.track=false",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    return make_tiny_recipe(root, train=2, valid=1, test=1, seconds=1.5)


def arguments(tiny, folder, *changes):
    """Arguments of `train.py`; later changes win."""
    command = ["--root", tiny / "data", "--row", "bsrnn", "--source", "vocals"]
    command += ["--exp_dir", folder, "--accelerator", "cpu", "--set", *SMALL]
    command += ["data.segment=0.5", "data.activity_detection=false"]
    command += [f"data.validation_tracks={tiny / 'valid.txt'}", *CHANGES, *changes]
    return list(map(str, command))


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory):
    """A run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    code, output = recipe_main(*arguments(tiny, folder))
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


def test_a_run_killed_several_times_is_the_whole_one(tiny, whole, tmp_path):
    folder = tmp_path / "run"
    command = arguments(tiny, folder, "data.workers=1")
    ends = processes.kill("train", 2, 4, folder, *command, cwd=FOLDER)
    assert len(ends) > 3, ends
    assert_same_run(folder, whole)
    states = [session["state"] for session in ledger.read(folder)["sessions"]]
    assert len(states) > 1 and set(states[:-1]) == {"interrupted"}


def test_a_damaged_checkpoint_falls_back_to_the_one_before(whole, tmp_path):
    folder = shutil.copytree(whole / "checkpoints", tmp_path / "checkpoints")
    names = sorted(path.name for path in folder.glob("latest-*"))
    assert names == ["latest-0001-end.ckpt", "latest-0002-end.ckpt"]
    path = folder / names[1]
    path.write_bytes(path.read_bytes()[:-1000])
    said = []
    assert resumable(folder, said.append).name == names[0]
    assert len(said) == 1 and path.name in said[0] and "damaged" in said[0]
    assert best_checkpoint(folder).name.startswith("best-")


@pytest.mark.slow
def test_runs_killed_at_twenty_moments_are_the_whole_one(tiny, whole, tmp_path):
    kills, seed, seen = 0, 100, set()
    while kills < 20 or not seen >= {"latest-", "ledger", "best_model"}:
        assert seed < 110, (kills, seen)
        folder = tmp_path / str(seed)
        ends = processes.kill("train", seed, 8, folder, *arguments(tiny, folder), cwd=FOLDER)
        assert_same_run(folder, whole)
        kills, seed = kills + len(ends) - 1, seed + 1
        seen |= {moment[1] for moment, _ in ends[:-1]}


def test_ctrl_c_leaves_the_best_weights(tiny, tmp_path):
    folder = tmp_path / "run"
    command = arguments(tiny, folder, "training.max_epochs=1000")
    log = Path(f"{folder}.log")
    process = processes.start([python(), "train.py", *command], log, FOLDER)
    deadline = time.monotonic() + 200
    while not (folder / "best_model.pth").exists():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    best = zoo.load(folder / "best_model.pth")
    assert best.sources == ("vocals",)
    # These are the weights of the best checkpoint.
    checkpoints = sorted(folder.glob("checkpoints/best-*.ckpt"))
    states = [torch.load(p, weights_only=True)["state_dict"] for p in checkpoints]
    name, weight = next(iter(best.state_dict().items()))
    assert any(torch.equal(state[f"model.{name}"], weight) for state in states)
    infos = zoo.checkpoint.load_dict(folder / "best_model.pth")["infos"]
    assert infos["training_config"]["training"]["max_epochs"] == 1000
    assert ledger.read(folder)["sessions"][-1]["state"] == "interrupted"


def test_what_would_train_nothing_is_refused_and_leaves_no_claim(tiny, tmp_path):
    folder = tmp_path / "run"
    empty = tmp_path / "none.txt"
    empty.write_text("\n")
    for changes, words in {
        ("data.samples_per_epoch=4", "training.batch_size=8"): (
            r"data.samples_per_epoch \(4\) is less than one batch \(training.batch_size 8 x 1"
        ),
        ("data.samples_per_epoch=0",): "data.samples_per_epoch must be 1 or more, got 0",
        ("training.max_epochs=0",): "training.max_epochs must be 1 or more, got 0",
        ("training.batch_size=-1",): "training.batch_size must be 1 or more, got -1",
        (f"data.validation_tracks={empty}",): "no tracks in the split valid",
        # These fail later, for other reasons.
        ("energy.track=true", "energy.country=France"): "unknown country 'France'",
        ("model.feature_dim=0",): "error: |Error",
    }.items():
        code, output = recipe_main(*arguments(tiny, folder, *changes))
        assert code != 0 and re.search(words, output), (changes, output)
        assert not (folder / "conf.yml").exists() and not (folder / "ledger.json").exists(), changes
        assert not list(folder.glob("checkpoints/*")), changes
    # The corrected command runs in the same folder.
    code, output = recipe_main(*arguments(tiny, folder, "training.max_epochs=1"))
    assert code == 0, output
    record = ledger.read(folder)
    assert (record["totals"]["epochs"], len(record["sessions"])) == (1, 1)
    # A folder that an older version claimed without training anything is free, too.
    for path in [*folder.glob("checkpoints/*"), folder / "ledger.json"]:
        path.unlink()
    code, output = recipe_main(*arguments(tiny, folder, "training.max_epochs=1", "optim.lr=0.01"))
    assert code == 0, output
    assert configuration.load(folder / "conf.yml")["optim"]["lr"] == 0.01


def test_settings_that_do_not_change_a_step_may_change(tiny, whole, tmp_path):
    folder = tmp_path / "run"
    short = ("training.max_epochs=2", "training.patience=1", "data.workers=1")
    code, output = recipe_main(*arguments(tiny, folder, *short))
    assert code == 0, output
    # In another place, with more epochs and patience, it becomes the whole run.
    moved = folder.rename(tmp_path / "moved")
    code, output = recipe_main(*arguments(tiny, moved))
    assert code == 0, output
    assert_same_run(moved, whole)
    changes = {change["key"]: change for change in ledger.read(moved)["sessions"][1]["changes"]}
    assert changes["training.max_epochs"] == {"key": "training.max_epochs", "old": 2, "new": 3}
    assert changes.keys() == {"training.max_epochs", "training.patience", "data.workers"}
    assert configuration.load(moved / "conf.yml")["training"]["max_epochs"] == 3

    # The names of the validation tracks count, not the file that lists them.
    other = tmp_path / "other.txt"
    other.write_text(f"\n{(tiny / 'valid.txt').read_text()}\n")
    code, output = recipe_main(*arguments(tiny, moved, f"data.validation_tracks={other}"))
    assert code == 0, output
    assert_same_run(moved, whole)
    other.write_text("Train 1\n")
    for listed in (other, tmp_path / "copy.txt"):
        listed.write_text("Train 1\n")
        code, output = recipe_main(*arguments(tiny, moved, f"data.validation_tracks={listed}"))
        assert code == 2 and "data.validation_tracks" in output.splitlines()[-1], output

    # All else is refused, each key with both values, and nothing is touched.
    other.write_text((tiny / "valid.txt").read_text())
    before = {path: path.stat().st_mtime_ns for path in moved.rglob("*") if path.is_file()}
    here = f"data.validation_tracks={other}"
    for change, words in {
        "optim.lr=0.5": "optim.lr was 0.001 and is now 0.5",
        "model.n_repeats=2": "model.n_repeats was 1 and is now 2",
        "training.seed=7": "training.seed was 1 and is now 7",
        "data.segment=0.6": "data.segment was 0.5 and is now 0.6",
        "scheduler.name=cosine": "scheduler.name was 'step' and is now 'cosine'",
    }.items():
        code, output = recipe_main(*arguments(tiny, moved, here, change, "data.workers=1"))
        assert code == 2 and words in output and "data.workers" not in output, output
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_patience_of_a_resumed_run_is_the_new_one(tiny, tmp_path):
    folder = tmp_path / "run"
    # Nothing improves at this learning rate; the first epoch stays the best.
    worse = ("optim.lr=1e-30", "training.max_epochs=9")
    for patience, epochs in ((1, 2), (1, 2), (3, 4)):
        code, output = recipe_main(
            *arguments(tiny, folder, *worse, f"training.patience={patience}")
        )
        assert code == 0, output
        assert ledger.read(folder)["totals"]["epochs"] == epochs, patience
        resumed = re.search(r"resuming from .*checkpoints/latest-\d+-end\.ckpt", output)
        assert bool(resumed) == (len(ledger.read(folder)["sessions"]) > 1), output


def test_the_learning_rate_falls_every_second_epoch(whole):
    (group,) = latest(whole)[1]["optimizer_states"][0]["param_groups"]
    # Four examples a step, and three epochs.
    assert group["lr"] == pytest.approx(0.001 * 4 / 16 * 0.98)


def test_fewer_epochs_than_are_done_are_refused(tiny, whole):
    code, output = recipe_main(*arguments(tiny, whole, "training.max_epochs=1"))
    assert code == 2 and "max_epochs" in output.splitlines()[-1], output
