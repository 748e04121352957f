"""The plain implementation computes what the reference computes, so that its speed counts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from asteroid_bsrnn import BSRNN, presets, zoo

from .reference_test import EVERY, load_fixture, relative_error
from .warm_python import python

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
from plain import PlainBSRNN  # noqa: E402

SERVED = ["base_vocals", "opt_bass"]
ENDS = ["", ", layers", ", selective", ", block"]


@pytest.mark.parametrize("name", SERVED)
def test_plain_networks_are_equal_to_the_reference(name):
    golden = load_fixture()["networks"][name]
    network = zoo.from_reference(golden["state_dict"], golden["config"], golden["targets"])
    plain = PlainBSRNN(network).eval()
    state = {key: value for key, value in golden["state_dict"].items() if "window" not in key}
    plain.load_state_dict(state)
    with torch.no_grad():
        estimates = plain(golden["mixture"])
    assert relative_error(estimates[..., ::EVERY], golden["estimates"]) < 1e-5


def test_plain_networks_of_four_sources_are_equal_to_the_package():
    """The fixture has no such network, so that the package's own is the reference."""
    golden = load_fixture()["networks"]["opt_bass"]
    one = zoo.from_reference(golden["state_dict"], golden["config"], golden["targets"])
    torch.manual_seed(0)
    plain = PlainBSRNN(BSRNN(**{**one.get_model_args(), "sources": presets.SOURCES})).eval()
    network = zoo.from_reference(plain.state_dict(), golden["config"], presets.SOURCES).eval()
    with torch.no_grad():
        expected = network(golden["mixture"])
        assert expected.shape[1] == 4
        assert relative_error(plain(golden["mixture"]), expected) < 1e-5


def test_what_has_no_plain_form_is_refused():
    with pytest.raises(ValueError, match="time_layer"):
        PlainBSRNN(presets.build("bsrnn_gru", "vocals", feature_dim=4, n_repeats=1))


def test_help_of_the_whole_benchmark():
    done = subprocess.run([BENCHMARKS / "all.sh", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "benchmarks/all.sh [--output DIR]" in done.stdout
    assert not done.stderr and "pipefail" not in done.stdout


def test_training_steps_on_a_cpu(tmp_path):
    page = tmp_path / "training.md"
    command = [python(), BENCHMARKS / "cpu_training.py", "--networks", "bsrnn"]
    sizes = ["--blocks", "1", "--batch", "1", "--seconds", "0.1", "--repeats", "1"]
    done = subprocess.run([*command, *sizes, "--precisions", "bfloat16", "--output", page],
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    table = [line.split(" | ") for line in page.read_text().splitlines()[6:]]
    forms = ["plain, CPU, float32", *("package, CPU, bfloat16" + end for end in ENDS)]
    assert [line[1] for line in table] == forms
    assert all(float(line[2].split()[0]) > 0 and float(line[3]) > 0 for line in table)
    assert [line[4] for line in table][:2] == [" |", "0 % |"]


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="measures the GPU, too, for ten minutes")
def test_speed_on_a_cpu_from_end_to_end(tmp_path):
    sizes = ["--repeats", "1", "--networks", "bsrnn", "--seconds", "0.3", "--file-seconds", "0.5"]
    command = [BENCHMARKS / "all.sh", "--output", tmp_path, *sizes]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "No GPU here: rows that need one are left out." in done.stdout
    lines = (tmp_path / "cpu.md").read_text(encoding="utf-8").splitlines()
    table = [line.split(" | ")[:2] for line in lines if line.startswith("| ")]
    names = [["| bsrnn", form] for form in ("plain", "float32", "bfloat16")]
    assert table[2:5] == names
    assert [form for _, form in table[5:7]] == ["float32", "bfloat16"]
