"""`asteroid-bsrnn compare`: what stands in the table, what is refused, what models cost."""

import csv
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from asteroid_bsrnn import BSRNN, Separator, cli, peers
from asteroid_bsrnn.bands import band_widths
from asteroid_bsrnn.costs.ledger import Ledger
from asteroid_bsrnn.evaluation import comparison, comparison_table, evaluate, statistics
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.evaluation.records import read_record, weights_of
from asteroid_bsrnn.evaluation.speed import count_macs, measure
from asteroid_bsrnn.models import SourceModel
from asteroid_bsrnn.weights import checkpoint
from asteroid_bsrnn.weights.cache import sha256_of

from .sounds import refused
from .tiny_musdb import make_tiny_musdb
from .tiny_networks import FEW_BANDS
from .warm_python import python


def main(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def save_bsrnn(path, sources=("vocals", "drums"), seed=0, **arguments):
    torch.manual_seed(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = {"feature_dim": 4, "n_repeats": 1, "bands": FEW_BANDS}
    network = BSRNN(sources=sources, **{**sizes, **arguments})
    return checkpoint.save_model(network, path)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A data set, a run with a ledger, another model, and the results of both and of oracles."""
    folder = tmp_path_factory.mktemp("compare")
    make_tiny_musdb(folder / "data", train=1, valid=0, test=4, seconds=1.2)
    run = folder / "exp" / "train_first"
    save_bsrnn(run / "best_model.pth")
    ledger = Ledger(run)
    ledger.open_session(
        row="first", source=None, seed=1, n_parameters=1, configuration={"run": {"row": "first"}}
    )
    ledger.close(finished=True, epoch=0)
    record = json.loads((run / "ledger.json").read_text())
    record["sessions"][0]["wall_seconds"] = 5400.0
    record["sessions"][0]["energy"].update(kwh=0.25, last_epoch=0)
    (run / "ledger.json").write_text(json.dumps(record))
    other = save_bsrnn(folder / "second.pth", seed=1)
    arguments = ["--root", folder / "data", "--device", "cpu", "--output", folder / "results"]
    assert main("evaluate", run, other, "--oracles", *arguments) == 0
    return folder


def records(evaluated):
    return {
        path.name.rpartition("-")[0]: read_record(path)
        for path in (evaluated / "results").iterdir()
    }


class TestTable:
    def test_every_form_of_it_tells_the_same_and_where_it_is_from(self, evaluated, capsys):
        tables = {form: evaluated / "tables" / f"t.{form}" for form in ("md", "csv", "tex", "json")}
        options = [option for path in tables.values() for option in ("-o", path)]
        assert main("compare", evaluated / "results", "--costs", "none", *options) == 0
        text = capsys.readouterr().out
        with open(tables["csv"], newline="", encoding="utf-8") as file:
            rows = {row["model"]: row for row in csv.DictReader(file)}
        order = ["mixture", "scaled_mixture", "first", "second", "oracle_ratio_mask"]
        assert list(rows)[:5] == order
        plain = json.loads(tables["json"].read_text())
        assert [row["label"] for row in plain["rows"]] == list(rows)
        markdown = tables["md"].read_text()
        latex = tables["tex"].read_text()
        for label in ("first", "second", "oracle_wiener"):
            record = records(evaluated)[label]
            row = rows[label]
            path = tables["csv"].parent / row["record"]
            assert path.resolve() == record.path.resolve()
            for measure_name, statistic in (("usdr", np.mean), ("csdr", np.median)):
                scores = record.scores(measure_name, "vocals")
                value = float(row[f"{measure_name}_vocals"])
                assert value == pytest.approx(statistic(scores))
                bounds = statistics.interval(scores, mean=measure_name == "usdr")
                assert float(row[f"{measure_name}_vocals_low"]) == pytest.approx(bounds.low)
                shown = f"{value:.2f}"
                for written in (text, markdown, latex):
                    line = next(
                        line for line in written.splitlines() if label in line.replace("\\", "")
                        and shown in line
                    )  # fmt: skip
                    assert shown in line
            link = f"[{float(row['usdr_vocals']):.2f}](<{row['record']}>)"
            assert link in markdown
            assert f"run:{row['record']}".replace("%", r"\%") in latex
        # Links lead somewhere.
        for target in re.findall(r"\]\(<([^>]+)>\)", markdown):
            assert (tables["md"].parent / target).is_file()

    def test_training_comes_from_the_ledger(self, evaluated, capsys):
        table = evaluated / "ledger.csv"
        assert main("compare", evaluated / "results", "--costs", "none", "-o", table) == 0
        rows = {row["model"]: row for row in csv.DictReader(table.open())}
        first = rows["first"]
        assert (float(first["training_hours"]), float(first["training_kwh"])) == (1.5, 0.25)
        assert (evaluated / first["ledger"]).resolve().name == "ledger.json"
        assert rows["second"]["training_hours"] == "" and rows["mixture"]["ledger"] == ""
        costs = capsys.readouterr().out.split("\n\n")[2].splitlines()
        assert costs[0].split()[-4:] == ["train", "h", "train", "kWh"]
        assert costs[1].split() == ["first", *costs[1].split()[1:-2], "1.5", "0.25"]

    def test_tests_are_between_models_only_and_corrected(self, evaluated):
        found = comparison.compare(list(records(evaluated).values()))
        (pair,) = found.tests["usdr"]["mean"]
        assert {pair["first"], pair["second"]} == {"first", "second"}
        one, two = (
            np.mean([records(evaluated)[name].scores("usdr", s) for s in ("vocals", "drums")], 0)
            for name in (pair["first"], pair["second"])
        )
        assert pair["p"] == pytest.approx(statistics.paired_test(one, two))
        assert pair["p_holm"] == pair["p"]
        assert pair["difference"] == pytest.approx(np.mean(one - two))
        assert any("too few" in note for note in found.notes)

    def test_models_are_evaluated_first_where_the_data_are_given(self, evaluated, capsys):
        arguments = ["--root", evaluated / "data", "--device", "cpu"]
        arguments += ["--output", evaluated / "more", "--costs", "none"]
        network = peers.build("xumx", ["vocals"], hidden_size=8, n_layers=2)
        third = checkpoint.save_model(network, evaluated / "third.pth")
        results = next((evaluated / "results").glob("second-*"))
        assert main("compare", results, third, *arguments) == 0
        rows = capsys.readouterr().out.split("\n\n")[0].splitlines()
        assert [row.split()[0] for row in rows[1::2]] == ["second", "third"]

    def test_results_of_the_recipe_stand_beside(self, evaluated, capsys):
        run, data = evaluated / "exp" / "train_first", EvaluationTracks(evaluated / "data")
        weights = run / "best_model.pth"
        settings = {
            "weights_sha256": sha256_of(weights),
            "data_fingerprint": data.fingerprint,
            "part": "test",
        }
        folder = run / "evaluation_test"
        separator = Separator(weights, device="cpu", precision="32")
        evaluate(separator, data, folder, sources=data.sources, settings=settings)
        table = evaluated / "recipe.csv"
        other = next((evaluated / "results").glob("second-*"))
        assert main("compare", folder, other, "--costs", "none", "-o", table) == 0
        rows = {row["model"]: row for row in csv.DictReader(table.open())}
        assert list(rows) == ["first", "second"]
        assert rows["first"]["training_hours"] == "1.5"
        record = read_record(folder)
        assert weights_of(record.model, folder).resolve() == weights.resolve()
        own = records(evaluated)["first"].scores("usdr", "drums")
        np.testing.assert_allclose(record.scores("usdr", "drums"), own)

    def test_means_are_over_the_sources_that_all_models_estimate(self, evaluated, capsys):
        known = records(evaluated)
        vocals = next(iter((evaluated / "results").glob("first-*")))
        two = evaluated / "two"  # vocals alone, as of a model of vocals and accompaniment
        shutil.copytree(vocals, two)
        for path in [two / "final_metrics.json", *(two / "tracks").iterdir()]:
            record = json.loads(path.read_text())
            for scores in [record, record.get("scores", {})]:
                for name, values in scores.items():
                    if name.startswith(("usdr", "csdr")):
                        del values["drums"]
            if "model" in record:
                record["model"]["label"] = "two"
            path.write_text(json.dumps(record))
        found = comparison.compare([read_record(two), known["second"], known["mixture"]])
        assert (found.sources, found.common) == (["vocals", "bass", "drums", "other"], ["vocals"])
        for row in found.rows:
            for by_source in row.figures.values():
                assert by_source["mean"] == by_source["vocals"], row.label
        (pair,) = found.tests["usdr"]["mean"]
        assert pair == found.tests["usdr"]["vocals"][0]
        assert not found.tests["usdr"]["drums"], "one model only"
        assert "Means and tests are over the sources that all models estimate: vocals." in (
            found.notes
        )
        # Without a common source there is no mean.
        for path in [two / "final_metrics.json", *(two / "tracks").iterdir()]:
            text = path.read_text().replace('"vocals"', '"bass"')
            path.write_text(text)
        found = comparison.compare([read_record(two), known["second"]])
        assert found.common == [] and found.tests["usdr"]["mean"] == []
        assert all(np.isnan(row.figures["usdr"]["mean"].value) for row in found.rows)
        assert "no source in common" in found.notes[0]
        assert "no source in common" in comparison_table.to_text(found)

    def test_one_label_with_two_settings_stays_two_rows(self, evaluated, capsys):
        results = next((evaluated / "results").glob("second-*"))
        arguments = ["--root", evaluated / "data", "--device", "cpu", "--segment", "0.5"]
        arguments += ["--output", evaluated / "short", "--costs", "none"]
        assert main("compare", results, evaluated / "second.pth", *arguments) == 0
        out = capsys.readouterr().out
        labels = re.findall(r"^second \[([0-9a-f]{8})\]", out.split("\n\n")[0], re.MULTILINE)
        assert len(set(labels)) == 2
        assert "The models differ in separation" in out


class TestRefused:
    def test_other_data(self, evaluated, tmp_path, capsys):
        make_tiny_musdb(tmp_path / "data", train=0, valid=0, test=4, seconds=1.3)
        arguments = ["--root", tmp_path / "data", "--device", "cpu", "--costs", "none"]
        arguments += ["--output", tmp_path / "results"]
        results = next((evaluated / "results").glob("first-*"))
        assert main("compare", results, evaluated / "second.pth", *arguments) == 2
        assert "different data" in capsys.readouterr().err

    def test_records_of_two_settings_in_one_folder(self, evaluated, tmp_path):
        folder = tmp_path / "mixed"
        shutil.copytree(next((evaluated / "results").glob("first-*")), folder)
        path = folder / "tracks" / "0002.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "settings": "0" * 64}))
        with refused(path, "other settings"):
            read_record(folder)
        path.unlink()
        with refused("1 tracks' records are gone"):
            read_record(folder)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["data"], "holds no results"),
            (["second.pth"], "give --root"),
            (["nothing"], "neither a file"),
            (["results", "-o", "table.docx"], ".md, .csv, .tex"),
            (["results", "results"], "given twice"),
            (["results", "--oracles"], "give --root"),
        ],
    )
    def test_mistakes_take_one_line(self, evaluated, capsys, monkeypatch, arguments, words):
        monkeypatch.chdir(evaluated)
        assert main("compare", *arguments, "--costs", "none") == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and words in err


class Layers(SourceModel):
    """A model of one layer, to be counted by hand."""

    def __init__(self, layer, arrange):
        super().__init__(["a"], 100, None)
        self.layer, self.arrange = layer, arrange

    def forward(self, wav):
        self.layer(*self.arrange(wav))
        return wav.unsqueeze(1)


class TestCosts:
    """Counted for 10 s at 100 Hz, 1000 samples of two channels; 100 is a second."""

    @pytest.mark.parametrize(
        ("layer", "arrange", "macs"),
        [
            (nn.Linear(2, 7), lambda x: (x.mT,), 1000 * 2 * 7),
            (nn.Conv1d(2, 6, 5), lambda x: (x,), 996 * 2 * 6 * 5),
            (nn.Conv1d(2, 2, 5, groups=2), lambda x: (x,), 996 * 2 * 5),
            (nn.ConvTranspose1d(2, 3, 4, stride=4), lambda x: (x,), 1000 * 2 * 3 * 4),
            # Both directions; four gates of the input, four of the state.
            (nn.LSTM(2, 8, bidirectional=True, batch_first=True), lambda x: (x.mT,),
             1000 * 2 * 4 * 8 * (2 + 8)),
            (nn.LSTM(2, 8, num_layers=2), lambda x: (x.permute(2, 0, 1),),
             1000 * (4 * 8 * (2 + 8) + 4 * 8 * (8 + 8))),
            (nn.GRU(2, 8), lambda x: (x.permute(2, 0, 1),), 1000 * 3 * 8 * (2 + 8)),
            # Three projections and one of the output; scores and weighted sums of 50 x 50.
            (nn.MultiheadAttention(40, 4, batch_first=True),
             lambda x: (x.reshape(1, 50, 40),) * 3, 50 * 4 * 40 * 40 + 2 * 50 * 50 * 40),
        ],
    )  # fmt: skip
    def test_layers_by_hand(self, layer, arrange, macs):
        assert count_macs(Layers(layer, arrange)) == pytest.approx(macs / 10)

    def test_a_network_by_hand(self):
        network = BSRNN(sources=["vocals"], feature_dim=8, n_repeats=1, mask_expansion=2)
        widths = band_widths("vocals", 44100, 2048)
        n_bands, n_features, hidden = len(widths), 8, 16
        n_frames = 441_000 // 512 + 1
        split = sum(2 * width * n_features for width in widths)
        # A layer: LSTMs in both directions and the linear one behind them.
        layer = n_bands * (2 * 4 * hidden * (n_features + hidden) + 2 * hidden * n_features)
        inside = 2 * n_features
        masks = sum(
            n_features * inside + inside * inside + inside * 2 * 2 * width for width in widths
        )
        # Both channels, each on its own.
        expected = 2 * n_frames * (split + 2 * layer + masks) / 10
        # What a norm adds goes through the linear layer behind it once, not for every frame.
        expected += n_bands * n_features * inside / 10
        assert count_macs(network) == pytest.approx(expected)

    @pytest.fixture
    def warm(self, monkeypatch):
        """Start the processes that measure in a warm interpreter."""
        monkeypatch.setattr(sys, "executable", python())

    def test_what_fails_is_said_in_one_line(self, tmp_path, warm):
        with refused("gone.pth", "cannot be measured"):
            measure(tmp_path / "gone.pth", {"device": "cpu"})

    def test_they_are_kept_beside_the_record_and_linked(self, evaluated, tmp_path, capsys, warm):
        results = next((evaluated / "results").glob("second-*"))
        table = tmp_path / "table.json"
        once = ["--cost-seconds", "0.5", "--cost-repeats", "2", "--device", "cpu"]
        assert main("compare", results, *once, "-o", table) == 0
        (row,) = json.loads(table.read_text())["rows"]
        costs = row["costs"]
        speed = costs["real_time_factor"]
        assert 0 < speed["low"] <= speed["median"] <= speed["high"] and speed["n"] == 2
        assert 0 < costs["memory_gb"] < 10
        network = checkpoint.load_model(evaluated / "second.pth")
        assert costs["parameters"] == sum(p.numel() for p in network.parameters())
        assert costs["macs_per_second"] == pytest.approx(count_macs(network))
        assert costs["separator"]["segment"] == 10 and costs["device"]
        assert (Path(table).parent / row["paths"]["costs"]).resolve() == (
            results / "costs.json"
        ).resolve()
        assert "GMAC/s" in capsys.readouterr().out
        # Taken as they are, or left out.
        assert main("compare", results, "--costs", "recorded", "-o", table) == 0
        assert json.loads(table.read_text())["rows"][0]["costs"] == row["costs"]
        assert main("compare", results, "--costs", "none", "-o", table) == 0
        assert json.loads(table.read_text())["rows"][0]["costs"] is None
        assert json.loads(table.read_text())["rows"][0]["parameters"] == row["parameters"]
