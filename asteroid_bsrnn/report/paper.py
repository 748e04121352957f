"""The paper's tables and its energy figure, with runs on MUSDB18-HQ beside it and nothing else.

A run on other data says so in its configuration (`data.musdb18hq: false`); it never stands here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..costs.paper_table import Figure, Table, collect, paper_figures
from ..costs.runs import Run
from ..data.verification import MUSDB18HQ_COUNTS
from ..evaluation.records import SUMMARY
from .charts import Point, draw_costs
from .drawing import MUTED, PALETTE, Chart

# Where the recipe puts a run's results on the test tracks.
TEST_RESULTS = "evaluation_test"
_PAPER, _HERE = (MUTED, "o"), (PALETTE[1], "s")


def on_musdb18hq(run: Run) -> bool:
    """Whether a run was trained on MUSDB18-HQ."""
    data = run.configuration.get("data")
    return isinstance(data, Mapping) and data.get("musdb18hq") is True


def paper_tables(runs: Sequence[Run]) -> dict[str, Table]:
    """The tables of validation and of test scores.

    Args:
        runs: on any data; those on other data than MUSDB18-HQ are left out.

    Raises:
        UserError: if runs of a row can't stand together.
    """
    folders = [run.folder for run in runs if on_musdb18hq(run)]
    scores = {folder: found for folder in folders if (found := _test_scores(folder))}
    return {
        "validation": collect(folders),
        "test": collect(list(scores), test_scores=scores),
    }


def draw_energy(folder: Path, table: Table) -> Chart:
    """The paper's figure of score and energy, with what the runs here gave.

    Args:
        folder: for the files.
        table: of validation scores.
    """
    points = []
    for row in table.rows:
        cost, score = row.paper["codecarbon_kwh"], row.paper["mean"]
        if cost is not None and score is not None:
            points.append(
                Point(row.title, cost, score, colour=_PAPER[0], marker=_PAPER[1], labelled=False)
            )
        cost, score = row.here["codecarbon_kwh"], row.here["mean"]
        if cost is not None and score is not None:
            place = (f"{row.name} (here)", cost.mean, score.mean)
            points.append(Point(*place, colour=_HERE[0], marker=_HERE[1]))
    title = "mean uSDR in dB, validation tracks of MUSDB18-HQ"
    return draw_costs(folder, "paper_energy", points, "training energy in kWh (CodeCarbon)", title)


def reference() -> str:
    """Which paper it is."""
    return paper_figures()["source"]


def shown(value: float | Figure | None, column: str, decimals: int) -> str:
    """A figure as the paper's tables show it; "" for None.

    Args:
        value: of the paper, or of runs.
        column: of the table.
        decimals: of its scores.
    """
    if value is None:
        return ""
    if isinstance(value, Figure):
        text = shown(value.mean, column, decimals)
        return ("≈" if value.extrapolated else "") + text + ("†" if value.unfinished else "")
    if column == "parameters":
        return f"{value:.1f}" if value >= 1 else f"{value:.3g}"
    if column.endswith("_kwh"):
        return f"{value:.0f}" if value >= 10 else f"{value:.3g}"
    return f"{value:.{decimals}f}"


def _test_scores(folder: Path) -> dict[str, float] | None:
    """Each source's cSDR, of an evaluation of all test tracks."""
    try:
        summary = json.loads((folder / TEST_RESULTS / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if summary["n_tracks"] != MUSDB18HQ_COUNTS["test"]:
        return None
    return {source: score for source, score in summary["csdr"].items() if source != "mean"}
