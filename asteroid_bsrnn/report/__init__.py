"""A report of evaluations and trainings: a folder of web pages, figures and sounds.

`build` reads the inputs, draws the charts, and writes the page.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..costs import paper_table
from ..errors import UserError
from ..evaluation import comparison_table
from ..evaluation.comparison import MEASURES, Comparison, Row
from ..evaluation.records import SCORES, safe_name
from . import charts
from .inputs import Group, Training, find_inputs, group, read_trainings
from .page import (
    Page,
    Section,
    comparison_sheet,
    on_musdb18hq,
    paper_sheet,
    paper_tables,
    trainings_sheet,
    write_page,
)
from .players import Player, Progress, choose_tracks, cut_excerpts, find_data, write_player

__all__ = ["Options", "build"]

PAGE = "index.html"
_ENERGY_AXIS = "training energy in kWh (CodeCarbon)"
# Only a folder with this file is replaced.
_MARK = ".asteroid-bsrnn-report"


@dataclass(frozen=True)
class Options:
    """Options of a report.

    Attributes:
        title: title of the page.
        roots: folders of the evaluated data sets, for the players.
        tracks: number of tracks of the players for each data set, or names of tracks.
        seconds: length of the excerpts.
        validation_tracks: names of the validation tracks; None means those of MUSDB18-HQ.
        test: paired test, as in `compare`.
        device: device of the separation.
        overwrite: whether to replace an existing report.
    """

    title: str = "Music source separation, compared"
    roots: Sequence[str] = ()
    tracks: int | Sequence[str] = 3
    seconds: float = 15.0
    validation_tracks: Sequence[str] | None = None
    test: str = "wilcoxon"
    device: str = "auto"
    overwrite: bool = False


def build(
    given: Sequence[str | os.PathLike],
    output: str | os.PathLike,
    options: Options | None = None,
    progress: Progress | None = None,
) -> tuple[Path, list[str]]:
    """Write a report.

    Args:
        given: folders of results and of training runs, or a comparison's JSON file.
        output: folder of the report.
        options: options of the report.
        progress: called with the numbers of finished and of all models.

    Returns:
        The path of the page, and a line for each missing part.

    Raises:
        UserError: if there is nothing to report, an input is damaged, or the folder exists.
    """
    options, output = options or Options(), Path(output)
    _check_output(output, options.overwrite)
    for root in options.roots:
        if not Path(root).is_dir():
            raise UserError(f"{root}: no such folder; give a data set, or a folder of stems")
    records, runs = find_inputs(given)
    groups = group(records, options.test)
    _check_tracks(groups, options)
    try:
        output.resolve().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".incomplete-", dir=output.resolve().parent))
    except OSError as error:
        reason = error.strerror
        raise UserError(f"{output}: cannot be written ({reason}); choose another") from error
    try:
        notes = _write(folder, groups, read_trainings(runs), options, progress)
        _put_in_place(folder, output)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return output / PAGE, notes


def _write(
    folder: Path,
    groups: Sequence[Group],
    trainings: Sequence[Training],
    options: Options,
    progress: Progress | None,
) -> list[str]:
    for name in ("figures", "tables", "records"):
        (folder / name).mkdir()
    (folder / _MARK).touch()
    notes: list[str] = []
    sections = []
    for one in groups:
        players, problems, name = _players(folder, one, options, progress)
        notes += problems
        sections.append(_section(folder, one, players, problems, name))
    page = Page(
        title=options.title, sections=sections, notes=notes, **_training_parts(folder, trainings)
    )
    write_page(folder / PAGE, page)
    return notes


def _section(
    folder: Path, one: Group, players: list[Player], problems: list[str], name: str | None
) -> Section:
    """Write the tables and charts of a comparison and return its section."""
    key = one.key
    comparison = _with_copies(folder, key, one.comparison)
    for suffix in (".csv", ".md", ".tex", ".json"):
        comparison_table.write(comparison, folder / "tables" / f"{key}{suffix}")
    links = {
        row.label: {what: path.relative_to(folder).as_posix() for what, path in row.paths.items()}
        for row in comparison.rows
    }
    score = "mean uSDR in dB"
    axes = {"kwh": _ENERGY_AXIS, "real_time_factor": "real-time factor"}
    figures = folder / "figures"
    costs = {}
    for cost, title in axes.items():
        points = charts.cost_points(comparison, cost)
        if points:
            costs[cost] = charts.draw_costs(figures, f"{key}_{cost}", points, title, score)
    titles = {"usdr": "uSDR in dB", "csdr": "cSDR in dB"}
    boxes = {
        measure: charts.draw_boxes(
            figures, f"{key}_{measure}", comparison, measure, titles[measure]
        )
        for measure in MEASURES
    }
    sheet = comparison_sheet(comparison, links)
    return Section(key, name, one, comparison, sheet, costs, boxes, players, problems)


def _players(
    folder: Path, one: Group, options: Options, progress: Progress | None
) -> tuple[list[Player], list[str], str | None]:
    """Return the players of a comparison, notes on missing parts, and the name of the data."""
    numbers = choose_tracks(one.comparison, options.tracks)
    if not numbers:
        return [], [], None
    found = find_data(one, options.roots, options.validation_tracks)
    if found is None:
        which = f"{len(one.tracks)} track(s), such as {one.tracks[0]!r}"
        return [], [f"nothing to listen to of {which}: give the data's folder with --root"], None
    data, name = found
    excerpts, problems = cut_excerpts(one, data, numbers, options.seconds, options.device, progress)
    rows = one.comparison.rows
    players = []
    for index, excerpt in enumerate(excerpts):
        scores = {
            (row.label, source): float(row.record.scores("usdr", source)[excerpt.number])
            for row in rows
            for source in row.record.sources()
        }
        players.append(write_player(folder, f"{one.key}-{index}", excerpt, scores))
    return players, problems, name


def _training_parts(folder: Path, trainings: Sequence[Training]) -> dict:
    """Return the parts of the page about training."""
    tables = paper_tables([training.run for training in trainings])
    for name, table in tables.items():
        for suffix in (".csv", ".md", ".tex"):
            paper_table.write(table, folder / "tables" / f"paper_{name}{suffix}")
    figures, links = folder / "figures", {}
    for number, training in enumerate(trainings):
        copy = folder / "records" / "trainings" / f"{number:02d}-{safe_name(training.label)[:60]}"
        copy.mkdir(parents=True)
        shutil.copy(training.run.folder / "ledger.json", copy)
        links[training.label] = (copy / "ledger.json").relative_to(folder).as_posix()
    shown = [t for t in trainings if t.validation or t.loss]
    sources = dict.fromkeys(
        source for t in trainings for source in (t.run.record["best"] or {"usdr": {}})["usdr"]
    )
    return {
        "trainings": trainings_sheet(trainings, list(sources), links) if trainings else None,
        "on_musdb18hq": {t.label: on_musdb18hq(t.run) for t in trainings},
        "curves": charts.draw_trainings(figures, "training", shown) if shown else None,
        "paper": {name: (table, paper_sheet(table)) for name, table in tables.items()},
        "energy": charts.draw_costs(
            figures,
            "paper_energy",
            charts.paper_points(tables["validation"]),
            _ENERGY_AXIS,
            "mean uSDR in dB, validation tracks of MUSDB18-HQ",
        ),
        "reference": paper_table.paper_figures()["source"],
    }


def _with_copies(folder: Path, key: str, comparison: Comparison) -> Comparison:
    """Copy the records into the report, so that its links work after it is moved."""

    def copied(number: int, row: Row) -> Row:
        place = folder / "records" / key / f"{number:02d}-{safe_name(row.label)[:60]}"
        place.mkdir(parents=True)
        tracks = row.record.folder / SCORES
        for path in [*row.paths.values(), *([tracks] if tracks.is_file() else [])]:
            shutil.copy(path, place)
        return replace(row, paths={what: place / path.name for what, path in row.paths.items()})

    return replace(comparison, rows=[copied(n, row) for n, row in enumerate(comparison.rows)])


def _check_output(output: Path, overwrite: bool) -> None:
    """Refuse to overwrite anything but an older report."""
    if output.is_file():
        raise UserError(f"{output}: a file; name a folder for the report")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / _MARK).is_file():
        raise UserError(f"{output}: holds other files than a report's; choose another folder")
    if not overwrite:
        raise UserError(f"{output}: exists already; use --overwrite to replace it")


def _check_tracks(groups: Sequence[Group], options: Options) -> None:
    """Refuse names of tracks that are in no comparison."""
    known = [name for one in groups for name in one.tracks]
    for name in [] if isinstance(options.tracks, int) else options.tracks:
        if name not in known:
            raise UserError(f"no track {name!r}; there are {', '.join(dict.fromkeys(known))}")


def _put_in_place(folder: Path, output: Path) -> None:
    """Move the finished report into place, then remove the older one."""
    folder.chmod(0o755)  # temporary folders are private
    former = folder.with_name(f"{folder.name}-former")
    if output.exists():
        os.replace(output, former)
    os.replace(folder, output)
    shutil.rmtree(former, ignore_errors=True)


__all__ = ["Options", "build"]
