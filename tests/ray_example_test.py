"""The Ray Data job of docs/clusters.md, with two actors on this machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .cli_test import files_below, save_network
from .sounds import noise, write

pytest.importorskip("ray.data")
SCRIPT = Path(__file__).parent.parent / "examples" / "ray_separate.py"


def test_two_actors_write_what_the_command_line_writes(tmp_path):
    model = save_network(tmp_path / "tiny.pth", ["vocals", "other"])
    for seed, name in enumerate("abcde"):
        (tmp_path / "songs").mkdir(exist_ok=True)
        write(tmp_path / "songs" / f"{name}.wav", noise(3000, seed=seed))
    (tmp_path / "songs" / "bad.wav").write_text("no sound")
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent.parent)}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )

    job = run(SCRIPT, "songs", "-o", "ray", "--model", model, "--actors", 2, "--batch", 2)
    assert job.returncode == 2, job.stderr
    assert "bad.wav" in job.stderr and "5 of 6 songs are separated" in job.stdout
    command = ["-m", "asteroid_bsrnn", "separate", "songs", "-o", "one", "--model", model]
    assert run(*command).returncode == 2
    names = files_below(tmp_path / "one")
    assert files_below(tmp_path / "ray") == names and len(names) == 10
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
