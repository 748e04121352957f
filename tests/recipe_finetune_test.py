"""Semi-supervised fine-tuning as a user runs it, on tiny data: killed in both halves, resumed."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import soundfile
import torch

from asteroid_bsrnn import UserError, presets, zoo
from asteroid_bsrnn.costs import ledger
from asteroid_bsrnn.weights import checkpoint

from . import processes
from .recipe_rows_test import recipe
from .recipe_run_test import assert_equal, latest
from .tiny_musdb import SOURCES, make_tiny_musdb, make_tiny_recipe
from .tiny_networks import FEW_BANDS, FEW_BANDS_SETTING
from .warm_python import python

FOLDER = Path(__file__).parent.parent / "egs" / "musdb18hq"
sys.path.insert(0, str(FOLDER / "finetune"))
import select_estimates  # noqa: E402
import separate_songs  # noqa: E402

import teachers  # noqa: E402

SECONDS = 4.0  # of the songs
ACCOMPANIMENT = "bass+drums+other"
NOTICE = {
    "title": "the teacher's data",
    "title_link": "",
    "author": "someone",
    "author_link": "",
    "license": "academic use only",
    "license_link": "",
    "non_commercial": True,
}
CHANGES = [
    "model.feature_dim=8",
    "model.n_repeats=1",
    FEW_BANDS_SETTING,
    "data.segment=1.0",
    "data.samples_per_epoch=12",
    "data.workers=1",
    "training.max_epochs=1",
    "training.checkpoint_minutes=1e-9",
    "energy.track=false",
    "unlabelled.ratio=0.7",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Labelled data, songs, and two teachers."""
    root = tmp_path_factory.mktemp("tiny")
    make_tiny_recipe(root, train=2, valid=1, test=1, seconds=6.5, held_out_seconds=1.5)
    songs = make_tiny_musdb(root / "more", train=4, valid=0, test=0, seconds=SECONDS, seed=5)
    for number in range(1, 4):
        samples, rate = soundfile.read(songs / "train" / f"Train {number}" / "mixture.wav")
        (root / "songs").mkdir(exist_ok=True)
        soundfile.write(root / "songs" / f"song{number}.flac", samples, rate)
    known = songs / "train" / "Train 4"
    stems = {name: soundfile.read(known / f"{name}.wav")[0] for name in SOURCES}
    accompaniment = stems["bass"] + stems["drums"] + stems["other"]
    soundfile.write(root / "instrumental.ogg", accompaniment, rate)
    soundfile.write(root / "vocals.wav", stems["vocals"], rate)
    soundfile.write(root / "rest.wav", accompaniment, rate)
    songs = [
        {"path": "songs", "licence": "CC-BY-3.0", "author": "A band"},
        {"path": "instrumental.ogg", "vocals": "silent", "licence": "CC0-1.0"},
        {"stems": {"vocals": "vocals.wav", ACCOMPANIMENT: "rest.wav"}, "title": "two parts"},
    ]
    (root / "songs.json").write_text(json.dumps(songs))
    torch.manual_seed(0)
    small = {"feature_dim": 8, "n_repeats": 1, "bands": FEW_BANDS}
    four = presets.build("simo_bsrnn", None, **small)
    checkpoint.save_model(four, root / "four.pth", {"dataset": "tiny", "licenses": [NOTICE]})
    checkpoint.save_model(presets.build("bsrnn", "vocals", **small), root / "voice.pth")
    return root


def start(tiny, folder, *options, **kwargs):
    """Start `run.sh` from the folder of the songs; its output goes to a file."""
    command = [FOLDER / "finetune" / "run.sh", "--songs", "songs.json", "--root", "data"]
    command += ["--estimates", folder / "estimates", "--exp", folder / "exp"]
    command += ["--musdb18hq", "false", "--python", python(), "--accelerator", "cpu"]
    command += ["--device", "cpu", *options]
    folder.mkdir(exist_ok=True)
    return processes.start(command, folder / "log", tiny, **kwargs)


def finish(process, folder):
    """Wait for a run, which must end well; its output."""
    return processes.finish(process, folder / "log")


def kill(process, condition):
    """Kill a run and all its processes as soon as a condition holds."""
    deadline = time.monotonic() + 200
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def training(tiny):
    """Options of stages 2 to 5."""
    changes = [*CHANGES, f"data.validation_tracks={tiny / 'valid.txt'}"]
    row = FOLDER / "BSRNN" / "conf" / "rows" / "simo_bsrnn.yml"
    return ["--row", row, "--start_from", "four.pth", "--set", " ".join(changes)]


# Estimates of random networks: the filter lets nearly everything pass.
FILTER = ("--share", "-60", "--agreement", "-60")


def test_from_songs_to_a_model_with_kills(tiny, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    teachers = ["--teacher", "four.pth voice.pth"]
    estimating = [*teachers, *FILTER, "--stop_stage", "1"]

    def records(folder):
        return sorted(path.parent for path in (folder / "estimates").glob("*/*/record.json"))

    output = finish(start(tiny, whole, *estimating), whole)
    assert "songs: 5, of which used: 5" in output and "hours under CC-BY-3.0: 0.00" in output
    process = start(tiny, killed, *estimating, start_new_session=True)
    kill(process, lambda: len(records(killed)) > 3)
    done = {path: (path / "record.json").stat().st_mtime_ns for path in records(killed)}
    finish(start(tiny, killed, *estimating), killed)
    # What was finished is not made again; the rest is as without an interruption.
    assert 3 < len(done) < len(records(whole)) == 2 + 2 * 3
    assert all((path / "record.json").stat().st_mtime_ns == time for path, time in done.items())
    for one, two in zip(records(whole), records(killed), strict=True):
        assert one.relative_to(whole) == two.relative_to(killed)
        names = sorted(path.name for path in one.iterdir())
        assert names == sorted(path.name for path in two.iterdir())
        assert all((one / n).read_bytes() == (two / n).read_bytes() for n in names if "flac" in n)
    paths = [folder / "estimates" / "selection.json" for folder in (whole, killed)]
    assert paths[0].read_text() == paths[1].read_text()

    common = [*teachers, *training(tiny), "--stage", "3"]
    finish(start(tiny, whole, *common), whole)
    process = start(tiny, killed, *common, "--stop_stage", "3", start_new_session=True)
    run = Path("exp", "train_simo_bsrnn")
    kill(process, lambda: any((killed / run).glob("checkpoints/latest-0000-00000[24].ckpt")))
    assert "end" not in latest(killed / run)[0].name
    output = finish(start(tiny, killed, *common, "--stop_stage", "3"), killed)
    assert "resuming from" in output
    # The paths of the selections differ, and nothing else does.
    expected, actual = latest(whole / run)[1], latest(killed / run)[1]
    for part in ("epoch", "global_step", "state_dict", "optimizer_states", "batches"):
        assert_equal(actual[part], expected[part], part)
    initial = zoo.load(tiny / "four.pth").state_dict()
    assert any(
        not torch.equal(value, initial[name.removeprefix("model.")])
        for name, value in expected["state_dict"].items()
    )

    record = ledger.read(killed / run)
    assert [session["state"] for session in record["sessions"]] == ["interrupted", "finished"]
    assert all("unlabelled" not in session["differs"] for session in record["sessions"])
    unlabelled = record["unlabelled"]
    assert unlabelled["songs_used"] == 5
    assert [teacher["label"] for teacher in unlabelled["teachers"]] == ["four", "voice"]
    assert [teacher["two_stems"] for teacher in unlabelled["teachers"]] == [None, "vocals"]
    assert unlabelled["licences"] == pytest.approx(
        {
            name: n * SECONDS / 3600
            for name, n in (("CC-BY-3.0", 3), ("CC0-1.0", 1), ("not stated", 1))
        }
    )
    assert unlabelled["hours_used"] > 0 and unlabelled["filter"]["share"] == -60
    # Stages 4 and 5 evaluated and published the other run.
    assert (whole / run / "evaluation_test" / "final_metrics.json").is_file()
    card = (whole / run / "publish_dir" / "README.md").read_text()
    assert (
        "song1, song2, song3 (no link) by A band: CC-BY-3.0." in card
        and "academic use only" in card
    )
    assert zoo.load(whole / run / "publish_dir" / "model.pth").sources == SOURCES


def test_records_say_how_estimates_were_made(tiny, tmp_path):
    options = ["--teacher", "four.pth", "--two_stems", "vocals", "--stop_stage", "0"]
    finish(start(tiny, tmp_path / "run", *options), tmp_path / "run")
    paths = sorted((tmp_path / "run" / "estimates").glob("*/*/record.json"))
    assert [path.parts[-3].split("-")[0] for path in paths] == ["four"] * 3 + ["known"] * 2
    record = json.loads(paths[0].read_text())
    assert record["song"]["title"] == "song1" and record["song"]["author"] == "A band"
    assert record["song"]["files"] == [str(tiny / "songs" / "song1.flac")]
    assert set(record["parts"]) == {"vocals", ACCOMPANIMENT}
    assert record["seconds"] == SECONDS and record["wall_seconds"] > 0
    made_by = record["teacher"]
    assert (made_by["label"], made_by["two_stems"]) == ("four", "vocals")
    assert made_by["settings"]["segment"] == 10.0 and made_by["licenses"] == [NOTICE]
    # The two parts add up to the song, but for rounding.
    parts = [soundfile.read(paths[0].parent / part["file"])[0] for part in record["parts"].values()]
    song = soundfile.read(tiny / "songs" / "song1.flac")[0]
    assert max(abs(part).max() for part in parts) < 0.99, "nothing is clamped"
    assert abs(sum(parts) - song).max() <= 2**-15
    instrumental = json.loads(paths[3].read_text())
    assert instrumental["teacher"] is None and instrumental["song"]["silent"] == ["vocals"]
    assert set(instrumental["parts"]) == {ACCOMPANIMENT}


def test_one_damaged_song_does_not_end_a_nights_work(tiny, tmp_path):
    shutil.copytree(tiny / "songs", tmp_path / "songs")
    (tmp_path / "songs" / "song0.flac").write_bytes(b"fLaC, not really")
    options = ["--teacher", tiny / "four.pth", "--stop_stage", "1"]
    process = start(tiny, tmp_path / "run", *options, "--songs", tmp_path / "songs")
    assert process.wait(timeout=100) == 2
    output = (tmp_path / "run" / "log").read_text()
    assert "song0.flac" in output and "1 song(s) failed" in output and "Stage 1" not in output
    assert len(list((tmp_path / "run" / "estimates").glob("*/*/record.json"))) == 3


def test_what_is_missing_is_said_in_one_line(tiny, tmp_path):
    for options, words in (
        (["--songs", ""], "--songs is missing"),
        (["--root", ""], "--root is missing"),
        (["--stage", "2"], "selection.json: cannot be read"),
    ):
        process = start(tiny, tmp_path / "run", *training(tiny), *options)
        assert process.wait(timeout=100) != 0
        lines = (tmp_path / "run" / "log").read_text().splitlines()
        assert any("error: " in line and words in line for line in lines), lines
        assert not any("Traceback" in line for line in lines)


def test_wrong_choices_of_the_first_stages_take_one_line(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tiny)
    unknown = "song1.flac: nothing is known of the song; give a teacher"
    for stage, options, words in (
        (separate_songs, ["--songs", "nowhere.yml"], "nowhere.yml: cannot be read"),
        (separate_songs, [], unknown),
        (separate_songs, ["--teacher", "nobody"], "unknown model 'nobody'"),
        (
            separate_songs,
            ["--teacher", "voice.pth", "--two_stems", "drums"],
            "voice: does not estimate drums",
        ),
        (select_estimates, ["--teacher", "four.pth"], "not separated yet"),
        (select_estimates, [], unknown),
        (select_estimates, ["--teacher", "four.pth", "--share", "3"], "share must be below 0"),
    ):
        estimates = ["--estimates", str(tmp_path / "estimates"), "--device", "cpu"]
        assert stage.main(["--songs", "songs.json", *estimates, *options]) == 2
        errors = [line for line in capsys.readouterr().err.splitlines() if "error: " in line]
        assert len(errors) == 1 and words in errors[0], (options, errors)


def test_what_a_teacher_is_asked_for():
    for sources, wanted, expected in (
        (SOURCES, None, None),
        (SOURCES[::-1], None, None),
        (SOURCES, "drums", "drums"),
        (("bass",), None, "bass"),
        (("vocals", "accompaniment"), None, "vocals"),  # Spleeter
    ):
        assert teachers.choose_two_stems("teacher", sources, wanted) == expected, sources


def test_teachers_of_some_sources_must_be_told_which_one():
    with pytest.raises(UserError, match="neither one of vocals.* nor all; choose one with --two"):
        teachers.choose_two_stems("teacher", ("vocals", "drums"), None)
    with pytest.raises(UserError, match="teacher: does not estimate bass, only vocals, drums"):
        teachers.choose_two_stems("teacher", ("vocals", "drums"), "bass")


def test_a_row_may_have_the_group_only_with_a_selection():
    labelled = recipe.resolve("simo_bsrnn", None)
    assert "unlabelled" not in labelled, "as before there were such runs"
    with pytest.raises(UserError, match="unlabelled.selection is missing"):
        recipe.resolve("simo_bsrnn", None, {"unlabelled": {"ratio": 0.2}})
    with pytest.raises(UserError, match="unknown key 'unlabelled.share'; valid: selection, ratio"):
        recipe.resolve("simo_bsrnn", None, {"unlabelled": {"share": 0.2}})
    row = str(FOLDER / "finetune" / "conf" / "obsrnn_simo.yml")
    changes = {"unlabelled": {"selection": "selection.json"}}
    config = recipe.resolve(row, None, changes)
    assert config["model"] == {"preset": "obsrnn_simo"}
    assert config["unlabelled"] == {
        "selection": "selection.json", "ratio": 0.5, "as_songs": 0.5, "labelled_stems": 0.5
    }  # fmt: skip


def test_shards_of_the_teachers_songs_are_what_one_run_makes(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny)

    def separate(estimates, *options):
        songs = ["--songs", "songs.json", "--estimates", str(tmp_path / estimates)]
        return separate_songs.main([*songs, "--teacher", "four.pth", "--device", "cpu", *options])

    assert separate("whole") == 0
    for shard in ("3/3", "1/3", "2/3"):
        assert separate("parts", "--shard", shard) == 0
    whole, parts = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.flac")}
        for name in ("whole", "parts")
    )
    assert parts == whole and len(list(tmp_path.glob("parts/*/*/record.json"))) == 5
    assert separate("parts", "--shard", "4/3") == 2
