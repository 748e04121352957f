"""Stage 4 of the recipe: the published file, its model card and the Hub's metadata block."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from asteroid_bsrnn import UserError, zoo
from asteroid_bsrnn.data import MUSDB18HQ_INFOS
from asteroid_bsrnn.engine import config as configuration
from asteroid_bsrnn.weights import checkpoint

from .hub_server import Repository, card_problems, environment, serve
from .models_test import build
from .recipe_rows_test import recipe
from .warm_python import python
from .weights_find_test import assert_equal, interrupted

sys.path.insert(0, str(Path(recipe.__file__).parent))
from publish import licence_fields  # noqa: E402

FOLDER = Path(recipe.__file__).parent
METRICS = {
    "n_tracks": 50,
    "usdr": {"a": 1.234, "b": float("nan"), "mean": 1.234},
    "museval_sdr": {"a": -2.0, "b": 0.5, "mean": -0.75},
    "settings": {"part": "test"},
}


@pytest.fixture
def run(tmp_path) -> Path:
    """The folder of a run that was trained and evaluated."""
    folder = tmp_path / "train_bsrnn_vocals"
    (folder / "evaluation_test").mkdir(parents=True)
    configuration.save(recipe.resolve("bsrnn", "vocals"), folder / "conf.yml")
    infos = {**MUSDB18HQ_INFOS, "task": "separation"}
    checkpoint.save_model(build("all"), folder / "best_model.pth", infos)
    (folder / "evaluation_test" / "final_metrics.json").write_text(json.dumps(METRICS))
    return folder


def publish(run, *options, env=None):
    command = [python(), "publish.py", "--root", "/nowhere", "--exp_dir", run, *options]
    return subprocess.run(
        list(map(str, command)), cwd=FOLDER, env=env, capture_output=True, text=True, timeout=100
    )


def test_the_card_is_what_the_hub_reads(run):
    done = publish(run, "--licence", "musdb-terms=https://sigsep.github.io/datasets/musdb.html")
    assert done.returncode == 0, done.stderr
    assert zoo.load(run / "publish_dir" / "model.pth").sources == ("a", "b")
    text = (run / "publish_dir" / "README.md").read_text()
    block = yaml.safe_load(text.split("---\n")[1])
    assert card_problems(block) == []
    assert block["license"] == "other" and block["license_name"] == "musdb-terms"
    assert block["pipeline_tag"] == "audio-to-audio" and block["datasets"] == ["musdb18-hq"]
    assert {"asteroid", "BSRNN"} <= set(block["tags"])
    card = ModelCard(text)
    found = {
        (result.metric_type, result.metric_name): result.metric_value
        for result in card.data.eval_results
    }
    assert found == {
        ("usdr", "uSDR a (dB)"): 1.23,
        ("usdr", "uSDR mean (dB)"): 1.23,
        ("museval_sdr", "museval SDR a (dB)"): -2.0,
        ("museval_sdr", "museval SDR b (dB)"): 0.5,
        ("museval_sdr", "museval SDR mean (dB)"): -0.75,
    }
    (result,) = {(r.dataset_name, r.dataset_split, r.task_type) for r in card.data.eval_results}
    assert result == ("MUSDB18-HQ", "test", "audio-to-audio")
    assert "| uSDR | 1.23 | nan | 1.23 |" in card.text and "preset: bsrnn" in card.text
    assert "non-commercial use only" in card.text and "These weights: musdb-terms" in card.text


def test_no_licence_is_said(run):
    assert publish(run).returncode == 0
    card = ModelCard((run / "publish_dir" / "README.md").read_text())
    assert card.data.license == "unknown"
    assert "The licence of these weights is not stated." in card.text


def test_an_interrupted_run_is_published(run):
    shutil.rmtree(run)
    interrupted(run)
    configuration.save(recipe.resolve("bsrnn", "vocals"), run / "conf.yml")
    done = publish(run)
    assert done.returncode == 2 and "evaluate" in done.stderr and "best-0000.ckpt" in done.stderr
    (run / "evaluation_test").mkdir()
    (run / "evaluation_test" / "final_metrics.json").write_text(json.dumps(METRICS))
    assert publish(run).returncode == 0
    published = run / "publish_dir" / "model.pth"
    assert_equal(zoo.load(published), zoo.load(run / "checkpoints" / "best-0000.ckpt"))
    assert checkpoint.load_dict(published)["dataset"] == MUSDB18HQ_INFOS["dataset"]
    shutil.rmtree(run / "checkpoints")
    done = publish(run)
    assert done.returncode == 2 and "holds no weights; train first" in done.stderr


def test_a_malformed_licence_is_refused(run):
    done = publish(run, "--licence=My Licence")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "NAME=URL" in done.stderr and not (run / "publish_dir").exists()
    for licence in ("", "other=text", "=https://host"):
        with pytest.raises(UserError, match="NAME=URL"):
            licence_fields(licence)


def test_what_the_hub_refuses_leaves_the_local_publication(run, tmp_path):
    with serve() as hub:
        hub.repositories["owner/public"] = Repository()
        user = environment(hub, tmp_path, HF_TOKEN="hf_owner")
        done = publish(run, "--hub", "owner/public", "--hub_private", "true", env=user)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "error: owner/public: this repository is public, nothing was uploaded" in done.stderr
    assert (run / "publish_dir" / "model.pth").is_file()
    assert hub.repositories["owner/public"].commits == {}
