"""The paper's test rows beside scores of its published weights.

The paper (arXiv 2603.09187) reports cSDR on the test tracks of MUSDB18-HQ: museval's SDR, the
median over frames of one second and then over tracks. Only the same measure on the same tracks is
compared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..costs.paper_table import SCORES, SOURCES, Figure, Row, Table, paper_figures
from ..data import TEST_TRACKS
from ..data.musdb18hq import MUSDB18HQ_SAMPLE_RATE
from .datasets import EvaluationTracks
from .records import Record

MEASURE = "museval_sdr"
# The test tracks last 3.5 hours; musdb also offers excerpts of 7 s under the same names.
_LEAST_SECONDS = 3 * 3600


def rows() -> dict[str, dict]:
    """Return the paper's test rows: name of the weights -> `title` and cSDR in dB by source."""
    paper = paper_figures()["test"]
    return {
        name: dict(zip(paper["columns"], figures, strict=True))
        for name, figures in paper["rows"].items()
    }


def obstacle(data: EvaluationTracks) -> str | None:
    """Return the reason why figures on these data are not comparable with the paper's, or None."""
    names = {track.name for track in data.tracks}
    found = len(names & set(TEST_TRACKS))
    if data.split != "test" or names != set(TEST_TRACKS):
        return (
            f"the tracks are not the {len(TEST_TRACKS)} test tracks of MUSDB18-HQ, but {found} of "
            f"those and {len(names) - found} other(s)"
        )
    if not set(SOURCES) <= set(data.sources):
        return f"the stems are {', '.join(data.sources)}, not {', '.join(SOURCES)}"
    if data.without_mixture:
        return f"{len(data.without_mixture)} track(s) have no mixture.wav"
    if any(track.sample_rate != MUSDB18HQ_SAMPLE_RATE for track in data.tracks):
        return f"not all tracks have a sample rate of {MUSDB18HQ_SAMPLE_RATE} Hz"
    seconds = sum(track.frames / track.sample_rate for track in data.tracks)
    if seconds < _LEAST_SECONDS:
        return f"the tracks last {seconds / 60:.0f} minutes in all, those of MUSDB18-HQ 3.5 hours"
    return None


def compare_with_paper(records: Sequence[Record], *, other_data: bool = False) -> Table | None:
    """Compare results of the published weights with the paper's.

    Args:
        records: records of an evaluation with museval; other models are left out.
        other_data: whether to mark the figures as those of other data than the paper's.

    Returns:
        A table in the order of the paper, with differences; None without a matching record.
    """
    paper = paper_figures()["test"]
    by_name = {record.model.get("name"): record for record in records if MEASURE in record.summary}
    found = tuple(
        Row(
            name,
            figures["title"],
            {column: figures[column] for column in SCORES},
            _here(by_name[name].summary[MEASURE], other_data),
            (by_name[name].folder,),
        )
        for name, figures in rows().items()
        if name in by_name
    )
    if not found:
        return None
    return Table(paper["measure"], paper["decimals"], SCORES, found, differences=True)


def _here(scores: Mapping[str, float], other_data: bool) -> dict[str, Figure | None]:
    """Return the figures by source, and their mean if there are four."""
    values = {source: float(scores.get(source, math.nan)) for source in SOURCES}
    values["mean"] = sum(values.values()) / len(SOURCES)
    return {
        column: (
            Figure(value, value, value, 1, other_data=other_data) if math.isfinite(value) else None
        )
        for column, value in values.items()
    }
