"""The recipe as a user runs it, on a tiny data set: all stages, two processes, what goes wrong."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import BSRNN, kernels, zoo
from asteroid_bsrnn.costs import ledger
from asteroid_bsrnn.data import find_tracks

from . import hub_server, processes
from .recipe_rows_test import recipe
from .tiny_musdb import make_tiny_recipe
from .tiny_networks import FEW_BANDS_SETTING
from .warm_python import python

FOLDER = Path(__file__).parent.parent / "egs" / "musdb18hq" / "BSRNN"
SMALL = ("model.feature_dim=8", "model.n_repeats=1", FEW_BANDS_SETTING, "data.segment=1.0",
         "data.musdb18hq=false")  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A data set, and what a run on it must be told."""
    root = tmp_path_factory.mktemp("tiny")
    return make_tiny_recipe(root, train=3, valid=2, test=1, seconds=6.5, held_out_seconds=1.5)


def settings(tiny, *more):
    return [*SMALL, f"data.validation_tracks={tiny / 'valid.txt'}", *more]


def arguments(tiny, folder, *changes, row="bsrnn", source="vocals", options=()):
    """Arguments of `train.py`."""
    command = ["--root", tiny / "data", "--row", row]
    command += ["--source", source] if source else []
    command += ["--exp_dir", folder, "--accelerator", "cpu", *options]
    return [*command, "--set", *settings(tiny, *changes)]


def train(tiny, folder, *changes, options=(), **kwargs):
    """Start `train.py`; its output goes to a file beside the run's folder."""
    command = [python(), "train.py", *arguments(tiny, folder, *changes, options=options)]
    return processes.start(command, Path(f"{folder}.log"), FOLDER, **kwargs)


def finish(process, folder):
    """Wait for a run, which must end well; its output."""
    return processes.finish(process, Path(f"{folder}.log"))


def recipe_main(*arguments):
    """Run `train.py`; its exit code and output."""
    return processes.run(["train.py", *arguments], FOLDER)


@pytest.fixture
def trained(tiny):
    """`train.py` on the tiny data set as a function; it must end well and gives its output."""

    def run(folder, *changes, **kwargs):
        code, output = recipe_main(*arguments(tiny, folder, *changes, **kwargs))
        assert code == 0, output
        return output

    return run


def latest(folder):
    path = sorted((folder / "checkpoints").glob("latest-*.ckpt"))[-1]
    return path, torch.load(path, map_location="cpu", weights_only=True)


def assert_equal(actual, expected, where=""):
    """Equal to the last bit, through dicts and lists."""
    if isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for key, value in expected.items():
            assert_equal(actual[key], value, f"{where}/{key}")
    elif isinstance(expected, (list, tuple)):
        assert len(actual) == len(expected), where
        for index, value in enumerate(expected):
            assert_equal(actual[index], value, f"{where}/{index}")
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(actual, expected), where
    else:
        assert actual == expected, where


def test_all_stages(tiny, tmp_path):
    recipe = tmp_path / "BSRNN"
    shutil.copytree(FOLDER, recipe, ignore=shutil.ignore_patterns("exp", "logs"))
    command = [
        "./run.sh",
        "--root",
        tiny / "data",
        "--musdb18hq",
        "false",
        "--row",
        "bsrnn_umx_data",
    ]
    command += ["--source", "drums", "--tag", "tiny", "--accelerator", "cpu", "--museval", "1"]
    changes = ["training.max_epochs=2", "data.samples_per_epoch=4", "data.workers=1"]
    command += ["--set", " ".join(settings(tiny, *changes)), "--python", python()]
    command += ["--hub", "owner/drums", "--hub_private", "true", "--licence", "cc-by-nc-4.0"]
    with hub_server.serve() as hub:
        environment = hub_server.environment(hub, tmp_path, HF_TOKEN="hf_owner")
        run = subprocess.run(
            list(map(str, command)),
            cwd=recipe,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
    assert run.returncode == 0, run.stdout + run.stderr
    folder = recipe / "exp" / "train_bsrnn_umx_data_drums_tiny"
    metrics = json.loads((folder / "evaluation_test" / "final_metrics.json").read_text())
    command = [python(), "table.py", folder, "-o", tmp_path / "table.md", "--test"]
    subprocess.run(list(map(str, command)), cwd=recipe, check=True, timeout=60)
    assert f"{metrics['csdr']['drums']:.2f}" in (tmp_path / "table.md").read_text()
    assert set(metrics) >= {"usdr", "csdr", "museval_sdr", "museval_isr", "seconds_per_second"}
    assert metrics["csdr"]["drums"] == pytest.approx(metrics["museval_sdr"]["drums"], abs=1e-6)
    assert (
        (folder / "evaluation_test" / "all_metrics.csv").read_text().startswith("track,usdr_drums")
    )
    record = ledger.read(folder / "ledger.json")
    assert record["totals"]["epochs"] == 2
    assert record["totals"]["samples"] == 8
    assert record["totals"]["kwh"] > 0
    assert record["best"]["usdr"].keys() == {"drums"}
    published = folder / "publish_dir" / "model.pth"
    model = BSRNN.from_pretrained(str(published))
    assert zoo.load(published).sources == model.sources == ("drums",)
    assert model(torch.randn(1, 2, 5000)).shape == (1, 1, 2, 5000)
    card = (folder / "publish_dir" / "README.md").read_text()
    assert "preset: bsrnn" in card and f"{metrics['usdr']['drums']:.2f}" in card
    assert "validation_tracks: valid.txt" in card and str(tiny) not in card
    assert str(tiny) not in str(zoo.checkpoint.load_dict(published)["infos"])
    uploaded = hub.repositories["owner/drums"]
    assert uploaded.private and "hf:owner/drums@" in run.stdout
    assert uploaded.files("main") == {
        name: (folder / "publish_dir" / name).read_bytes() for name in ("model.pth", "README.md")
    }
    assert (recipe / "logs" / f"{folder.name}.log").stat().st_size > 0
    command = [python(), "publish.py", "--root", tiny / "data", "--row", "bsrnn_umx_data"]
    command += ["--source", "drums", "--exp_dir", folder, "--half"]
    size = published.stat().st_size
    subprocess.run(list(map(str, command)), cwd=recipe, check=True, timeout=60)
    assert 0.5 * size < published.stat().st_size < 0.52 * size
    assert zoo.load(published).sources == ("drums",)


def test_two_processes_learn_as_one_with_twice_the_batch(tiny, tmp_path, trained):
    changes = ["training.max_epochs=1", "data.samples_per_epoch=12", "data.workers=0"]
    # Augmentations are drawn for each process.
    changes += ["augmentation.gain_db=null", "augmentation.silent_source=0.0"]
    changes += ["energy.track=false"]
    one, two = tmp_path / "one", tmp_path / "two"
    process = train(tiny, two, *changes, options=("--devices", "2"))
    trained(one, *changes, "training.batch_size=4")
    finish(process, two)
    expected, actual = latest(one)[1], latest(two)[1]
    assert actual["global_step"] == expected["global_step"] == 3
    assert actual["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(
        0.00025 * 0.98**0
    )
    for name, weight in expected["state_dict"].items():
        torch.testing.assert_close(actual["state_dict"][name], weight, rtol=1e-4, atol=1e-6)
    bests = [ledger.read(folder / "ledger.json")["best"]["usdr"]["vocals"] for folder in (one, two)]
    assert bests[0] == pytest.approx(bests[1], abs=1e-3)


def test_one_batch_is_learnt_by_heart(tmp_path, trained):
    folder = tmp_path / "overfit"
    changes = ["model.feature_dim=16", "training.max_epochs=10", "data.segment=0.5"]
    changes += ["optim.lr=0.08", "training.patience=1000", "energy.track=false", "data.workers=0"]
    trained(folder, *changes, options=("--overfit", "1"))
    assert ledger.read(folder / "ledger.json")["best"]["usdr"]["vocals"] > 10


def test_time_and_energy_are_extrapolated(tmp_path, trained):
    folder = tmp_path / "tracked"
    changes = ["training.max_epochs=50", "data.samples_per_epoch=4", "data.workers=0"]
    changes += ["training.ema=0.9", "training.precision=bf16-mixed", "training.monitor=loss"]
    options = {"row": "simo_bsrnn", "source": None, "options": ("--track_epochs", "1")}
    slow = "compute in bfloat16; 32-true" in trained(folder, *changes, **options)
    assert slow == (not kernels.has_bfloat16())
    record = ledger.read(folder / "ledger.json")
    assert record["totals"]["epochs"] == 1
    assert record["extrapolated"]["epochs"] == 50
    assert record["extrapolated"]["kwh"] == pytest.approx(50 * record["totals"]["kwh"], rel=0.01)
    assert record["best"]["usdr"].keys() == {"vocals", "bass", "drums", "other"}
    best = zoo.load(folder / "best_model.pth")
    assert best.sources == ("vocals", "bass", "drums", "other")
    # The weights are averages over the steps, not those of the last one.
    checkpoint = latest(folder)[1]
    last = checkpoint["current_model_state"]
    for name, value in best.state_dict().items():
        torch.testing.assert_close(value, checkpoint["state_dict"][f"model.{name}"])
    assert any(not torch.equal(value, last[f"model.{n}"]) for n, value in best.state_dict().items())


def test_a_broken_file_and_a_missing_stem_are_named(tiny, tmp_path):
    shutil.copytree(tiny / "data", tmp_path / "data")
    (tmp_path / "valid.txt").write_text((tiny / "valid.txt").read_text())
    stem = next((tmp_path / "data" / "train").glob("Train 1")) / "bass.wav"
    stem.unlink()
    code, output = recipe_main(*arguments(tmp_path, tmp_path / "run"))
    assert code == 2 and str(stem) in output
    check = ["bash", "local/prepare_data.sh", python(), tmp_path / "data", "false"]
    run = subprocess.run(list(map(str, check)), cwd=FOLDER, capture_output=True, text=True)
    assert run.returncode == 2 and str(stem) in run.stderr and "zenodo" in run.stderr


def test_a_file_that_breaks_in_the_middle_of_an_epoch_is_named(tiny, tmp_path):
    shutil.copytree(tiny / "data", tmp_path / "data")
    shutil.copy(tiny / "valid.txt", tmp_path)
    folder = tmp_path / "run"
    process = train(tmp_path, folder, "data.samples_per_epoch=100000", "data.workers=1")
    deadline = time.monotonic() + 100
    while "samples/s" not in Path(f"{folder}.log").read_text():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    stems = sorted((tmp_path / "data" / "train").glob("Train */bass.wav"))
    for stem in stems:
        stem.write_bytes(stem.read_bytes()[:20_000])
    assert process.wait(timeout=100) == 2
    lines = Path(f"{folder}.log").read_text().splitlines()
    (error,) = [line for line in lines if line.startswith("error: ")]
    assert any(str(stem) in error for stem in stems)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rowe", "x"], "unknown option --rowe"),
        (["--row=obsrnn"], "with a space"),
        (["--root"], "needs a value"),
        ([], "--root is missing"),
        (["--root", "/nowhere", "--musdb18hq", "yes"], "must be true or false"),
        (["--root", "/nowhere", "--hub", "name"], "--hub must be user/name"),
        (["--root", "/nowhere", "--hub_private", "yes"], "--hub_private must be true or false"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_run_sh_refuses_what_it_does_not_know(options, words):
    run = subprocess.run(["./run.sh", *options], cwd=FOLDER, capture_output=True, text=True)
    assert run.returncode == 2
    assert words in run.stderr and len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("n_tracks", "world_size", "expected"),
    [(3, 2, [[0, 2], [1]]), (1, 3, [[0], [0], [0]])],
)
def test_ranks_share_the_validation_tracks(tiny, n_tracks, world_size, expected):
    config = recipe.resolve("bsrnn", "vocals")
    tracks = find_tracks(tiny / "data", "train")[:n_tracks]
    loaders = [
        recipe.build_validation_loader(config, tracks, 44100, rank, world_size)
        for rank in range(world_size)
    ]
    assert [list(loader.sampler) for loader in loaders] == expected
    assert next(iter(loaders[-1]))["index"] == expected[-1][0]


# Lets a program take a little more memory than the interpreter has.
WITH_LITTLE_MEMORY = """
import re, resource, runpy, sys
more, *sys.argv = sys.argv[1:]
size = int(re.search(r"VmSize:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + int(more), resource.RLIM_INFINITY))
sys.path.insert(0, ".")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("checkpointing", "advice"),
    [
        ("none", "training.activation_checkpointing=layers"),
        pytest.param(
            "layers", "training.activation_checkpointing=selective", marks=pytest.mark.slow
        ),
        pytest.param(
            "selective", "training.activation_checkpointing=block", marks=pytest.mark.slow
        ),
        ("block", "training.precision=bf16-mixed"),
    ],
)
def test_a_user_sees_which_flag_saves_memory(tiny, tmp_path, checkpointing, advice):
    changes = (
        f"training.activation_checkpointing={checkpointing}", "training.max_epochs=1",
        "training.batch_size=16", "data.samples_per_epoch=16", "data.segment=6.0",
        "data.workers=0", "data.musdb18hq=false", f"data.validation_tracks={tiny / 'valid.txt'}",
        "energy.track=false",
    )  # fmt: skip
    command = ["-c", WITH_LITTLE_MEMORY, 2**30, "train.py", "--root", tiny / "data"]
    command += ["--row", "bsrnn", "--source", "vocals", "--exp_dir", tmp_path / "run"]
    code, output = processes.run([*command, "--accelerator", "cpu", "--set", *changes], FOLDER)
    assert code != 0
    assert "Traceback" not in output
    assert f"error: out of memory: try --set {advice}" in output.splitlines()[-1]
