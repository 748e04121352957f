"""The paper's table: its figures, runs collected into it, and the forms that it is written in."""

import csv
import io

import pytest

from asteroid_bsrnn import presets
from asteroid_bsrnn.costs.energy import EnergyReading
from asteroid_bsrnn.costs.ledger import Ledger
from asteroid_bsrnn.costs.paper_table import (
    collect,
    paper_figures,
    to_csv,
    to_latex,
    to_markdown,
    write,
)
from asteroid_bsrnn.costs.record import read
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.tables import Cell

PARAMETERS = {"vocals": 8020296, "bass": 7111432, "drums": 9177032, "other": 8020296}
RECIPE_ROWS = (
    "bsrnn_accumulate",
    "bsrnn_monitor_loss",
    "bsrnn_loss_time",
    "bsrnn_loss_stft",
    "bsrnn_large_patience30",
    "bsrnn_silent_target",
    "bsrnn_umx_data",
)


@pytest.fixture
def make_run(tmp_path):
    """Makes the folder of a finished run of two epochs."""

    def make(
        source,
        score,
        *,
        row="bsrnn",
        seed=1,
        kwh=20.0,
        n_parameters=None,
        name=None,
        energy=True,
        finished=True,
        data="data",
        contents=None,
        foretold_epochs=None,
        **settings,
    ):
        folder = tmp_path / (name or f"{row}_{source}_{seed}")
        ledger = Ledger(folder)
        configuration = {
            "data": {"root": str(folder), "workers": seed},
            "model": {"preset": row, "bands": source},
            "training": {"lr": 0.001, "seed": seed, **settings},
        }
        ledger.open_session(
            row=row,
            source=source,
            seed=seed,
            n_parameters=n_parameters or PARAMETERS.get(source, 26621140),
            configuration=configuration,
            data_fingerprint=data,
            contents=contents,
            n_gpus=0,
        )
        measured = EnergyReading("measured", None, 60.0, kwh / 4, kwh / 2, kwh / 4, 1.0)
        best = None if score is None else score if isinstance(score, dict) else {source: score}
        ledger.update(epoch=1, energy=measured if energy else None, best=best)
        if foretold_epochs is not None:
            ledger.extrapolate(foretold_epochs)
        ledger.close(finished=finished)
        return folder

    return make


def row(table, name):
    (found,) = [row for row in table.rows if row.name == name]
    return found


def test_every_preset_and_recipe_row_has_the_papers_figures():
    rows = paper_figures()["validation"]["rows"]
    assert set(rows) == {*presets.names(), *RECIPE_ROWS}


@pytest.mark.parametrize(
    "name, figures",
    [
        ("bsrnn", (7.7, 6.1, 9.7, 4.8, 7.1, 32.3, 127, 168)),
        ("bsrnn_large_patience30", (9.5, 7.8, 10.3, 6.3, 8.4, None, 354, 495)),
        ("bscnn", (7.3, 5.9, 9.0, 4.2, 6.6, 29.7, 113, 153)),
        ("obsrnn", (10.2, 10.2, 11.3, 6.9, 9.6, 164.1, 508, 711)),
        ("obsrnn_simo", (11.3, 9.8, 11.8, 8.4, 10.3, 108.7, None, None)),
        ("bsrnn_gru", (7.8, None, None, None, None, None, None, None)),
    ],
)
def test_the_papers_figures(name, figures):
    assert tuple(row(collect([]), name).paper.values()) == figures


def test_the_papers_means_are_those_of_its_scores():
    for name, (_, *scores) in paper_figures()["validation"]["rows"].items():
        if None not in scores[:5]:
            # Both are rounded to a tenth, and the paper's rounds some means away.
            assert sum(scores[:4]) / 4 == pytest.approx(scores[4], abs=0.13), name


def test_the_papers_parameters_are_those_of_the_presets():
    rows = paper_figures()["validation"]["rows"]
    for name in ("bsrnn", "bscnn", "obsrnn_simo"):
        sources = (None,) if presets.is_simo(name) else PARAMETERS
        networks = [presets.build(name, source) for source in sources]
        count = sum(p.numel() for network in networks for p in network.parameters())
        assert count / 1e6 == pytest.approx(rows[name][6], abs=0.051), name


def test_without_runs_there_is_the_paper_alone():
    table = collect([])
    assert len(table.rows) == 26
    assert all(figure is None for row in table.rows for figure in row.here.values())


def test_a_row_of_four_networks(make_run):
    scores = {"vocals": 7.5, "bass": 6.0, "drums": 9.0, "other": 5.5}
    kwh = {"vocals": 30.0, "bass": 25.0, "drums": 40.0, "other": 31.0}
    folders = [make_run(source, scores[source], kwh=kwh[source]) for source in scores]
    base = row(collect(folders), "bsrnn")
    for source, score in scores.items():
        assert base.here[source] == Cell(score, score, score, 1)
    assert base.here["mean"].value == pytest.approx(7.0)
    assert base.here["parameters"].value == pytest.approx(32.329056)
    assert base.here["codecarbon_kwh"].value == pytest.approx(126.0)
    estimates = [read(folder)["totals"]["green_algorithms_kwh"] for folder in folders]
    assert base.here["green_algorithms_kwh"].value == pytest.approx(sum(estimates))
    assert base.folders == tuple(folders)
    # A folder that is named twice, in whatever way, counts once.
    twice = [*folders, folders[0] / ".." / folders[0].name]
    assert row(collect(twice), "bsrnn").here["codecarbon_kwh"].n == 1


def test_a_missing_source_leaves_sums_empty(make_run):
    base = row(collect([make_run("vocals", 7.5), make_run("bass", 6.0)]), "bsrnn")
    assert (base.here["vocals"].value, base.here["drums"]) == (7.5, None)
    for column in ("mean", "parameters", "codecarbon_kwh", "green_algorithms_kwh"):
        assert base.here[column] is None


def test_a_network_of_all_sources_is_one_run(make_run):
    scores = {"vocals": 8.0, "bass": 6.5, "drums": 9.0, "other": 5.5}
    simo = row(collect([make_run(None, scores, row="simo_bsrnn")]), "simo_bsrnn")
    assert [simo.here[source].value for source in scores] == [8.0, 6.5, 9.0, 5.5]
    assert simo.here["mean"].value == pytest.approx(7.25)
    assert simo.here["parameters"].value == pytest.approx(26.62114)
    assert simo.here["codecarbon_kwh"].value == pytest.approx(20.0)


def test_seeds_give_a_mean_and_a_spread(make_run):
    # Means over the sources: 7.0, 7.5 and 8.0.
    seeds = {1: (7.0, 6.0, 10.0, 5.0), 2: (7.6, 6.4, 10.0, 6.0), 3: (8.2, 6.8, 10.0, 7.0)}
    folders = [
        make_run(source, score, seed=seed, kwh=10.0 * seed)
        for seed, scores in seeds.items()
        for source, score in zip(PARAMETERS, scores, strict=True)
    ]
    base = row(collect(folders), "bsrnn").here
    assert (base["vocals"].value, base["vocals"].n) == (pytest.approx(7.6), 3)
    assert (base["vocals"].low, base["vocals"].high) == (7.0, 8.2)
    assert base["mean"].value == pytest.approx(7.5)
    assert (base["mean"].low, base["mean"].high) == (pytest.approx(7.0), pytest.approx(8.0))
    assert base["codecarbon_kwh"].value == pytest.approx(80.0)
    assert (base["codecarbon_kwh"].low, base["codecarbon_kwh"].high) == (40.0, 120.0)
    text = to_markdown(collect(folders))
    assert "| 7.6 (7.0 to 8.2, n=3) |" in text
    assert "lowest and highest of n runs" in text

    # Without one of seed 3's networks there is no third row to spread over.
    base = row(collect(folders[:-1]), "bsrnn").here
    assert (base["vocals"].n, base["other"].n) == (3, 2)
    assert base["mean"].value == pytest.approx((7.6 + 6.4 + 10.0 + 5.5) / 4)
    assert base["mean"].n == 1


def test_other_configurations_are_not_mixed(make_run):
    one = make_run("vocals", 7.5)
    for other, message in {
        make_run("vocals", 7.6, seed=2, lr=0.002): "training.lr is 0.001 and 0.002",
        make_run("bass", 6.0, lr=0.003): "training.lr is 0.001 and 0.003",
        make_run("bass", 6.0, seed=2, extra=True): "training.extra is None and True",
        make_run("drums", 9.0, data="others"): "trained on different data",
        make_run("vocals", 7.7, name="again"): "both are bsrnn vocals with seed 1",
        make_run(None, {"vocals": 8.0}, name="simo"): "separates all sources",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            collect([one, other])
        assert str(one) in str(caught.value) and str(other) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_files_of_the_same_content_may_have_other_paths(make_run):
    runs = [
        make_run("vocals", 7.5, seed=number, start_from=f"{number}.pth", contents={key: content})
        for number, key, content in (
            (1, "training.start_from", "a"),
            (2, "training.start_from", "a"),
            (3, "training.start_from", "b"),
            (4, "data.validation_tracks", "a"),
        )
    ]
    assert row(collect(runs[:2]), "bsrnn").here["vocals"].n == 2
    for other in runs[2:]:
        with pytest.raises(UserError, match=r"training.start_from is '1.pth' and '[34].pth'"):
            collect([runs[0], other])


def test_a_run_resumed_otherwise_is_what_it_became(make_run):
    one, two = make_run("vocals", 7.5, seed=1, lr=0.001), make_run("vocals", 7.5, seed=2, lr=0.002)
    make_run("vocals", 7.5, seed=1, lr=0.002)
    assert len(read(one)["sessions"]) == 2
    assert row(collect([one, two]), "bsrnn").here["vocals"].n == 2


def test_extrapolated_energy_is_marked_and_gives_no_scores(make_run):
    folders = [make_run(source, 3.0, kwh=1.0, foretold_epochs=200) for source in PARAMETERS]
    table = collect(folders)
    base = row(table, "bsrnn").here
    assert base["vocals"] is None and base["mean"] is None
    # 100 times two epochs' energy, four times.
    assert base["codecarbon_kwh"].value == pytest.approx(400.0)
    assert (
        "extrapolated" in base["codecarbon_kwh"].marks
        and "extrapolated" in base["green_algorithms_kwh"].marks
    )
    assert "extrapolated" not in base["parameters"].marks
    assert "| ≈400 |" in to_markdown(table)
    assert "≈ extrapolated from some epochs." in to_markdown(table)
    assert r"$\approx$400" in to_latex(table)

    # Whole runs without a meter beside them: their scores, with the energy foretold.
    whole = [make_run(source, 7.0, energy=False, name=f"whole_{source}") for source in PARAMETERS]
    assert row(collect(whole), "bsrnn").here["codecarbon_kwh"] is None
    both = row(collect([*folders, *whole]), "bsrnn").here
    assert (both["vocals"], both["codecarbon_kwh"]) == (Cell(7, 7, 7, 1), base["codecarbon_kwh"])
    assert "extrapolated" not in both["green_algorithms_kwh"].marks


def test_unfinished_runs_are_marked(make_run):
    table = collect([make_run("vocals", 7.5, finished=False), make_run("bass", None)])
    base = row(table, "bsrnn").here
    assert "unfinished" in base["vocals"].marks
    assert base["bass"] is None
    assert "| 7.5† |" in to_markdown(table)


def test_rows_that_the_paper_does_not_have_come_last(make_run):
    table = collect([make_run("vocals", 7.5, row="my_row")])
    assert [table.rows[-1].name, table.rows[-1].title] == ["my_row", "my_row"]
    assert set(table.rows[-1].paper.values()) == {None}
    assert table.rows[-1].here["vocals"].value == 7.5


def test_scores_of_the_test_set(make_run):
    folder = make_run(None, {"vocals": 1.0}, row="obsrnn_simo")
    scores = {"vocals": 10.5, "bass": 9.0, "drums": 11.0, "other": float("nan")}
    table = collect([folder], test_scores={folder: scores})
    assert table.columns == ("vocals", "bass", "drums", "other", "mean")
    simo = row(table, "obsrnn_simo")
    assert tuple(simo.paper.values()) == (10.66, 9.73, 10.98, 7.78, 9.79)
    assert simo.here["vocals"].value == 10.5
    assert (simo.here["other"], simo.here["mean"]) == (None, None)
    published = {row.title: row for row in table.rows if row.name is None}
    assert published["BSRNN as published in 2022"].paper["mean"] == 8.24
    assert "| oBSRNN-SIMO | Paper | 10.66 |" in to_markdown(table)
    with pytest.raises(UserError, match="not among the runs"):
        collect([], test_scores={folder: scores})


def test_markdown(make_run):
    scores = {"vocals": 7.54, "bass": 6.0, "drums": 9.0, "other": 5.46}
    text = to_markdown(collect([make_run(source, s) for source, s in scores.items()]))
    lines = text.splitlines()
    assert lines[2].startswith(
        "| Row |  | vocals | bass | drums | other | mean | M params | CodeCarbon (kWh) |"
    )
    assert "| Base model | Paper | 7.7 | 6.1 | 9.7 | 4.8 | 7.1 | 32.3 | 127 | 168 |" in lines
    (here,) = [line for line in lines if line.startswith("| `bsrnn` | Here |")]
    assert here.startswith("| `bsrnn` | Here | 7.5 | 6.0 | 9.0 | 5.5 | 7.0 | 32.3 | 80 | ")
    assert "| `obsrnn` | Here |  |  |  |  |  |  |  |  |" in lines
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1


def test_csv(make_run):
    text = to_csv(collect([make_run("vocals", 7.54), make_run("vocals", 7.74, seed=2)]))
    rows = {line["row"]: line for line in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 26
    base = rows["bsrnn"]
    assert (base["title"], base["vocals_paper"]) == ("Base model", "7.7")
    assert float(base["vocals_here"]) == pytest.approx(7.64)
    assert (base["vocals_low"], base["vocals_high"], base["vocals_n"]) == ("7.54", "7.74", "2")
    assert (base["bass_paper"], base["bass_here"], base["mean_n"]) == ("6.1", "", "")
    assert rows["bsrnn_accumulate"]["parameters_paper"] == ""


def test_latex(make_run):
    text = to_latex(collect([make_run("vocals", 7.54, row="bsrnn_loss_time")]))
    lines = text.splitlines()
    assert r"Loss domain: time & Paper & 7.9 & 6.1 & 9.4 & 4.9 & 7.2 &  & 116 & 153 \\" in lines
    assert r"\texttt{bsrnn\_loss\_time} & Here & 7.5 &  &  &  &  &  &  &  \\" in lines
    table = [line for line in lines if "&" in line]
    assert {line.count("&") for line in table} == {9}
    assert r"\begin{tabular}{llrrrrrrrr}" in lines


def test_files_by_their_names(tmp_path):
    table = collect([])
    for name, form in {"a.md": to_markdown, "b.csv": to_csv, "c.tex": to_latex}.items():
        write(table, tmp_path / "tables" / name)
        assert (tmp_path / "tables" / name).read_text(encoding="utf-8") == form(table)
    with pytest.raises(UserError, match=r"must end in one of \.md, \.csv, \.tex"):
        write(table, tmp_path / "table.xls")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        write(table, tmp_path / "file" / "table.md")


def test_folders_without_a_ledger_are_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.ledger\.json: no ledger"):
        collect([tmp_path / "nowhere"])
