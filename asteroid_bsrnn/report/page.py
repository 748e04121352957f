"""Pages: that of a report, with its content and tables, and that of a separated song.

Jinja escapes all text. Only the charts, whose text matplotlib escapes, are inserted as they are.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .._version import __version__
from ..audio.names import page_name
from ..costs import paper_table
from ..costs.paper_table import Table
from ..costs.runs import Run
from ..data.musdb18 import MUSDB18HQ_COUNTS
from ..errors import UserError
from ..evaluation import comparison_table, oracles
from ..evaluation.comparison import MEAN, Comparison, Row
from ..evaluation.records import SUMMARY
from ..files import write_text
from ..tables import EMPTY, Cell, Column, rounded
from .drawing import Chart
from .inputs import Group, Training
from .players import Player

STATIC = Path(__file__).parent / "static"

# Copies of records: label of a row -> "record", "costs" or "ledger" -> path in the report.
Links = Mapping[str, Mapping[str, str]]

# Folder of the results on the test tracks in the folder of a run.
_TEST_RESULTS = "evaluation_test"


@dataclass(frozen=True)
class Line:
    """Row of a table.

    Attributes:
        best: indices of the cells that no other model exceeds.
        note: text beside the title.
        is_reference_point: whether the row is the mixture or an oracle instead of a model.
        colour: number of the series in charts; None for reference points.
    """

    title: str
    cells: Sequence[Cell]
    best: frozenset[int] = frozenset()
    note: str = ""
    is_reference_point: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Sheet:
    """Table of the page.

    Attributes:
        columns: columns of values, after the title.
        lines: rows; those of tables with the paper's figures have two cells per column.
    """

    columns: Sequence[Column]
    lines: Sequence[Line]


@dataclass(frozen=True)
class Section:
    """Section of the page: a comparison on one data set.

    Attributes:
        key: name in the page.
        name: name of the folder of the data; None if it is unknown.
        comparison: comparison whose paths are those of copies in the report.
        costs: charts of score and cost by "kwh" and "real_time_factor".
        boxes: charts of the scores of all tracks by measure.
        problems: lines on missing parts of the players.
    """

    key: str
    name: str | None
    group: Group
    comparison: Comparison
    sheet: Sheet
    costs: Mapping[str, Chart]
    boxes: Mapping[str, Chart]
    players: Sequence[Player]
    problems: Sequence[str]

    @property
    def title(self) -> str:
        """Name of the data and the split."""
        split = {"folders": "", "all": "all tracks"}.get(
            self.group.part, f"{self.group.part} split"
        )
        return ", ".join(part for part in (self.name or "Evaluation", split) if part)

    @property
    def tests(self) -> Sequence[Mapping]:
        """Paired tests on the mean uSDR of the sources."""
        return self.comparison.tests["usdr"][MEAN]


@dataclass(frozen=True)
class Page:
    """Contents of the page.

    Attributes:
        notes: lines on missing parts.
        trainings: table of all runs; None without runs.
        on_musdb18hq: whether a run was on MUSDB18-HQ, by label.
        curves: chart of the learning curves; None without curves.
        paper: the paper's tables, "validation" and "test", with their sheets.
        energy: chart of the paper's scores and energies.
    """

    title: str
    sections: Sequence[Section]
    notes: Sequence[str]
    trainings: Sheet | None
    on_musdb18hq: Mapping[str, bool]
    curves: Chart | None
    paper: Mapping[str, tuple[Table, Sheet]]
    energy: Chart
    reference: str


def environment(**filters: Callable) -> Environment:
    """Return Jinja's environment, which escapes all text and refuses undefined names.

    `filters` are further ones by name.
    """
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(filters)
    return made


def write_page(path: Path, page: Page) -> None:
    """Write the page, with its style sheet and scripts beside it."""
    pages = environment(clock=_clock, db=_decibels, markup=Markup, minus=_minus)
    text = pages.get_template("page.html").render(
        page=page,
        comparisons=comparison_table,
        decibels=Column("", decimals=2),
        version=__version__,
        day=datetime.now(timezone.utc).date().isoformat(),
    )
    # File names may be invalid Unicode, but the page must be valid.
    valid = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    path.write_text(valid, encoding="utf-8")
    for file in sorted(STATIC.iterdir()):
        if file.is_file():
            shutil.copy(file, path.parent / file.name)


def _clock(seconds: float) -> str:
    """Return minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _decibels(value: float | None) -> str:
    """Return a score; "–" if it is missing."""
    return "–" if value is None or value != value else _minus(rounded(value, 2))


def _minus(text: str) -> str:
    """Return text with real minus signs, which are as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")


def comparison_sheet(comparison: Comparison, links: Links) -> Sheet:
    """Return the table that `asteroid-bsrnn compare` prints."""
    columns = comparison_table.columns_of(comparison)
    models = [row for row in comparison.rows if not row.record.is_reference_point]
    best = [_best(column, models) for column in columns]
    lines = []
    for row in comparison.rows:
        cells = [
            replace(column.cell(row), link=links[row.label].get(column.path, ""))
            for column in columns
        ]
        reference = row.record.is_reference_point
        reached = {
            index
            for index, (cell, top) in enumerate(zip(cells, best, strict=True))
            if top is not None and cell.value == top
        }
        lines.append(
            Line(
                row.label,
                cells,
                frozenset() if reference else frozenset(reached),
                _note(row),
                reference,
                None if reference else models.index(row),
            )
        )
    # The measure is shown above the table.
    names = tuple(f"{name} " for name in comparison_table.NAMES.values())
    titles = [c.title.removeprefix(names[0]).removeprefix(names[1]) for c in columns]
    short = [replace(column, title=title) for column, title in zip(columns, titles, strict=True)]
    return Sheet(short, lines)


def trainings_sheet(
    trainings: Sequence[Training], sources: Sequence[str], links: Mapping[str, str]
) -> Sheet:
    """Return the best validation scores by source, and the costs of runs on any data.

    `links` has the copies of the ledgers by label.
    """
    costs: dict[Column, Callable[[Run], Cell | None]] = {
        Column("M params", group="cost"): Run.parameters,
        Column("epochs", group="cost"): lambda run: Cell(run.record["totals"]["epochs"]),
        Column("hours", group="cost"): lambda run: Cell(run.record["totals"]["hours"]),
        Column("CodeCarbon", "kWh", group="cost"): Run.codecarbon_kwh,
        Column("Green Algorithms", "kWh", group="cost"): Run.green_algorithms_kwh,
    }
    columns = [*(Column(source, decimals=2, group="usdr") for source in sources), *costs]
    lines = []
    for index, training in enumerate(trainings):
        run, link = training.run, links[training.label]
        values = [run.validation_score(source) for source in sources]
        values += [value(run) for value in costs.values()]
        note = run.row if run.row != training.label else ""
        cells = [EMPTY if value is None else replace(value, link=link) for value in values]
        lines.append(Line(training.label, cells, note=note, colour=index))
    return Sheet(columns, lines)


def paper_sheet(table: paper_table.Table) -> Sheet:
    """Return a table of the paper, with the paper's figure and that of the runs in each column."""
    lines = []
    for row in table.rows:
        cells = []
        for column in table.columns:
            cells += [Cell(row.paper[column]), row.here[column] or EMPTY]
        lines.append(Line(row.title, cells, note=row.name or ""))
    return Sheet(paper_table.columns_of(table), lines)


def paper_tables(runs: Sequence[Run]) -> dict[str, paper_table.Table]:
    """Return the paper's tables of validation and test scores with those runs on MUSDB18-HQ.

    Raises:
        UserError: if runs cannot share a row.
    """
    folders = [run.folder for run in runs if on_musdb18hq(run)]
    scores = {folder: found for folder in folders if (found := _test_scores(folder))}
    return {
        "validation": paper_table.collect(folders),
        "test": paper_table.collect(list(scores), test_scores=scores),
    }


def on_musdb18hq(run: Run) -> bool:
    """Return whether a run was trained on MUSDB18-HQ, according to its configuration."""
    data = run.configuration.get("data")
    return isinstance(data, Mapping) and data.get("musdb18hq") is True


def _test_scores(folder: Path) -> dict[str, float] | None:
    """Return the cSDR by source of an evaluation on all test tracks."""
    try:
        summary = json.loads((folder / _TEST_RESULTS / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if summary["n_tracks"] != MUSDB18HQ_COUNTS["test"]:
        return None
    return summary["csdr"]


def _best(column: comparison_table.Column, models: Sequence[Row]) -> float | None:
    """Return the best value of all models; None for a single model or without a direction."""
    values = [value for row in models if (value := column.cell(row).value) is not None]
    return column.best(values) if column.best and len(values) > 1 else None


def _note(row: Row) -> str:
    if row.record.is_reference_point and row.record.label in oracles.names():
        return oracles.description(row.record.label)
    return row.record.summary.get("model", {}).get("class") or ""


# --- the page of a song that `separate --page` writes --------------------------------------------


_MARK = '<meta name="generator" content="asteroid-bsrnn separate '
"""Beginning of a line of every page; files with it may be replaced."""


def page_path(track: str, stems: Mapping[str, Path], overwrite: bool = False) -> Path:
    """Return the path of a song's page, `<track>.html` in the folder that contains all stems.

    Args:
        track: name of the song.
        stems: path of each stem by name.
        overwrite: whether the page may replace another file.

    Raises:
        UserError: if its place is taken by something else.
    """
    folder = os.path.commonpath([path.parent for path in stems.values()])
    path = Path(folder, page_name(track))
    if path.is_dir():
        raise UserError(f"{path}: a folder is in the place of the page; move it away")
    if path.exists() and not overwrite and not _is_page(path):
        raise UserError(
            f"{path}: exists and is no page of this program; use --overwrite to replace it"
        )
    return path


def write_song_page(path: Path, track: str, stems: Mapping[str, Path]) -> None:
    """Write the page of a song to the path that `page_path` returned.

    It has relative links to the stems and contains everything else. It plays the stems by `<audio>`
    elements, because a page opened from disk may not read the samples of other files.

    Raises:
        UserError: if the page cannot be written.
    """
    links = {name: stem.relative_to(path.parent).as_posix() for name, stem in stems.items()}
    style, script = (
        Markup((STATIC / name).read_text(encoding="utf-8")) for name in ("report.css", "theme.js")
    )
    text = (
        environment()
        .get_template("listening.html")
        .render(
            # File names may be invalid Unicode, but the page must be valid.
            track=os.fsencode(track).decode("utf-8", "replace"),
            stems={name: quote(os.fsencode(link)) for name, link in links.items()},
            mark=Markup(_MARK),
            version=__version__,
            report_css=style,
            theme_js=script,
        )
    )
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"{path}: the page cannot be written ({error.strerror})") from error


def _is_page(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return _MARK in file.read(1000)
    except OSError:
        return False
