"""Data sets of other stems, from the check of the data to a separated song and a report."""

import csv
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch
import yaml

from asteroid_bsrnn import cli, zoo
from asteroid_bsrnn.costs import ledger

from . import tiny_stems
from .recipe_run_test import recipe_main
from .tiny_musdb import make_tiny_recipe, validation_names
from .tiny_networks import FEW_BANDS_SETTING
from .warm_python import python

FOLDER = Path(__file__).parent.parent / "egs" / "musdb18hq" / "BSRNN"
COMPARE = FOLDER.parent / "compare"
STEMS = FOLDER / "conf" / "stems"
SMALL = (
    "model.feature_dim=8",
    "model.n_repeats=1",
    FEW_BANDS_SETTING,
    "data.segment=1.0",
    "data.samples_per_epoch=4",
    "data.workers=0",
    "training.max_epochs=1",
)

# For each configuration: the function that makes its data, its options, the file to separate, and
# the sources of the network.
CASES = {
    "two_stems": (
        tiny_stems.make_two_stems,
        {"held_out_seconds": 1.5},
        "test/Test 1/mixture.wav",
        ["vocals", "accompaniment"],
    ),
    "six_stems": (
        tiny_stems.make_six_stems,
        {},
        "test/Test 1/vocals/1-a.flac",
        ["vocals", "bass", "drums", "guitar", "piano", "other"],
    ),
    "speech_music_effects": (
        tiny_stems.make_speech_music_effects,
        {},
        "tt/1003/mix.wav",
        ["speech", "music", "effects"],
    ),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "two_stems")) for name in CASES],
)
def test_from_the_data_to_a_separated_song_and_a_report(name, tmp_path, capsys):
    make, options, song, sources = CASES[name]
    data = make(tmp_path / "data", **options)
    (tmp_path / "valid.txt").write_text("\n".join(validation_names(1)))
    changes = [*SMALL, f"data.validation_tracks={tmp_path / 'valid.txt'}"]
    command = [FOLDER / "run.sh", "--root", data, "--row", STEMS / f"{name}.yml"]
    command += ["--musdb18hq", "false", "--exp", tmp_path / "exp", "--accelerator", "cpu"]
    command += ["--stop_stage", "3", "--python", python(), "--set", " ".join(changes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, timeout=600
    )
    assert run.returncode == 0, run.stdout + run.stderr
    folder = tmp_path / "exp" / f"train_{name}"
    assert list(ledger.read(folder / "ledger.json")["best"]["usdr"]) == sources
    metrics = json.loads((folder / "evaluation_test" / "final_metrics.json").read_text())
    assert list(metrics["usdr"]) == [*sources, "mean"]

    # A song is separated by the trained weights, in its own rate and number of channels.
    given = soundfile.info(data / song)
    separate = ["separate", str(data / song), "--model", str(folder), "-o", str(tmp_path / "out")]
    assert cli.main(separate) == 0
    made = {path.stem: soundfile.info(path) for path in (tmp_path / "out").rglob("*.wav")}
    assert sorted(made) == sorted(sources)
    for info in made.values():
        assert (info.frames, info.samplerate) == (given.frames, given.samplerate)

    # The latest checkpoint is a model too, which makes two for a comparison.
    checkpoint = next((folder / "checkpoints").glob("latest-*.ckpt"))
    models = [f"best={folder}", f"latest={checkpoint}"]
    scores = ["--root", str(data), "--layout", str(folder / "conf.yml"), "-o"]
    capsys.readouterr()
    assert cli.main(["evaluate", *models, "--oracles", *scores, str(tmp_path / "scores")]) == 0
    header = capsys.readouterr().out.splitlines()
    assert any(all(source in line for source in sources) for line in header)
    table = tmp_path / "table.csv"
    assert cli.main(["compare", str(tmp_path / "scores"), "--costs", "none", "-o", str(table)]) == 0
    rows = {row["model"]: row for row in csv.DictReader(table.open())}
    expected = {key: value for key, value in metrics["usdr"].items() if key in sources}
    for source, value in expected.items():
        if value == value:
            assert float(rows["best"][f"usdr_{source}"]) == pytest.approx(value, abs=1e-3)
            assert float(rows["oracle_ratio_mask"][f"usdr_{source}"]) > value
    report = tmp_path / "report"
    arguments = [str(tmp_path / "scores"), str(folder), "--root", str(data), "-o", str(report)]
    assert cli.main(["report", *arguments, "--seconds", "1", "--tracks", "1"]) == 0
    page = (report / "index.html").read_text()
    assert all(source in page for source in sources) and "not in the players" not in page
    capsys.readouterr()


@pytest.fixture(scope="module")
def two_stems(tmp_path_factory):
    """A data set, and what a run on it must be told."""
    root = tmp_path_factory.mktemp("two")
    tiny_stems.make_two_stems(root / "data", seconds=1.5)
    (root / "valid.txt").write_text("\n".join(validation_names(1)))
    return root


def arguments(root, folder, *changes, source=None, row="two_stems"):
    row = STEMS / f"{row}.yml" if (STEMS / f"{row}.yml").exists() else row
    command = ["--root", root / "data", "--row", row, "--exp_dir", folder, "--accelerator", "cpu"]
    command += ["--source", source] if source else []
    changes = [
        *SMALL,
        "energy.track=false",
        f"data.validation_tracks={root / 'valid.txt'}",
        *changes,
    ]
    return [*command, "--set", *changes, "data.activity_detection=false"]


def test_one_network_estimates_a_sum_of_stems(two_stems, tmp_path):
    changes = ["model.preset=bsrnn", "model.sources=accompaniment"]
    code, output = recipe_main(
        *arguments(two_stems, tmp_path / "run", *changes, source="accompaniment")
    )
    assert code == 0, output
    model = zoo.load(tmp_path / "run")
    assert model.sources == ("accompaniment",)
    assert zoo.load(next((tmp_path / "run").glob("checkpoints/latest-*.ckpt"))).sources == (
        "accompaniment",
    )
    stored = yaml.safe_load((tmp_path / "run" / "conf.yml").read_text())["layout"]
    assert stored["sums"] == {"accompaniment": ["bass", "drums", "other"]}
    # The same command resumes, another layout does not.
    again = arguments(
        two_stems,
        tmp_path / "run",
        *changes,
        "layout.sums={accompaniment: [bass, other]}",
        source="accompaniment",
    )
    code, output = recipe_main(*again)
    assert code == 2 and "layout.sums.accompaniment was" in output


def test_a_network_of_the_study_is_trained_on_with_other_stems(two_stems, tmp_path):
    four = tmp_path / "four"
    code, output = recipe_main(*arguments(two_stems, four, row="simo_bsrnn"))
    assert code == 0, output
    start = f"training.start_from={four / 'best_model.pth'}"
    code, output = recipe_main(*arguments(two_stems, tmp_path / "two", start, "optim.lr=0.0"))
    assert code == 0, output
    assert "the band split and the dual-path blocks, the mask of vocals are kept" in output
    assert "new: the mask of accompaniment" in output
    before, after = (zoo.load(folder) for folder in (four, tmp_path / "two"))
    assert after.sources == ("vocals", "accompaniment")
    mixture = torch.randn(1, 2, 20000)
    with torch.no_grad():
        torch.testing.assert_close(after(mixture)[:, 0], before(mixture)[:, 0])


def test_a_peer_and_bsrnn_are_compared_on_other_stems(tmp_path, capsys):
    """`compare/train.py --layout` gives all models the same sources."""
    make_tiny_recipe(tmp_path, train=2, valid=1, test=1, seconds=1.5)
    layout = STEMS / "two_stems.yml"
    sources = ["vocals", "accompaniment"]
    sizes = {
        "open_unmix": ["hidden_size=8", "n_layers=1", "n_filters=1024", "stride=512"],
        "simo_bsrnn": ["feature_dim=4", "n_repeats=1", "mask_expansion=1"],
    }
    running = {}
    for name, given in sizes.items():
        changes = [f"model.{size}" for size in given]
        changes += [FEW_BANDS_SETTING] if name == "simo_bsrnn" else []
        changes += [f"data.validation_tracks={tmp_path / 'valid.txt'}", "data.musdb18hq=false"]
        changes += ["data.segment=0.5", "data.samples_per_epoch=4", "data.workers=0"]
        changes += ["data.activity_detection=false", "energy.track=false"]
        command = [python(), "train.py", "--root", tmp_path / "data", "--model", name]
        command += ["--layout", layout, "--exp_dir", tmp_path / name, "--max_steps", "1"]
        command += ["--accelerator", "cpu", "--set", *changes]
        running[name] = subprocess.Popen(
            list(map(str, command)),
            cwd=COMPARE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    for name, process in running.items():
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        assert list(ledger.read(tmp_path / name)["best"]["usdr"]) == sources
        latest = next((tmp_path / name / "checkpoints").glob("latest-*.ckpt"))
        for file in (tmp_path / name / "best_model.pth", latest):
            assert list(zoo.load(file).sources) == sources
    table = tmp_path / "table.csv"
    command = ["compare", *[tmp_path / name for name in sizes], "--root", tmp_path / "data"]
    command += ["--layout", layout, "--output", tmp_path / "scores", "--costs", "none"]
    assert cli.main(list(map(str, [*command, "--device", "cpu", "-o", table]))) == 0
    capsys.readouterr()
    rows = {row["model"]: row for row in csv.DictReader(table.open())}
    assert set(rows) == set(sizes)
    for row in rows.values():
        figures = [key for key in row if re.fullmatch("usdr_[a-z]+", key)]
        assert figures == ["usdr_vocals", "usdr_accompaniment", "usdr_mean"]
        assert all(abs(float(row[f"usdr_{source}"])) < 200 for source in sources)


def test_what_is_wrong_with_the_stems_is_named(two_stems, tmp_path):
    for changes, words in {
        ("model.sources=[vocals,piano]",): "model.sources: there is no stem 'piano'; valid: vocals",
        ("layout.sums={accompaniment: [bass, guitar]}",): "accompaniment has the stem 'guitar'",
        ("layout.missing=zero",): "layout.missing must be error or silent, got 'zero'",
        ("layout.stemms=[vocals]",): "unknown key 'layout.stemms'",
        ("layout.sample_rate=48000",): "must be model.sample_rate (44100)",
        ("model.last_source_as_residual=true", "model.sources=[vocals,bass]"): "must add up to",
        (
            "layout.stems=[vocals,piano]",
            "layout.sums=null",
            "model.sources=[piano]",
        ): "piano.wav: mis",
        ("layout.mixture=mix",): "mix.wav: missing",
    }.items():
        code, output = recipe_main(*arguments(two_stems, tmp_path / "run", *changes))
        lines = [line for line in output.splitlines() if line.startswith("error: ")]
        assert code == 2 and len(lines) == 1 and words in lines[0], output


def test_slakh_is_linked_by_class(tmp_path, monkeypatch, capsys):
    track = tmp_path / "slakh" / "validation" / "Track00001"
    (track / "stems").mkdir(parents=True)
    classes = {"S00": "Piano", "S01": "Strings (continued)", "S02": "Piano", "S03": "Bass"}
    for name in ("S00", "S01", "S02"):
        soundfile.write(track / "stems" / f"{name}.flac", torch.zeros(100).numpy(), 44100)
    stems = {name: {"inst_class": kind} for name, kind in classes.items()}
    (track / "metadata.yaml").write_text(yaml.safe_dump({"stems": stems}))
    script = runpy.run_path(str(FOLDER / "local" / "link_slakh.py"))
    command = ["link_slakh.py", "--root", str(tmp_path / "slakh")]
    monkeypatch.setattr(sys, "argv", [*command, "--output", str(tmp_path / "linked")])
    for _ in range(2):
        assert script["main"]() == 0 and capsys.readouterr().out.startswith("1 tracks in ")
    linked = tmp_path / "linked" / "valid" / "Track00001"
    found = sorted(path.relative_to(linked).as_posix() for path in linked.rglob("*.flac"))
    assert found == ["other/S01.flac", "piano/S00.flac", "piano/S02.flac"]
    (track / "metadata.yaml").write_text("stems: 1")
    assert script["main"]() == 2
    assert "metadata.yaml: not the metadata of Slakh" in capsys.readouterr().err
