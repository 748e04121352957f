"""Learning: a small network is trained for minutes and scored on unseen songs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.metrics import usdr

from .conftest import RECIPE, generate

STEMS = ("vocals", "bass", "drums", "other")
# A scaled mixture is at most at 0 dB; a network that learns exceeds it by more than 1.2 dB for
# drums and about 0.2 dB for all sources.
DRUMS_MARGIN, MEAN_MARGIN = 0.7, 0.0


def best_scaled_mixture(song):
    """Return the uSDR by stem of the mixture times the best gain."""
    references = np.stack([soundfile.read(song / f"{stem}.wav")[0].T for stem in STEMS])
    mixture = references.sum(axis=0)
    gains = (references * mixture).sum(axis=(1, 2)) / np.square(mixture).sum()
    return usdr(references, gains[:, None, None] * mixture).numpy()


@pytest.mark.slow
def test_held_out_songs_are_separated(tmp_path):
    data = tmp_path / "data"
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    amount = ("--songs", 30, "--seconds", 6, "--clients", "pip", "--voice-phrases", 3)
    built = generate("build", "--root", data, *amount, env=environment)
    assert built.returncode == 0, built.stderr

    command = [RECIPE / "run.sh", "--python", sys.executable, "--stage", 1, "--stop_stage", 3]
    command += ["--root", data, "--exp", tmp_path / "runs", "--row", "conf/tiny.yml"]
    command += ["--accelerator", "cpu", "--set", "energy.track=false"]
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(min(os.cpu_count(), 4)))}
    run = subprocess.run(
        list(map(str, command)),
        cwd=tmp_path,
        env={**environment, **threads},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr

    songs = sorted((data / "test").iterdir())
    assert len(songs) == 3
    metrics = tmp_path / "runs" / "train_tiny" / "evaluation_test" / "final_metrics.json"
    learnt = json.loads(metrics.read_text())["usdr"]
    with np.errstate(invalid="ignore"):
        baselines = np.array([best_scaled_mixture(song) for song in songs])
    baselines[~np.isfinite(baselines)] = np.nan  # a silent stem has no uSDR
    gains = {
        stem: learnt[stem] - baseline
        for stem, baseline in zip(STEMS, np.nanmean(baselines, axis=0), strict=True)
    }
    assert gains["drums"] > DRUMS_MARGIN, gains
    assert np.mean(list(gains.values())) > MEAN_MARGIN, gains
