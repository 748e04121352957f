"""Evaluation track by track: figures, resuming, silence."""

import csv
import json

import numpy as np
import pytest
import torch

from asteroid_bsrnn import BSRNN, Separator, UserError, metrics
from asteroid_bsrnn.evaluation import evaluate

from .tiny_networks import FEW_BANDS

SOURCES = ("vocals", "bass", "drums", "other")


class Tracks:
    """Noise, and a count of what was loaded."""

    def __init__(self, n=3, silent=()):
        self.n, self.silent, self.loaded = n, silent, []

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        self.loaded.append(number)
        generator = torch.Generator().manual_seed(number)
        sources = 0.1 * torch.randn(4, 2, 100_000, generator=generator)
        for source in self.silent:
            sources[SOURCES.index(source)] = 0
        return {"name": f"Track {number}", "mixture": sources.sum(dim=0), "sources": sources}


@pytest.fixture(scope="module")
def separator():
    torch.manual_seed(0)
    sizes = {"feature_dim": 4, "n_repeats": 1, "bands": FEW_BANDS}
    return Separator(BSRNN(sources=("drums", "vocals"), **sizes), device="cpu")


def run(separator, tracks, folder, **settings):
    return evaluate(separator, tracks, folder, sources=SOURCES, settings=settings)


def test_figures_are_those_of_the_metrics(separator, tmp_path):
    tracks = Tracks()
    summary = run(separator, tracks, tmp_path)
    usdr, csdr = [], []
    for number in range(3):
        track = tracks[number]
        estimates = torch.stack(list(separator.separate(track["mixture"]).values()))
        references = track["sources"][[2, 0]]  # drums, vocals
        usdr.append(metrics.usdr(references, estimates).numpy())
        csdr.append(metrics.csdr(references, estimates).numpy())
    for index, source in enumerate(("drums", "vocals")):
        assert summary["usdr"][source] == pytest.approx(np.mean(usdr, axis=0)[index])
        assert summary["csdr"][source] == pytest.approx(np.median(csdr, axis=0)[index])
    assert summary["usdr"]["mean"] == pytest.approx(np.mean(usdr))
    assert summary["n_tracks"] == 3 and summary["seconds_per_second"] > 0
    assert json.loads((tmp_path / "final_metrics.json").read_text()) == summary
    rows = list(csv.DictReader((tmp_path / "all_metrics.csv").open()))
    assert [row["track"] for row in rows] == ["Track 0", "Track 1", "Track 2"]
    # The separator's order of sources is not the data's.
    assert float(rows[1]["usdr_drums"]) == pytest.approx(usdr[1][0])


def test_sums_of_stems_are_scored_by_sums_of_estimates(separator, tmp_path):
    class Sums(Tracks):
        def __getitem__(self, number):
            track = super().__getitem__(number)
            vocals, bass, drums, other = track["sources"]
            return {**track, "sources": torch.stack([vocals + drums, bass + other])}

    tracks = Sums(1)
    summary = evaluate(
        separator, tracks, tmp_path, sources=("vocals+drums", "bass+other"), settings={}
    )
    assert list(summary["usdr"]) == ["vocals+drums", "mean"], "there is no estimate of bass"
    track = tracks[0]
    estimates = separator.separate(track["mixture"])
    expected = metrics.usdr(
        track["sources"][:1], (estimates["vocals"] + estimates["drums"]).unsqueeze(0)
    )
    assert summary["usdr"]["vocals+drums"] == pytest.approx(expected.item())


def test_goes_on_where_it_was_interrupted(separator, tmp_path):
    first = run(separator, Tracks(), tmp_path)
    (tmp_path / "tracks" / "0001.json").unlink()
    (tmp_path / "tracks" / "0002.json").write_text("{")
    tracks = Tracks()
    again = run(separator, tracks, tmp_path)
    assert tracks.loaded == [1, 2]
    assert again["usdr"] == first["usdr"]


def test_other_settings_are_not_mixed_in(separator, tmp_path):
    run(separator, Tracks(), tmp_path, weights="a")
    tracks = Tracks()
    run(separator, tracks, tmp_path, weights="b")
    assert tracks.loaded == [0, 1, 2]
    other = Separator(separator.model, segment=1.0, device="cpu")
    tracks = Tracks()
    run(other, tracks, tmp_path, weights="b")
    assert tracks.loaded == [0, 1, 2]


def test_silent_sources_have_no_figure_and_do_not_stop(separator, tmp_path):
    with pytest.warns(UserWarning, match="silent"):
        summary = run(separator, Tracks(silent=("drums",)), tmp_path)
    assert np.isnan(summary["usdr"]["drums"])
    assert np.isfinite(summary["usdr"]["vocals"])
    record = json.loads((tmp_path / "tracks" / "0000.json").read_text())
    assert record["scores"]["usdr"]["drums"] == "nan"


def test_no_tracks_are_refused(separator, tmp_path):
    with pytest.raises(UserError, match="no tracks"):
        run(separator, Tracks(0), tmp_path)
