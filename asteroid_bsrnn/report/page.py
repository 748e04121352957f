"""The page of a report: its content, and the templates that show it.

Jinja escapes all text. Only the charts, whose text matplotlib escapes, are inserted as they are.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from markupsafe import Markup

from .._version import __version__
from ..costs.paper_table import Table
from ..evaluation import comparison_table
from ..evaluation.comparison import MEAN, Comparison
from ..tables import Column, rounded
from .clips import Player
from .drawing import Chart
from .inputs import Group
from .rendering import STATIC, environment
from .tables import Sheet


@dataclass(frozen=True)
class Section:
    """A comparison on one data set.

    Attributes:
        key: names it in the page.
        name: of the data's folder; None where it is not known.
        group: its records.
        comparison: of them, its paths those of copies in the report.
        sheet: its table.
        costs: charts of score and cost, by "kwh" and "real_time_factor".
        boxes: charts of the scores of all tracks, by measure.
        players: of chosen tracks.
        problems: lines on what is missing from the players.
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
    """Content of the page.

    Attributes:
        title: of the page.
        sections: a comparison each.
        notes: on parts that are missing.
        trainings: table of all runs; None where there are none.
        on_musdb18hq: from a run's label to whether it was on MUSDB18-HQ.
        curves: chart of the learning curves; None where there are none.
        paper: the paper's tables, "validation" and "test", with their sheets.
        energy: chart of the paper's scores and energies.
        reference: of the paper.
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
    path.write_text(text, encoding="utf-8")
    for file in sorted(STATIC.iterdir()):
        if file.is_file():
            shutil.copy(file, path.parent / file.name)


def _clock(seconds: float) -> str:
    """Return minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _decibels(value: float | None) -> str:
    """Return a score; "–" where there is none."""
    return "–" if value is None or value != value else _minus(rounded(value, 2))


def _minus(text: str) -> str:
    """Return text with real minus signs, which are as wide as a plus."""
    return text.replace("-", "\N{MINUS SIGN}")
