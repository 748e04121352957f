"""`asteroid-bsrnn report`: reports of small real records and runs, and refused input."""

import base64
import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from asteroid_bsrnn import BSRNN, cli
from asteroid_bsrnn.costs.energy import EnergyReading
from asteroid_bsrnn.costs.ledger import Ledger
from asteroid_bsrnn.evaluation.records import find_records, read_record
from asteroid_bsrnn.report import charts, drawing, inputs, players
from asteroid_bsrnn.weights import checkpoint

from .sounds import refused
from .tiny_musdb import make_tiny_musdb
from .tiny_networks import FEW_BANDS

HOSTILE = "<img src=x onerror=alert(1)> & 'quoted' $x_"
SECONDS = 2.2  # of the players' excerpts, the second longest that the tracks allow


def main(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


def make_run(folder, *, row, musdb18hq, sources=("vocals", "drums"), score=3.0, kwh=0.5, curve=()):
    """Write a run's folder as the recipe does: weights, ledger, TensorBoard's events."""
    torch.manual_seed(len(folder.name))
    network = BSRNN(sources=sources, feature_dim=4, n_repeats=1, bands=FEW_BANDS)
    folder.mkdir(parents=True)
    checkpoint.save_model(network, folder / "best_model.pth")
    ledger = Ledger(folder)
    ledger.open_session(
        row=row,
        source=None,
        seed=1,
        n_parameters=sum(p.numel() for p in network.parameters()),
        configuration={"data": {"musdb18hq": musdb18hq}, "training": {"seed": 1}},
        data_fingerprint="data",
        n_gpus=0,
    )
    energy = EnergyReading("measured", None, 60.0, kwh / 2, kwh / 4, kwh / 4, kwh / 20)
    best = dict.fromkeys(sources, score)
    ledger.update(epoch=0, steps=100, samples=200, best=best, best_epoch=0)
    ledger.close(finished=True, energy=energy)
    if curve:
        from torch.utils.tensorboard import SummaryWriter

        with SummaryWriter(folder / "tensorboard") as writer:
            for index, value in enumerate(curve):
                step = 100 * (index + 1) // len(curve) - 1
                writer.add_scalar("val_usdr", value, step)
                writer.add_scalar("loss", 1 / (index + 1), step)
    return folder


def write_costs(folder, factor):
    """Write costs in the form of `speed.measure`."""
    speed = {"median": factor, "low": 0.9 * factor, "high": 1.1 * factor, "n": 3}
    costs = {
        "parameters": 12345,
        "macs_per_second": 2.5e9,
        "real_time_factor": speed,
        "memory_gb": 0.25,
        "device": "a test's",
        "threads": 1,
        "separator": {},
        "seconds": 1.0,
        "versions": {},
    }
    (folder / "costs.json").write_text(json.dumps(costs))


def make_results(folder):
    """Make a data set with the records of two models and the reference points."""
    data = make_tiny_musdb(folder / "data", train=1, valid=1, test=3, seconds=3.2)
    (data / "test" / "Test 2").rename(data / "test" / HOSTILE)
    make_run(folder / "exp" / "train_small", row="mine", musdb18hq=False, curve=(1.0, 2.0, 3.0))
    more = {"sources": ("vocals", "bass", "drums", "other"), "kwh": 2.0, "score": 4.0}
    make_run(folder / "exp" / "train_all", row="yours", musdb18hq=False, curve=(2.0, 4.0), **more)
    models = [folder / "exp" / "train_small", folder / "exp" / "train_all"]
    options = ["--root", data, "--output", folder / "results", "--device", "cpu", "--oracles"]
    assert main("evaluate", *models, *options) == 0
    for name, factor in (("small", 0.1), ("all", 0.3)):
        (made,) = (folder / "results").glob(f"{name}-*")
        write_costs(made, factor)
    return folder


def make_report(folder):
    """Make the results and their report, with players."""
    make_results(folder)
    given = [folder / "results", "-o", folder / "report", "--root", folder / "data"]
    assert main("report", *given, "--tracks", HOSTILE, "Test 3", "--seconds", SECONDS) == 0
    return folder


class Page(HTMLParser):
    """Contents of a page, parsed for tests."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.links, self.ids, self.texts, self.cells = [], [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]
        self.links += [v for k, v in attributes.items() if k in ("data-script", "data-picture")]
        if "id" in attributes:
            self.ids.append(attributes["id"])

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def made(shared):
    return shared("report", make_report)


@pytest.fixture(scope="module")
def page(made):
    return Page(made / "report" / "index.html")


def table(made, name="data1-table"):
    """Return the rows of a table: from the title to the texts of the cells."""
    text = (made / "report" / "index.html").read_text(encoding="utf-8")
    (body,) = re.findall(rf'<table id="{name}".*?<tbody>(.*?)</tbody>', text, re.DOTALL)
    rows = {}
    for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
        title = re.sub(
            r"<small>.*?</small>|<[^>]+>", "", re.search(r"<th.*?</th>", row, re.DOTALL)[0]
        )
        cells = [
            re.sub("<small>.*", "", c) for c in re.findall("<td[^>]*>(.*?)</td>", row, re.DOTALL)
        ]
        rows[title.strip()] = [re.sub("<[^>]+>", "", cell) for cell in cells]
    return rows


class TestPage:
    def test_all_that_it_links_to_is_there_and_nothing_is_elsewhere(self, made, page):
        assert len(page.links) > 50
        for link in page.links:
            if link.startswith("#"):
                assert link[1:] in page.ids, link
            elif link != "data:,":
                assert not re.match("[a-z]+:|/", link), link
                assert (made / "report" / link).is_file(), link
        assert len(page.ids) == len(set(page.ids))
        for file in (made / "report").rglob("*"):
            if file.suffix in (".html", ".js", ".css") and "sounds" not in file.parts:
                for address in re.findall("https?://[^\"' ]+", file.read_text(encoding="utf-8")):
                    assert address.startswith("http://www.w3.org/"), (file, address)

    def test_names_are_text_only(self, made, page):
        text = (made / "report" / "index.html").read_text(encoding="utf-8")
        assert "<img src=x" not in text and "onerror" not in [k for _, a in page.tags for k in a]
        assert any(HOSTILE in piece for piece in page.texts)

    def test_figures_are_those_of_the_records(self, made):
        rows = table(made)
        folders = find_records(made / "results")
        assert len(rows) == len(folders) == 7
        for folder in folders:
            record = read_record(folder)
            summary, cells = record.summary, rows[record.label]
            for start, measure in ((0, "usdr"), (5, "csdr")):
                for index, source in enumerate(("vocals", "bass", "drums", "other", "mean")):
                    value = summary[measure].get(source)
                    if source == "mean":  # over the sources that both models estimate
                        value = np.mean([summary[measure][s] for s in ("vocals", "drums")])
                    expected = "" if value is None else f"{value:.2f}".replace("-", "−")
                    assert cells[start + index] == expected, (record.label, measure, source)
        assert rows["small"][10:] == ["0.0123", "2.5", "0.1", "0.25", rows["small"][14], "0.5"]

    def test_figures_lead_to_copies_of_their_records(self, made, page):
        links = {link for link in page.links if link.startswith("records/")}
        names = {Path(link).name for link in links}
        assert names == {"final_metrics.json", "costs.json", "ledger.json"}
        (copy,) = (made / "report" / "records" / "data1").glob("*-small")
        (original,) = (made / "results").glob("small-*")
        for name in ("final_metrics.json", "all_metrics.csv", "costs.json"):
            assert (copy / name).read_text() == (original / name).read_text()
        # Links of tables are relative too.
        plain = json.loads((made / "report" / "tables" / "data1.json").read_text())
        for row in plain["rows"]:
            for path in row["paths"].values():
                assert (made / "report" / "tables" / path).resolve().is_file()
                assert (made / "report") in (made / "report" / "tables" / path).resolve().parents

    def test_charts_are_there_for_papers_too(self, made):
        names = {path.stem for path in (made / "report" / "figures").iterdir()}
        assert names == {
            "data1_kwh", "data1_real_time_factor", "data1_usdr", "data1_csdr", "training",
            "paper_energy",
        }  # fmt: skip
        for name in names:
            svg = (made / "report" / "figures" / f"{name}.svg").read_text()
            assert svg.startswith("<?xml") and "var(--" not in svg
            with Image.open(made / "report" / "figures" / f"{name}.png") as image:
                assert image.width > 1500

    def test_other_data_never_stand_in_the_papers_table(self, made):
        for cells in table(made, "paper-validation").values():
            assert cells[1::2] == [""] * 8
        assert table(made, "paper-validation")["Base modelbsrnn".removesuffix("bsrnn")][::2] == [
            "7.7", "6.1", "9.7", "4.8", "7.1", "32.3", "127", "168",
        ]  # fmt: skip
        own = table(made, "trainings-table")
        assert own["all"][:4] == ["4.00"] * 4 and own["all"][-1] == "other data"


class TestPlayers:
    def test_sounds_are_those_of_the_tracks_and_their_pictures_lie_beside_them(self, made, page):
        switches = [a for tag, a in page.tags if tag == "button" and "data-clip" in a]
        # For each track the mixture, four true stems, and two and four estimates.
        assert len(switches) == 2 * (1 + 4 + 2 + 4)
        for switch in switches:
            text = (made / "report" / switch["data-script"]).read_text()
            key, sound = re.fullmatch(r'asteroidReport\.receive\("(.+)","(.+)"\);\n', text).groups()
            assert key == switch["data-clip"]
            samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
            assert rate == 44100 and abs(len(samples) / rate - SECONDS) < 0.1
            with Image.open(made / "report" / switch["data-picture"]) as image:
                assert image.size[1] == players.SIZE[1] and image.size[0] > 0.8 * players.SIZE[0]
        shown = [a for tag, a in page.tags if "data-player" in a]
        assert [float(p["data-seconds"]) for p in shown] == [SECONDS] * 2

    def test_stems_of_a_clip_are_in_time(self, made):
        """The decoded true stems sum to the mixture, sample by sample."""

        def decode(number):
            text = (made / "report" / "sounds" / f"data1-0-{number}.js").read_text()
            return soundfile.read(io.BytesIO(base64.b64decode(text.split('"')[3])))[0]

        mixture, *stems = (decode(number) for number in range(5))
        rest = sum(stems) - mixture
        assert np.square(rest).mean() < 0.02 * np.square(mixture).mean()

    def test_a_number_of_tracks_and_weights_that_are_gone(self, made, tmp_path, capsys):
        for name in ("small", "all"):
            (folder,) = (made / "results").glob(f"{name}-*")
            shutil.copytree(folder, tmp_path / "results" / folder.name)
        given = ["report", tmp_path / "results", "-o", tmp_path / "report", "--root", made / "data"]
        assert main(*given, "--tracks", "2", "--seconds", "1") == 0
        err = capsys.readouterr().err
        # A line for each model: they are missing on all of the chosen tracks.
        assert err.count("\n") == 2 and "small is not in the players: its weights are gone" in err
        page = Page(tmp_path / "report" / "index.html")
        assert len([a for _, a in page.tags if "data-player" in a]) == 2
        # The mixtures and the true stems can be heard all the same.
        assert len([a for _, a in page.tags if "data-clip" in a]) == 2 * (1 + 4)

    def test_the_liveliest_part(self):
        stems = np.zeros((2, 1, 1000))
        stems[0, :, 200:700] = 1
        stems[1, :, 500:] = 0.01
        assert players.liveliest(stems, 100, 2) == 500
        assert players.liveliest(stems[..., :150], 100, 2) == 0
        assert players.liveliest(np.zeros_like(stems), 100, 2) == 0

    def test_matched_levels(self):
        rng = np.random.default_rng(0)
        names = [("mixture", ""), ("reference", "vocals"), ("mine", "vocals"), ("quiet", "vocals")]
        scales = (0.1, 0.02, 0.3, 0.0)
        signals = {n: s * rng.uniform(-1, 1, (2, 1000)) for n, s in zip(names, scales, strict=True)}
        gains = players.matching_gains(signals)
        levels = [
            np.sqrt(np.square(signals[name]).mean()) * 10 ** (gains[name] / 20) for name in names
        ]
        assert levels[1] == pytest.approx(levels[2]) == pytest.approx(levels[0])
        assert gains["quiet", "vocals"] == 0


class TestPaper:
    def test_runs_on_musdb18hq_stand_beside_the_papers(self, tmp_path):
        four = ("vocals", "bass", "drums", "other")
        make_run(tmp_path / "exp" / "ours", row="simo_bsrnn", musdb18hq=True, sources=four, score=7)
        make_run(tmp_path / "exp" / "open", row="bsrnn", musdb18hq=False, sources=four, score=99)
        assert main("report", tmp_path / "exp", "-o", tmp_path / "report") == 0
        rows = table(tmp_path, "paper-validation")
        row = rows["SIMO, one masker a source"]
        assert row[:10] == ["8.2", "7.0", "6.7", "7.0", "8.9", "7.0", "5.6", "7.0", "7.4", "7.0"]
        assert row[13] == "0.5"
        assert not any(cell for title, r in rows.items() if r is not row for cell in r[1::2])
        own = table(tmp_path, "trainings-table")
        assert {title: cells[-1] for title, cells in own.items()} == {
            "open": "other data",
            "ours": "MUSDB18-HQ",
        }
        text = (tmp_path / "report" / "index.html").read_text()
        assert "1 of 2 were trained and validated on other data" in text
        drawn = (tmp_path / "report" / "figures" / "paper_energy.svg").read_text()
        assert "simo_bsrnn (here)" in drawn and "99" not in re.findall("<!-- (.*) -->", drawn)

    def test_its_test_table_takes_whole_test_sets_only(self, tmp_path, capsys):
        """The report is made without the data: it has no players and says so."""
        four = ("vocals", "bass", "drums", "other")
        runs = [
            make_run(tmp_path / "exp" / name, row=row, musdb18hq=True, sources=four)
            for name, row in (("ours", "obsrnn"), ("one_track", "bsrnn_large"))
        ]
        data = make_tiny_musdb(tmp_path / "data", train=0, valid=0, seconds=1.5)
        options = ["--root", data, "--device", "cpu", "--output", tmp_path / "out"]
        assert main("evaluate", runs[0], *options) == 0
        (made,) = (tmp_path / "out").iterdir()
        for run in runs:
            shutil.copytree(made, run / "evaluation_test")
        # Fifty tracks make a result comparable with the paper.
        tracks = runs[0] / "evaluation_test" / "tracks"
        for number in range(1, 50):
            shutil.copy(tracks / "0000.json", tracks / f"{number:04d}.json")
        path = runs[0] / "evaluation_test" / "final_metrics.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "n_tracks": 50}))
        capsys.readouterr()
        assert main("report", tmp_path / "exp", "-o", tmp_path / "report") == 0
        lines = capsys.readouterr().err.splitlines()
        assert any("--root" in line for line in lines), lines
        assert not (tmp_path / "report" / "sounds").exists()
        csdr = json.loads(path.read_text())["csdr"]
        rows = table(tmp_path, "paper-test")
        expected = [f"{csdr[source]:.2f}" for source in (*four, "mean")]
        assert rows["oBSRNN"][1::2] == [text.replace("-", "−") for text in expected]
        assert not any(cell for title, r in rows.items() if title != "oBSRNN" for cell in r[1::2])


class TestInputs:
    def test_a_comparisons_file(self, made, tmp_path):
        file = tmp_path / "comparison.json"
        assert main("compare", made / "results", "--costs", "recorded", "-o", file) == 0
        records, runs = inputs.find_inputs([file])
        assert {r.label for r in records} == set(table(made))
        # Runs of the models are included.
        assert {run.folder.name for run in runs} == {"train_small", "train_all"}

    def test_results_on_different_data_stand_apart(self, made, tmp_path):
        options = ["--root", made / "data", "--split", "train", "--device", "cpu"]
        model = made / "exp" / "train_small"
        # A split of the train folder needs the validation tracks.
        (tmp_path / "valid.txt").write_text("Valid 1\n")
        options += ["--validation-tracks", tmp_path / "valid.txt", "--output", tmp_path / "other"]
        assert main("evaluate", model, *options) == 0
        records, _ = inputs.find_inputs([made / "results", tmp_path / "other"])
        one, two = inputs.group(records, "wilcoxon")
        assert len(one.comparison.rows) == 7 and one.part == "test"
        assert [row.label for row in two.comparison.rows] == ["small"] and two.part == "train"

    @pytest.mark.parametrize(
        ("name", "words"),
        [("gone", ["gone", "no such"]), ("empty", ["holds neither", "evaluate first"])],
    )
    def test_missing_results_take_one_line(self, tmp_path, capsys, name, words):
        (tmp_path / "empty").mkdir()
        assert main("report", tmp_path / name, "-o", tmp_path / "report") == 2
        err = capsys.readouterr().err
        assert err.count("\n") == 1 and all(word in err for word in words)
        assert not (tmp_path / "report").exists()

    def test_a_track_or_data_that_are_not_there(self, made, tmp_path, capsys):
        given = ["report", made / "results", "-o", tmp_path / "report"]
        assert main(*given, "--tracks", "Test 9") == 2
        assert "no track 'Test 9'" in capsys.readouterr().err
        assert main(*given, "--root", tmp_path / "gone") == 2
        assert "no such folder" in capsys.readouterr().err

    def test_a_damaged_comparison(self, tmp_path, capsys):
        (tmp_path / "some.json").write_text("{}")
        assert main("report", tmp_path / "some.json", "-o", tmp_path / "report") == 2
        assert "not a comparison" in capsys.readouterr().err


class TestOutput:
    def test_an_older_report_is_replaced_only_when_asked_for(self, made, tmp_path, capsys):
        given = ["report", made / "exp" / "train_small", "-o", tmp_path / "report"]
        shutil.copytree(made / "report", tmp_path / "report")
        (tmp_path / "report" / "index.html").write_text("older")
        (tmp_path / "report" / "left.txt").touch()
        assert main(*given) == 2
        assert "--overwrite" in capsys.readouterr().err
        assert (tmp_path / "report" / "index.html").read_text() == "older"
        assert main(*given, "--overwrite") == 0
        out, err = capsys.readouterr()
        assert out == f"{tmp_path / 'report' / 'index.html'}\n"
        assert err == "" and not (tmp_path / "report" / "sounds").exists()
        assert (tmp_path / "report" / "index.html").read_text() != "older"
        assert not (tmp_path / "report" / "left.txt").exists()
        assert [path.name for path in tmp_path.iterdir()] == ["report"]

    def test_another_folder_is_never_replaced(self, made, tmp_path, capsys):
        (tmp_path / "songs").mkdir()
        (tmp_path / "songs" / "song.wav").touch()
        given = ["report", made / "exp" / "train_small", "-o", tmp_path / "songs", "--overwrite"]
        assert main(*given) == 2
        assert "other files" in capsys.readouterr().err
        assert [path.name for path in (tmp_path / "songs").iterdir()] == ["song.wav"]

    def test_csv_table_of_the_paper(self, made):
        text = (made / "report" / "tables" / "paper_validation.csv").read_text()
        rows = list(csv.DictReader(io.StringIO(text)))
        assert len(rows) == 26 and not any(row["mean_here"] for row in rows)


class TestParts:
    def test_the_pareto_front(self):
        costs, scores = [3, 1, 2, 1, 5, 2], [4.0, 1.0, 5.0, 2.0, 5.0, 5.0]
        assert charts.front(costs, scores) == [3, 2, 5]
        assert charts.front([], []) == []

    def test_a_slow_computer_labels_points_as_a_fast_one(self, monkeypatch):
        points = [(1, 1 + i / 100, f"the long name of model {i}") for i in range(12)]

        def labelled():
            axes = drawing.new_figure(drawing.NARROW, 4.2).add_subplot()
            drawing.label_points(axes, points)
            return [text.get_position() for text in axes.texts]

        fast = labelled()
        monkeypatch.setattr("adjustText.timer", iter(range(0, 10**6, 10)).__next__)
        assert labelled() == fast

    def test_a_missing_matplotlib_is_told_of(self, monkeypatch):
        import sys

        monkeypatch.setitem(sys.modules, "adjustText", None)
        with refused("report", "pip install"):
            drawing.new_figure(1, 1)
