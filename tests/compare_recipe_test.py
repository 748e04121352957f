"""The recipe that trains peers at equal budgets, as a user runs it, on a tiny data set."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import UserError, cli, peers, zoo
from asteroid_bsrnn.costs import ledger

from .tiny_musdb import SOURCES, make_tiny_recipe
from .tiny_networks import FEW_BANDS_SETTING
from .warm_python import python

FOLDER = Path(__file__).parent.parent / "egs" / "musdb18hq" / "compare"
sys.path.insert(0, str(FOLDER))
import models  # noqa: E402

SMALL = {
    "xumx": ["model.hidden_size=8", "model.n_layers=2", "model.n_filters=1024", "model.stride=512"],
    "conv_tasnet": ["model.n_filters=8", "model.n_blocks=1", "model.n_repeats=1",
                    "model.bn_chan=8", "model.hid_chan=8", "model.skip_chan=8"],
    "simo_bsrnn": ["model.feature_dim=4", "model.n_repeats=1", "model.mask_expansion=1",
                   FEW_BANDS_SETTING],
}  # fmt: skip


def train(root, folder, model, *budget):
    """Start `train.py`; its output goes to a file beside the run's folder."""
    changes = [*SMALL[model], f"data.validation_tracks={root / 'valid.txt'}", "data.segment=0.5"]
    changes += ["data.samples_per_epoch=4", "data.workers=0", "data.activity_detection=false"]
    changes += ["data.musdb18hq=false", "energy.track=false"]
    command = [python(), "train.py", "--root", root / "data", "--model", model]
    command += ["--exp_dir", folder, "--accelerator", "cpu", *budget, "--set", *changes]
    with open(f"{folder}.log", "wb") as log:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=FOLDER,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )


def test_two_peers_and_a_row_are_trained_and_compared(tmp_path, capsys):
    make_tiny_recipe(tmp_path, train=2, valid=1, test=2, seconds=1.5)
    # Three steps end in the midst of the second epoch; a moment ends in the first.
    budgets = dict.fromkeys(("xumx", "simo_bsrnn"), ("--max_steps", "3"))
    budgets["conv_tasnet"] = ("--max_minutes", "0.0001")
    folders = {name: tmp_path / f"train_{name}" for name in budgets}
    running = {name: train(tmp_path, folders[name], name, *budgets[name]) for name in budgets}
    for name, process in running.items():
        assert process.wait(timeout=300) == 0, Path(f"{folders[name]}.log").read_text()
    records = {name: ledger.read(folders[name]) for name in budgets}
    steps = {name: record["totals"]["steps"] for name, record in records.items()}
    assert steps == {"xumx": 3, "simo_bsrnn": 3, "conv_tasnet": 1}
    for name, record in records.items():
        assert record["sessions"][-1]["state"] == "finished"
        assert record["row"] == name and set(record["best"]["usdr"]) == set(SOURCES)
        assert zoo.load(folders[name] / "best_model.pth").sources == SOURCES
    # Given again, the command finds nothing left to do.
    names = ("xumx", "conv_tasnet")
    again = {name: train(tmp_path, folders[name], name, *budgets[name]) for name in names}
    for name, process in again.items():
        assert process.wait(timeout=300) == 0, Path(f"{folders[name]}.log").read_text()
        records[name] = ledger.read(folders[name])
        assert records[name]["totals"]["steps"] == steps[name]
    # All else than the network is alike.
    groups = {"loss", "data", "validation", "augmentation"}
    settings = [{key: r["configuration"][key] for key in groups} for r in records.values()]
    assert settings[0] == settings[1] == settings[2]
    # The peer has seen the levels of its input before it was trained.
    network = zoo.load(folders["xumx"] / "best_model.pth").network
    assert not torch.allclose(network.mean_scale["input_scale_bass"], torch.ones(()))

    table = tmp_path / "table.csv"
    arguments = ["compare", *folders.values(), "--root", tmp_path / "data", "--device", "cpu"]
    arguments += ["--output", tmp_path / "results", "--costs", "none", "-o", table]
    assert cli.main(list(map(str, arguments))) == 0
    rows = {row["model"]: row for row in csv.DictReader(table.open())}
    assert set(rows) == set(budgets)
    for name, row in rows.items():
        assert float(row["training_hours"]) == pytest.approx(records[name]["totals"]["hours"])
        assert (tmp_path / row["ledger"]).resolve() == folders[name] / "ledger.json"
        assert all(abs(float(row[f"usdr_{source}"])) < 200 for source in SOURCES)
    assert "Paired tests over 2 tracks" in capsys.readouterr().out


def test_every_peer_has_a_configuration_of_its_own():
    files = {path.stem for path in (FOLDER / "conf").glob("*.yml")} - {"common"}
    assert files == set(peers.names())
    for name in peers.names():
        config = models.resolve(name, None, {})
        assert config["run"] == {"row": name, "source": None}
        assert config["model"] == {"peer": name}
        assert config["data"]["samples_per_epoch"] == 1000
    # A row's own early stopping gives way to the budget, its network does not.
    config = models.resolve("obsrnn", "vocals", {"data": {"samples_per_epoch": 10}})
    assert config["training"]["patience"] == 100000 and config["data"]["samples_per_epoch"] == 10
    assert config["model"]["preset"] == "obsrnn"


def test_what_is_wrong_is_named():
    with pytest.raises(UserError, match="unknown model 'umx'; valid: conv_tasnet"):
        models.resolve("umx", None, {})
    with pytest.raises(UserError, match="xumx separates all sources"):
        models.resolve("xumx", "vocals", {})
    with pytest.raises(UserError, match="unknown key 'training.epochs'"):
        models.resolve("xumx", None, {"training": {"epochs": 1}})
    config = models.resolve("conv_tasnet", None, {"model": {"layers": 3}})
    with pytest.raises(UserError, match="model: ConvTasNet: unknown setting 'layers'"):
        models.build(config)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--modles", "x"], "unknown option --modles"),
        ([], "--root is missing"),
        (["--root", "/nowhere"], "needs a budget"),
        (["--root", "/nowhere", "--max_steps", "1", "--musdb18hq", "no"], "must be true or false"),
    ],
)
def test_run_sh_refuses_what_it_does_not_know(options, words):
    run = subprocess.run(["./run.sh", *options], cwd=FOLDER, capture_output=True, text=True)
    assert run.returncode == 2
    assert words in run.stderr and len(run.stderr.splitlines()) == 1
