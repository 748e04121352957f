"""The paper's test rows beside what weights under their names score here."""

from __future__ import annotations

import csv
import json
import shutil
import wave

import pytest

from asteroid_bsrnn import cli
from asteroid_bsrnn.data import SOURCES, TEST_TRACKS
from asteroid_bsrnn.evaluation import comparison
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.evaluation.records import read_record
from asteroid_bsrnn.weights import registry

from . import study
from .tiny_musdb import make_tiny_musdb
from .web_server import Server

NAMES = ("obsrnn", "bsrnn_large", "obsrnn_simo")


def main(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as error:
        return error.code


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    # The time that museval takes goes by the cube of the channels of all stems.
    folder = tmp_path_factory.mktemp("tiny") / "data"
    return make_tiny_musdb(folder, train=0, valid=0, test=1, seconds=1.2, channels=1)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Archives of small networks with made-up weights, in the form of the published ones."""
    folder = tmp_path_factory.mktemp("archives")
    found = {}
    with study.few_bands():
        for name in NAMES:
            networks = [SOURCES] if name == "obsrnn_simo" else [[source] for source in SOURCES]
            optimized = name.startswith("obsrnn")
            found[name] = study.archive(folder / f"{name}.zip", networks, optimized=optimized)
    return found


@pytest.fixture
def made_up(archives, tmp_path, monkeypatch):
    """A server of these archives and a registry that names them; gives the server."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("ASTEROID_CACHE", str(tmp_path / "cache"))
    contents = {path.name: path.read_bytes() for path in archives.values()}
    with study.few_bands(), Server(contents) as server:
        entries = {
            name: study.entry(path, [server.url(path.name)], name, feature_dim=4, n_repeats=1)
            for name, path in archives.items()
        }
        path = study.write_registry(tmp_path / "registry.json", entries)
        monkeypatch.setenv(registry.VARIABLE, str(path))
        yield server


def write_silence(folder, seconds, rate=44100):
    """A track's folder of silent files; what they hold takes no room on the disk."""
    folder.mkdir(parents=True)
    for stem in (*SOURCES, "mixture"):
        path = folder / f"{stem}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, rate, 0, "NONE", ""))
            file.writeframes(b"\0" * 4)
        size = 4 * seconds * rate
        with open(path, "r+b") as file:
            header = bytearray(file.read(44))
            header[4:8], header[40:44] = (n.to_bytes(4, "little") for n in (size + 36, size))
            file.seek(0)
            file.write(header)
            file.truncate(44 + size)


def test_the_papers_rows():
    rows = comparison.paper_rows()
    assert set(rows) == set(NAMES)
    scores = [rows["bsrnn_large"][column] for column in (*SOURCES, "mean")]
    assert scores == [9.14, 7.72, 8.07, 5.68, 7.65]
    for name, row in rows.items():
        (figures,) = (
            figures
            for measure, figures in registry.registry()[name].figures.items()
            if measure.startswith("cSDR on test songs of MUSDB18-HQ")
        )
        assert figures == {column: row[column] for column in (*SOURCES, "mean")}
        assert sum(row[source] for source in SOURCES) / 4 == pytest.approx(row["mean"], abs=0.006)


def test_on_the_command_line(tiny, made_up, tmp_path, capsys):
    arguments = [
        "evaluate",
        "obsrnn_simo",
        "bsrnn_large",
        "--root",
        tiny,
        "--output",
        tmp_path / "out",
    ]
    arguments += ["--museval", "1", "--device", "cpu"]
    assert main(*arguments, "--paper-any-data", "--paper-table", tmp_path / "t" / "rows.csv") == 0
    text = capsys.readouterr().out.partition("Beside the paper\n")[2]
    lines = text.strip().splitlines()
    assert "| BSRNN, the paper's replication | Paper | 9.14 | 7.72 | 8.07 | 5.68 | 7.65 |" in lines
    assert lines[-1] == "‡ on other data than the paper's: not comparable."
    order = [line.split("|")[1:3] for line in lines if line.startswith("| `")]
    assert order == [
        [f" `{name}` ", f" {what} "]
        for name in ("bsrnn_large", "obsrnn_simo")
        for what in ("Here", "Difference")
    ]
    table = list(csv.DictReader((tmp_path / "t" / "rows.csv").read_text().splitlines()))
    assert [row["row"] for row in table] == ["bsrnn_large", "obsrnn_simo"]
    for row in table:
        (folder,) = (tmp_path / "out").glob(f"{row['row']}-*")
        figures = json.loads((folder / "final_metrics.json").read_text())["museval_sdr"]
        cells = []
        for column in (*SOURCES, "mean"):
            here, printed = float(row[f"{column}_here"]), float(row[f"{column}_paper"])
            assert here == pytest.approx(figures[column])
            assert printed == comparison.paper_rows()[row["row"]][column]
            assert float(row[f"{column}_difference"]) == pytest.approx(here - printed)
            assert row[f"{column}_marks"] == "other_data"
            cells.append(f"{here:.2f}‡")
        assert f"| `{row['row']}` | Here | {' | '.join(cells)} |" in lines

    # Without being asked for, it is not shown beside other data; the records are there already.
    assert main(*arguments) == 0
    out, err = capsys.readouterr()
    assert "Beside the paper" not in out and err.count("\n") == 1
    assert "not the 50 test tracks of MUSDB18-HQ, but 0 of those and 1 other(s)" in err
    # On the paper's data there is no mark.
    records = [read_record(folder) for folder in (tmp_path / "out").iterdir()]
    found = comparison.compare_with_paper(records)
    assert not any(figure.marks for row in found.rows for figure in row.here.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["obsrnn", "--paper-any-data"], "add --museval N"),
        (["obsrnn", "--paper-table", "rows.md"], "add --museval N"),
        (["obsrnn", "--paper-table", "rows.xls", "--museval", "1"], "must end in one of .md, .csv"),
        (["obsrnn", "--paper-table", "rows.md", "--museval", "1"], "--paper-any-data shows it"),
        (["obsrnn.pth", "--paper-any-data", "--museval", "1"], "bsrnn_large, obsrnn, obsrnn_simo"),
    ],
)
def test_what_can_not_be_shown_is_said_first(
    tiny, made_up, tmp_path, capsys, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    assert main("evaluate", "--root", tiny, "--output", "out", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and words in err
    assert not (tmp_path / "out").exists() and made_up.requests == []


def test_other_models_and_measures_are_left_out(tiny, made_up, tmp_path, capsys):
    common = ["--root", tiny, "--output", tmp_path / "out", "--device", "cpu"]
    assert main("evaluate", "obsrnn", *common) == 0
    assert "paper" not in capsys.readouterr().err, "without museval there is nothing to say"
    (folder,) = (tmp_path / "out").iterdir()
    assert comparison.compare_with_paper([read_record(folder)]) is None


def test_only_musdb18hq_itself_stands_beside_the_paper(tmp_path):
    root = tmp_path / "data"
    for name in TEST_TRACKS:
        write_silence(root / "test" / name, seconds=250)
    assert len(TEST_TRACKS) == 50
    assert comparison.paper_obstacle(EvaluationTracks(root)) is None
    assert "the stems are vocals" in comparison.paper_obstacle(
        EvaluationTracks(root, sources=["vocals"])
    )
    first = root / "test" / TEST_TRACKS[0]
    (first / "mixture.wav").unlink()
    assert "1 track(s) have no mixture.wav" in comparison.paper_obstacle(EvaluationTracks(root))
    shutil.rmtree(first)
    write_silence(first, seconds=250, rate=48000)
    assert "44100 Hz" in comparison.paper_obstacle(EvaluationTracks(root))
    shutil.rmtree(first)
    assert "but 49 of those and 0 other(s)" in comparison.paper_obstacle(EvaluationTracks(root))
    # The excerpts that musdb offers have the same names.
    shutil.rmtree(root)
    for name in TEST_TRACKS:
        write_silence(root / "test" / name, seconds=7)
    assert "last 6 minutes in all" in comparison.paper_obstacle(EvaluationTracks(root))
