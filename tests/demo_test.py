"""`make demo`, against the figures of the model card."""

import re
import subprocess
from pathlib import Path

import pytest

from asteroid_bsrnn import zoo

from .warm_python import python

ROOT = Path(__file__).parent.parent

# As the model card gives them, measured by others before this code existed.
MIXTURE = {"vocals": -7.12, "drums": -4.09, "bass": -2.99, "other": -5.49}
BEST_SCALED = {"vocals": 0.79, "drums": 1.42, "bass": 1.77, "other": 1.10}


def test_demo_agrees_with_the_model_card(tmp_path):
    run = subprocess.run(
        [python(), ROOT / "examples" / "demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    card = zoo.registry()[zoo.DEFAULT].figures["uSDR on a real six-second excerpt (dB)"]
    for source in card:
        (line,) = re.findall(rf"^{source} .*$", run.stdout, flags=re.MULTILINE)
        separated, mixture, best_scaled = map(float, line.split()[1:])
        assert separated == pytest.approx(card[source], abs=0.05)
        assert mixture == pytest.approx(MIXTURE[source], abs=0.05)
        assert best_scaled == pytest.approx(BEST_SCALED[source], abs=0.05)
        assert (tmp_path / "demo" / "excerpt" / f"{source}.wav").stat().st_size > 1_000_000
    assert (tmp_path / "demo" / "excerpt.png").stat().st_size > 50_000
