"""Runs and their checkpoints as models, forks after loading, and listing models without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import PerSourceSeparator, Separator, UserError, cli, peers, presets, zoo
from asteroid_bsrnn.weights import checkpoint
from asteroid_bsrnn.weights.find import find_weights

from .models_test import mixture, one_thread  # noqa: F401
from .sounds import noise, write
from .study import lightning_checkpoint
from .warm_python import python

SMALL = {"feature_dim": 4, "n_repeats": 1}
ROOT = Path(__file__).parent.parent


def interrupted(folder: Path, source: str = "vocals", best: bool = True) -> Path:
    """The folder of a run that was killed: Lightning's checkpoints and no best_model.pth."""
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True)
    config = {"run": {"row": "bsrnn", "source": source}, "model": {"preset": "bsrnn", **SMALL}}
    names = ["best-0000.ckpt", "best-0001.ckpt"] if best else []
    for seed, name in enumerate([*names, "latest-0001-end.ckpt"]):
        torch.manual_seed(seed)
        state = presets.build("bsrnn", source, **SMALL).state_dict()
        best_path = "/elsewhere/checkpoints/best-0000.ckpt" if best else ""
        content = {
            "state_dict": {f"model.{key}": value for key, value in state.items()},
            "training_config": config,
            "callbacks": {"ModelCheckpoint": {"best_model_path": best_path}},
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(3)}}}],
        }
        torch.save(content, checkpoints / name)
    return folder


def network(seed: int, source: str = "vocals"):
    torch.manual_seed(seed)
    return presets.build("bsrnn", source, **SMALL).eval()


def assert_equal(model, expected) -> None:
    assert not model.training
    for key, value in expected.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


def test_checkpoints_and_folders_of_a_run_are_models(tmp_path, monkeypatch):
    run = interrupted(tmp_path / "train_bsrnn_vocals")
    monkeypatch.chdir(run / "checkpoints")
    for given, seed, label in (
        (run, 0, "bsrnn_vocals_best-0000"),
        (run / "checkpoints", 0, "bsrnn_vocals_best-0000"),
        (".", 0, "bsrnn_vocals_best-0000"),
        (run / "checkpoints" / "best-0001.ckpt", 1, "bsrnn_vocals_best-0001"),
        ("latest-0001-end.ckpt", 2, "bsrnn_vocals_latest-0001-end"),
    ):
        found = find_weights(given)
        assert (found.label, found.name, found.run) == (label, None, run), given
        assert_equal(zoo.load(given), network(seed))
        assert Separator(given).sources == ("vocals",)
    # A damaged latest checkpoint, and what macOS leaves, do not count.
    (run / "checkpoints" / "latest-0002-end.ckpt").write_bytes(b"half a checkpoint")
    (run / "checkpoints" / "._latest-0003-end.ckpt").write_bytes(b"of another system")
    assert_equal(zoo.load(run), network(0))
    checkpoint.save_model(network(5), run / "best_model.pth")
    assert find_weights(run).label == "bsrnn_vocals"
    assert_equal(zoo.load(run), network(5))


def test_before_the_first_validation_the_latest_checkpoint_counts(tmp_path):
    run = interrupted(tmp_path / "run", best=False)
    assert find_weights(run).path.name == "latest-0001-end.ckpt"
    assert_equal(zoo.load(run), network(0))


def test_a_checkpoint_of_a_peer(tmp_path):
    arguments = {"n_blocks": 2, "n_repeats": 1}
    model = peers.build("conv_tasnet", presets.SOURCES, **arguments)
    content = {
        "state_dict": {f"model.{key}": value for key, value in model.state_dict().items()},
        "training_config": {"run": {}, "model": {"peer": "conv_tasnet", **arguments}},
    }
    torch.save(content, tmp_path / "latest-0000-end.ckpt")
    assert_equal(zoo.load(tmp_path), model)


def test_folders_without_a_model_say_what_is_missing(tmp_path):
    for name in ("empty", "checkpoints"):
        (tmp_path / name).mkdir()
        with pytest.raises(UserError, match=rf"{name}: there is no published model \(\*.pth\)"):
            zoo.load(tmp_path / name)
    torch.save({"state_dict": {}, "training_config": {"model": {}}}, tmp_path / "odd.ckpt")
    with pytest.raises(UserError, match="odd.ckpt: the model cannot be made from its training's"):
        zoo.load(tmp_path / "odd.ckpt")


def test_the_command_line_takes_an_interrupted_run(tmp_path, capsys):
    run = interrupted(tmp_path / "train_bsrnn_vocals")
    song = write(tmp_path / "song.wav", noise(30000))
    for number, given in enumerate((run, run / "checkpoints" / "latest-0001-end.ckpt")):
        out = tmp_path / str(number)
        assert cli.main(["separate", str(song), "-o", str(out), "--model", str(given)]) == 0
        assert (out / "song" / "vocals.wav").is_file()
        target = tmp_path / f"{number}.pth"
        assert cli.main(["convert", str(given), "-o", str(target)]) == 0
        assert_equal(zoo.load(target), zoo.load(given))
        infos = checkpoint.load_dict(target)["infos"]
        assert infos["training_config"]["model"]["preset"] == "bsrnn", "facts are kept"
    capsys.readouterr()
    other = interrupted(tmp_path / "other", "bass")
    assert cli.main(["convert", str(run), str(other), "-o", str(tmp_path / "two.pth")]) == 0
    two = zoo.load(tmp_path / "two.pth")
    assert type(two) is PerSourceSeparator and two.sources == ("vocals", "bass")


def test_hidden_checkpoints_of_a_folder_are_left_out(tmp_path):
    interrupted(tmp_path / "run")
    folder = tmp_path / "published"
    (folder / "@eaDir").mkdir(parents=True)
    checkpoint.save_model(network(0), folder / "vocals.pth")
    for name in ("._vocals.ckpt", "._vocals.pth", ".vocals.pth"):
        (folder / name).write_bytes(b"of another system")
    (tmp_path / "run" / "checkpoints" / "best-0000.ckpt").rename(folder / "vocals.ckpt")
    assert_equal(zoo.from_reference_files([folder]), network(0))
    assert_equal(zoo.load(folder), network(0))


FORK = """
import os, signal, sys, time
import torch
from asteroid import models
from asteroid_bsrnn import Separator, zoo
torch.set_num_threads(2)
given = sys.argv[1]
if given.endswith(".ckpt"):
    given = zoo.from_reference_files([given])
elif "=" in given:
    loader, _, path = given.partition("=")
    given = getattr(models, loader).from_pretrained(path)
separator = Separator(given, device="cpu")
child = os.fork()
if child == 0:
    separator.separate(torch.randn(2, 44100))
    os._exit(0)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    pid, status = os.waitpid(child, os.WNOHANG)
    if pid:
        sys.exit(status)
    time.sleep(0.05)
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
sys.exit("the child hangs")
"""


@pytest.mark.parametrize("kind", ["embedded", "half", "peer", "study", "BSRNN", "BaseModel"])
def test_a_process_may_fork_after_loading(kind, tmp_path):
    given = tmp_path / "m.pth"
    if kind == "study":
        given = lightning_checkpoint(tmp_path / "m.ckpt", ["vocals"], n=64, optimized=True)
    elif kind == "embedded":
        given = zoo.DEFAULT
    elif kind in ("BSRNN", "BaseModel"):  # the classes of which Asteroid's from_pretrained is used
        checkpoint.save_model(presets.build("bsrnn", "bass", feature_dim=32, n_repeats=1), given)
        given = f"{kind}={given}"
    elif kind == "half":
        model = presets.build("bsrnn", "bass", feature_dim=32, n_repeats=1)
        checkpoint.save_model(model.half(), given)
    else:
        checkpoint.save_model(peers.build("xumx", presets.SOURCES, n_layers=1), given)
    command = [python(), "-c", FORK, str(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


# Stands in for the package's own __init__, which imports more than the list of models.
LIST = """
import argparse, importlib, sys, types
for name in ("asteroid_bsrnn", "asteroid_bsrnn.cli"):
    package = types.ModuleType(name)
    package.__path__ = [f"{sys.argv[1]}/{name.replace('.', '/')}"]
    sys.modules[name] = package
parser = argparse.ArgumentParser()
commands = parser.add_subparsers()
importlib.import_module("asteroid_bsrnn.cli.weights").add_models(commands)
importlib.import_module("asteroid_bsrnn.cli.weights").add_convert(commands)
options = parser.parse_args(["models"])
options.run(options)
print(sorted({"torch", "asteroid", "numpy", "requests"} & set(sys.modules)))
"""


def test_the_list_of_models_needs_no_torch():
    command = [sys.executable, "-c", LIST, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "obsrnn_simo" in done.stdout and done.stdout.splitlines()[-1] == "[]"
