"""The ledger: complete, added up over sessions, safe against kills and damage."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from asteroid_bsrnn.costs import environment
from asteroid_bsrnn.costs.energy import EnergyMeter, EnergyReading
from asteroid_bsrnn.costs.green_algorithms import estimate
from asteroid_bsrnn.costs.ledger import Ledger
from asteroid_bsrnn.costs.record import extrapolate, read
from asteroid_bsrnn.errors import UserError

from .warm_python import python

RUN = {
    "row": "bsrnn",
    "source": "vocals",
    "seed": 1,
    "n_parameters": 8020296,
    "configuration": {"optim": {"lr": 0.001}, "training": {"batch_size": 2, "seed": 1}},
    "data_fingerprint": "abc",
    "n_gpus": 0,
}


def reading(seconds, kwh, status="measured"):
    """Three quarters of the energy in the GPU."""
    return EnergyReading(status, None, seconds, kwh / 8, 3 * kwh / 4, kwh / 8, kwh / 20)


def test_a_record_is_complete_and_plain_json(tmp_path):
    ledger = Ledger(tmp_path / "new" / "run")
    ledger.open_session(**RUN, energy_settings={"country": "FRA", "pue": 1.5})
    ledger.update(epoch=0, steps=10, samples=20, best={"vocals": 5.5}, best_epoch=0)
    ledger.close(finished=True, energy=reading(60.0, 0.8))

    path = tmp_path / "new" / "run" / "ledger.json"
    record = json.loads(path.read_text())
    assert record == read(path) == read(path.parent) == ledger.record
    assert [file.name for file in path.parent.iterdir()] == ["ledger.json"]

    assert {key: record[key] for key in RUN if key != "n_gpus"} == {
        key: value for key, value in RUN.items() if key != "n_gpus"
    }
    assert len(record["configuration_sha256"]) == 64
    assert record["best"] == {"epoch": 0, "usdr": {"vocals": 5.5}}
    assert record["software"]["torch"] == torch.__version__
    assert record["software"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["software"].keys() >= {"pytorch_lightning", "asteroid", "codecarbon", "cudnn"}
    machine = record["hardware"]
    assert machine["cpu_model"] and machine["memory_gb"] > 0
    assert 1 <= machine["cpu_cores"] <= machine["cpu_threads"]
    assert record["code"]["version"]

    (session,) = record["sessions"]
    assert (session["state"], session["first_epoch"], session["last_epoch"]) == ("finished", 0, 0)
    assert session["start"] <= session["end"] and session["end"].endswith("+00:00")
    assert session["energy"]["kwh"] == pytest.approx(0.8)
    assert (session["energy"]["country"], session["energy"]["last_epoch"]) == ("FRA", 0)
    assert session["differs"] == {}
    hours = session["wall_seconds"] / 3600
    assert session["green_algorithms"] == estimate(hours, machine, n_gpus=0)
    assert session["peak_memory"]["rss_gb"] > 0.05

    totals = record["totals"]
    assert totals["hours"] == hours > 0
    assert totals["samples_per_second"] == 20 / session["wall_seconds"]
    assert (totals["kwh"], totals["gpu_kwh"]) == (pytest.approx(0.8), pytest.approx(0.6))
    assert totals["green_algorithms_kwh"] == session["green_algorithms"]["kwh"] > 0


def test_songs_without_stems_are_in_the_record(tmp_path):
    unlabelled = {"songs_used": 2, "hours": 0.1, "licences": {"CC0-1.0": 0.1}, "teachers": []}
    ledger = Ledger(tmp_path)
    ledger.open_session(**RUN, unlabelled=unlabelled)
    assert read(tmp_path)["unlabelled"] == unlabelled
    ledger.close(finished=False)
    # Other songs in a later session are noted there.
    ledger = Ledger(tmp_path)
    ledger.open_session(**RUN, unlabelled={**unlabelled, "songs_used": 3})
    record = read(tmp_path)
    assert record["unlabelled"] == unlabelled
    assert record["sessions"][1]["differs"]["unlabelled"]["songs_used"] == 3
    # Ledgers from before there were such songs have none.
    path = tmp_path / "ledger.json"
    del record["unlabelled"]
    path.write_text(json.dumps(record))
    assert read(path)["unlabelled"] is None


def test_the_hash_is_of_what_the_configuration_says(tmp_path):
    def sha256(name, configuration):
        ledger = Ledger(tmp_path / name)
        ledger.open_session(**{**RUN, "configuration": configuration})
        return ledger.record["configuration_sha256"]

    base = sha256("a", {"data": {"x": 1, "gain": [-10.0, 10.0]}, "model": {"preset": "bsrnn"}})
    same = {"model": {"preset": "bsrnn"}, "data": {"gain": (np.float64(-10), 10.0), "x": 1}}
    assert sha256("b", same) == base
    assert sha256("c", {**same, "model": {"preset": "obsrnn"}}) != base


def test_what_json_does_not_know_becomes_plain_or_is_refused(tmp_path):
    configuration = {
        "root": Path("/data"),
        "limit": float("inf"),
        "lr": torch.tensor(0.5),
        "names": {"b", "a"},
        2: None,
    }
    ledger = Ledger(tmp_path / "a")
    ledger.open_session(**{**RUN, "configuration": configuration})
    assert read(tmp_path / "a")["configuration"] == {
        "root": str(Path("/data")),
        "limit": "inf",
        "lr": 0.5,
        "names": ["a", "b"],
        "2": None,
    }
    with pytest.raises(UserError, match=r"configuration\.model\.act is a function"):
        Ledger(tmp_path / "b").open_session(
            **{**RUN, "configuration": {"model": {"act": lambda x: x}}}
        )
    assert not (tmp_path / "b").exists()


def test_sessions_add_up(tmp_path):
    first = Ledger(tmp_path)
    first.open_session(**RUN)
    first.update(epoch=2, steps=30, samples=60, energy=reading(100.0, 0.5), best={"vocals": 6.0})
    first.close(finished=False)

    # Epoch 2 is run a second time, as from an older checkpoint.
    second = Ledger(tmp_path)
    second.open_session(**RUN, first_epoch=2)
    second.update(epoch=4, steps=25, samples=50, energy=reading(90.0, 0.25))
    second.close(finished=True)

    record = read(tmp_path)
    assert [session["state"] for session in record["sessions"]] == ["interrupted", "finished"]
    totals = record["totals"]
    assert (totals["steps"], totals["samples"], totals["epochs"]) == (55, 110, 5)
    assert totals["energy_epochs"] == 5
    assert totals["kwh"] == pytest.approx(0.75)
    assert totals["cpu_kwh"] == pytest.approx(0.75 / 8)
    assert totals["emissions_kg"] == pytest.approx(0.75 / 20)
    seconds = sum(session["wall_seconds"] for session in record["sessions"])
    assert totals["hours"] == seconds / 3600
    estimates = [session["green_algorithms"]["kwh"] for session in record["sessions"]]
    assert totals["green_algorithms_kwh"] == sum(estimates)
    # The best so far is the run's, whichever session found it.
    assert record["best"]["usdr"] == {"vocals": 6.0}


KILLED = """
import sys, time
from asteroid_bsrnn.costs.energy import EnergyMeter
from asteroid_bsrnn.costs.ledger import Ledger

meter = EnergyMeter(force_cpu_power=100, force_ram_power=50).start()
ledger = Ledger(sys.argv[1])
ledger.open_session(
    row="bsrnn", source="vocals", seed=1, n_parameters=8020296, data_fingerprint="abc", n_gpus=0,
    configuration={"optim": {"lr": 0.001}, "training": {"batch_size": 2, "seed": 1}},
    energy_settings=meter.description(),
)
epoch = 0
while True:
    time.sleep(0.01)
    ledger.update(epoch=epoch, steps=10 * (epoch + 1), samples=20 * (epoch + 1),
                  energy=meter.snapshot(fresh=True), best={"vocals": epoch / 10})
    epoch += 1
"""


def test_a_killed_session_leaves_what_it_took(tmp_path):
    process = subprocess.Popen([python(), "-c", KILLED, str(tmp_path)])
    try:
        path = tmp_path / "ledger.json"
        seen, deadline = 0, time.monotonic() + 60
        # All the while it is being replaced, it can be read.
        while seen < 5 and process.poll() is None and time.monotonic() < deadline:
            if path.exists():
                seen = read(path)["totals"]["epochs"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    killed = read(path)
    epochs = killed["totals"]["epochs"]
    assert epochs >= 5
    assert killed["sessions"][0]["state"] == "running"
    assert killed["totals"]["kwh"] > 0

    with EnergyMeter(force_cpu_power=100, force_ram_power=50) as meter:
        ledger = Ledger(tmp_path)
        ledger.open_session(**RUN, first_epoch=epochs, energy_settings=meter.description())
        last = meter.snapshot(fresh=True)
        ledger.close(finished=True, epoch=epochs, steps=10, samples=20, energy=last)
    record = read(path)
    first, second = record["sessions"]
    assert (first["state"], second["state"]) == ("interrupted", "finished")
    # What the killed session took is as it was.
    assert {**first, "state": "running"} == killed["sessions"][0]
    totals = record["totals"]
    assert totals["epochs"] == totals["energy_epochs"] == epochs + 1
    assert totals["steps"] == 10 * epochs + 10
    assert totals["kwh"] == pytest.approx(killed["totals"]["kwh"] + last.kwh, rel=1e-12)
    assert totals["hours"] > killed["totals"]["hours"]
    assert record["best"] == killed["best"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[1, 2]",
        lambda text: text.replace('"wall_seconds"', '"wall_secs"'),
        lambda text: text.replace('"samples": 60', '"samples": "60"'),
    ],
)
def test_a_damaged_ledger_is_kept_aside(tmp_path, damage):
    ledger = Ledger(tmp_path)
    ledger.open_session(**RUN)
    ledger.close(finished=True, samples=60)
    path = tmp_path / "ledger.json"
    damaged = damage(path.read_text())
    path.write_text(damaged)
    with pytest.raises(UserError, match="ledger.json"):
        read(path)

    ledger = Ledger(tmp_path)
    with pytest.warns(UserWarning, match=r"kept as ledger\.damaged-1\.json"):
        ledger.open_session(**RUN)
    assert (tmp_path / "ledger.damaged-1.json").read_text() == damaged
    record = read(path)
    assert (record["replaces"], len(record["sessions"])) == ("ledger.damaged-1.json", 1)

    # The next one gets a name of its own.
    path.write_text("{")
    with pytest.warns(UserWarning, match=r"kept as ledger\.damaged-2\.json"):
        Ledger(tmp_path).open_session(**RUN)
    assert (tmp_path / "ledger.damaged-1.json").read_text() == damaged
    assert (tmp_path / "ledger.damaged-2.json").read_text() == "{"


def test_other_runs_and_newer_versions_are_not_touched(tmp_path):
    Ledger(tmp_path).open_session(**RUN)
    path = tmp_path / "ledger.json"
    before = path.read_text()
    for key, value in {"row": "obsrnn", "source": "bass", "seed": 2, "n_parameters": 1}.items():
        with pytest.raises(UserError, match=f"belongs to a run with {key} "):
            Ledger(tmp_path).open_session(**{**RUN, key: value})
    assert path.read_text() == before

    newer = before.replace('"version": 1,', '"version": 2,', 1)
    path.write_text(newer)
    with pytest.raises(UserError, match="version 2.*update asteroid-bsrnn"):
        Ledger(tmp_path).open_session(**RUN)
    assert path.read_text() == newer


def test_a_session_tells_what_changed_since_the_first(tmp_path):
    Ledger(tmp_path).open_session(**RUN)
    changed = {"optim": {"lr": 0.002}, "training": {"batch_size": 2, "seed": 1}}
    ledger = Ledger(tmp_path)
    ledger.open_session(**{**RUN, "configuration": changed})
    record = ledger.record
    assert record["configuration"] == RUN["configuration"]
    assert record["sessions"][0]["differs"] == {}
    differs = record["sessions"][1]["differs"]
    assert differs["configuration"] == changed
    assert differs.keys() == {"configuration", "configuration_sha256"}


def test_extrapolation_by_hand(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.open_session(**RUN)
    with pytest.raises(UserError, match="no epoch was completed"):
        ledger.extrapolate(200)
    ledger.update(epoch=3, steps=40, samples=80, energy=reading(100.0, 0.5))
    foretold = ledger.extrapolate(200)
    ledger.close(finished=True)
    record = read(tmp_path)
    assert record["extrapolated"] == foretold
    assert (foretold["epochs"], foretold["measured_epochs"]) == (200, 4)
    # 50 times as many epochs.
    assert (foretold["steps"], foretold["samples"]) == (2000, 4000)
    assert foretold["kwh"] == pytest.approx(25.0)
    assert foretold["gpu_kwh"] == pytest.approx(18.75)
    assert record["totals"]["kwh"] == pytest.approx(0.5)
    at_hand = extrapolate(record, 200)
    assert at_hand["hours"] == pytest.approx(50 * record["totals"]["hours"])
    kwh = record["totals"]["green_algorithms_kwh"]
    assert at_hand["green_algorithms_kwh"] == pytest.approx(50 * kwh)
    with pytest.raises(UserError, match="to 3 epochs: 4 were run"):
        extrapolate(record, 3)

    # Going on with the training makes it void.
    Ledger(tmp_path).open_session(**RUN, first_epoch=4)
    assert read(tmp_path)["extrapolated"] is None


def test_energy_of_the_first_epochs_stands_for_all(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.open_session(**RUN)
    ledger.update(epoch=0, energy=reading(50.0, 0.2))
    ledger.update(epoch=1, energy=reading(100.0, 0.4))
    # The meter was stopped: it tells the same again, or is asked no more.
    ledger.update(epoch=2, energy=reading(100.0, 0.4))
    ledger.close(finished=True, epoch=7)
    totals = read(tmp_path)["totals"]
    assert (totals["epochs"], totals["energy_epochs"]) == (8, 2)
    foretold = extrapolate(read(tmp_path), 8)
    assert foretold["kwh"] == pytest.approx(1.6)
    assert foretold["hours"] == totals["hours"]


def test_energy_that_was_not_measured_is_null(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.open_session(**RUN)
    ledger.close(finished=True, epoch=0, energy=EnergyReading("unavailable", "broken"))
    record = read(tmp_path)
    assert record["sessions"][0]["energy"]["reason"] == "broken"
    assert (record["totals"]["kwh"], record["totals"]["energy_epochs"]) == (None, 0)
    assert extrapolate(record, 10)["kwh"] is None
    assert record["totals"]["green_algorithms_kwh"] > 0


def test_scores_that_are_no_number_are_null(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.open_session(**{**RUN, "source": None})
    ledger.update(best={"vocals": torch.tensor(7.5), "bass": float("nan")}, best_epoch=3)
    assert read(tmp_path)["best"] == {"epoch": 3, "usdr": {"vocals": 7.5, "bass": None}}


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="choose another run folder"):
        Ledger(tmp_path / "file" / "run").open_session(**RUN)
    # Once the training runs, it goes on.
    ledger = Ledger(tmp_path / "run")
    ledger.open_session(**RUN)
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(UserWarning, match="not written"):
        ledger.update(epoch=0)
    (tmp_path / "run").mkdir()
    ledger.update(epoch=1)
    assert read(tmp_path / "run")["totals"]["epochs"] == 2


def test_reading_what_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"ledger\.json: no ledger can be read there"):
        read(tmp_path)


def test_an_unopened_ledger_is_a_mistake_of_the_program(tmp_path):
    with pytest.raises(RuntimeError, match="open a session first"):
        Ledger(tmp_path).update(epoch=0)


def git(folder, *arguments):
    """Run git without a user's settings."""
    settings = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    hooks_aside = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(folder), *settings, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=hooks_aside)
    return done.stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_packages_own_checkout(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "engine").mkdir(parents=True)
    (package / "__init__.py").touch()
    copy = shutil.copy(environment.__file__, package / "engine")
    spec = importlib.util.spec_from_file_location("copied_environment", copy)
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)

    def found():
        version = copied.code_version()
        return version["git_commit"], version["git_dirty"]

    assert found() == (None, None)
    # Somebody's repository, with the package installed below it but not in it.
    git(tmp_path, "init", "--quiet")
    (tmp_path / "theirs.py").touch()
    git(tmp_path, "add", "theirs.py")
    git(tmp_path, "commit", "--quiet", "-m", "theirs")
    assert found() == (None, None)
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "--quiet", "-m", "ours")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert found() == (commit, False)
    (tmp_path / "results.txt").touch()
    assert found() == (commit, False)
    (package / "new.py").touch()
    assert found() == (commit, True)
    (package / "new.py").unlink()
    (tmp_path / "theirs.py").write_text("changed")
    assert found() == (commit, True)
    monkeypatch.setenv("PATH", "")
    assert found() == (None, None)
