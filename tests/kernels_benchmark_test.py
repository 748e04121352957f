"""The GPU benchmark runs from end to end where there is no GPU, with tiny networks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .warm_python import python

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.sh"
SECTIONS = ["correctness", "training", "separation", "loading", "learning", "layers"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """The script, with this interpreter."""
    settings = {"PYTHON": python(), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=600,
    )


@pytest.mark.parametrize(
    "sections", [["learning", "loading"], pytest.param(SECTIONS, marks=pytest.mark.slow)], ids=len
)
def test_whole_flow(sections, tmp_path):
    done = run(
        "--device", "cpu", "--quick", "--output", str(tmp_path), "--sections", *sections
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {record["section"] for record in records} == {"header", *sections}
    assert not [record for record in records if "failed" in record]
    assert all(record["left_out"] == "needs a GPU" for record in records if "left_out" in record)
    (report,) = tmp_path.glob("gpu_*.md")
    text = report.read_text()
    assert [text.find(f"## {name.capitalize()}") > 0 for name in sections] == [True] * len(sections)
    assert "rows that need one are left out" in text
    curves = (tmp_path / "learning.csv").read_text().splitlines()
    assert len(curves) == 1 + 6
    if "loading" in sections:
        assert "| reading, one worker: 4 stereo stems of 0.3 s, from the disk's cache | 8 |" in text
        assert "| bsrnn: package, nn.LSTM, float32 (torch's defaults), 1 workers | 2 |" in text
    if "training" in sections:
        assert "| obsrnn: package, Triton, bfloat16 | left out: needs a GPU |" in text
        assert "| obsrnn: package, nn.LSTM, bfloat16 | 2 |" in text


def test_what_is_missing_is_told(tmp_path):
    done = run("--wheels", str(tmp_path), "--device", "cpu")
    assert done.returncode == 2 and "no wheels there" in done.stderr
    assert "--wheels" in run("--help").stdout


def test_wheels_are_unpacked(tmp_path):
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels" / "torch-9-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch/__init__.py", "raise SystemExit('the torch of the wheel')")
    options = ["--wheels", str(tmp_path / "wheels"), "--device", "cpu", "--output", str(tmp_path)]
    done = run(*options, PYTHON=sys.executable)
    assert done.returncode == 2
    assert "the torch of the wheel" in done.stderr
