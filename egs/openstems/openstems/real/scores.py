"""Figures of models on the validation set, their tables, and the rule for new weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from asteroid_bsrnn import Separator
from asteroid_bsrnn.evaluation import evaluate
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.evaluation.records import Candidate, read_record
from asteroid_bsrnn.evaluation.running import evaluate_model
from asteroid_bsrnn.evaluation.statistics import Interval, interval, paired_test

from .songs import GROUPS, REST, TEACHER

MEASURE = "usdr_over_scaled_mixture"
STEMS = ("vocals", "drums", "bass", "other", "bass+other", REST)
MEAN, FALSE_VOCALS = "mean", "false vocals"
COLUMNS = (*STEMS, MEAN, FALSE_VOCALS)
P_VALUE = 0.05
TOLERANCE = 0.1
"""Largest loss of a stem in dB that does not count as worse."""


@dataclass(frozen=True)
class Figures:
    """Scores of a model on the set.

    Attributes:
        label: name of the model.
        songs: (group, name) of the songs, in order.
        scores: from one of `STEMS` to (songs,) in dB above the best scaled mixture, NaN for songs
            without the stem; from "mean" to each song's mean over its stems; from "false vocals" to
            their level relative to the mixture.
    """

    label: str
    songs: Sequence[tuple[str, str]]
    scores: Mapping[str, np.ndarray]

    def figure(self, column: str, groups: Iterable[str] = GROUPS) -> Interval:
        """Return the mean over the songs of some groups, with its bootstrap interval."""
        inside = np.array([group in set(groups) for group, _ in self.songs])
        return interval(np.where(inside, self.scores[column], np.nan), mean=True)


def measure(
    model: Candidate,
    root: Path,
    output: Path,
    separator: Mapping[str, Any],
    progress: Callable[[str], None],
) -> Figures:
    """Evaluate a model on all groups; resumes where it was interrupted.

    Args:
        model: to evaluate.
        root: folder of the set.
        output: folder of the records, with one folder for each group.
        separator: further arguments of `Separator`.
        progress: called with a line for each group.

    Raises:
        UserError: if the model cannot be loaded, or the set is missing.
    """
    songs: list[tuple[str, str]] = []
    rows: list[dict[str, float]] = []
    for group in GROUPS:
        data = EvaluationTracks(root / group)
        progress(f"{model.label}: {group}, {len(data)} songs")
        if group == "instrumentals":
            record = _levels(model, data, output / group, separator)
            columns = {FALSE_VOCALS: record.scores("level", "vocals")}
        elif group == "teacher" and TEACHER in (model.name, *(m["model"] for m in model.members)):
            columns = {}  # Of songs separated by Spleeter, its estimates are the references.
        else:
            record = evaluate_model(model, data, output / group, separator=separator)
            columns = {stem: record.scores(MEASURE, stem) for stem in record.sources(MEASURE)}
        for number, track in enumerate(data.tracks):
            songs.append((group, track.name))
            rows.append({name: float(values[number]) for name, values in columns.items()})
    return Figures(model.label, songs, _columns(rows))


def _levels(
    model: Candidate, data: EvaluationTracks, output: Path, separator: Mapping[str, Any]
) -> Any:
    """Return the record with the level of each estimate."""
    made = Separator(model.path, **separator)
    settings = {"weights_sha256": model.sha256, "data_fingerprint": data.fingerprint}
    folder = output / model.label
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The true vocals are silent.
        evaluate(
            made,
            data,
            folder,
            sources=data.sources,
            settings=settings,
            more_scores=_level_scores,
            facts={"model": model.facts(folder)},
        )
    return read_record(folder)


def _level_scores(
    mixture: torch.Tensor, references: torch.Tensor, estimates: torch.Tensor, sample_rate: float
) -> dict[str, torch.Tensor]:
    """Return the energy of the estimates relative to the mixture in dB, at least -120."""
    energy = estimates.double().square().sum(dim=(1, 2)) / mixture.double().square().sum()
    return {"level": 10 * energy.clamp_min(1e-12).log10()}


def _columns(rows: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    columns = {
        name: np.array([row.get(name, np.nan) for row in rows]) for name in (*STEMS, FALSE_VOCALS)
    }
    table = np.stack([columns[stem] for stem in STEMS], axis=1)
    scored = np.isfinite(table).any(axis=1)
    mean = np.full(len(rows), np.nan)
    mean[scored] = np.nanmean(table[scored], axis=1)
    return {**columns, MEAN: mean}


def difference(one: Figures, two: Figures, column: str) -> tuple[Interval, float]:
    """Return the mean difference over the songs with scores of both, and its p-value."""
    first, second = one.scores[column], two.scores[column]
    return interval(first - second, mean=True), paired_test(first, second)


def obstacles(challenger: Figures, incumbent: Figures) -> list[str]:
    """Return the reasons why the challenger may not replace the incumbent; empty if it may.

    The mean over songs must be higher with p < 0.05. No stem may be lower by more than `TOLERANCE`
    or significantly lower, and false vocals may not be louder in the same sense.
    """
    found, p = difference(challenger, incumbent, MEAN)
    problems = []
    if not (found.value > 0 and p < P_VALUE):
        problems.append(f"{MEAN}: {found.value:+.2f} dB, p = {p:.2g}")
    for column in (*STEMS, FALSE_VOCALS):
        found, p = difference(challenger, incumbent, column)
        behind = found.value if column == FALSE_VOCALS else -found.value
        if np.isnan(behind):
            problems.append(f"{column}: not scored")
        elif behind > TOLERANCE or (behind > 0 and p < P_VALUE):
            problems.append(f"{column}: {found.value:+.2f} dB, p = {p:.2g}")
    return problems


def figures_table(models: Sequence[Figures]) -> str:
    """Return the table of all models: means over songs, with intervals."""
    counts = [models[0].figure(column).n for column in COLUMNS]
    titles = [f"{column} ({count})" for column, count in zip(COLUMNS, counts, strict=True)]
    rows = [[f"`{m.label}`", *(_cell(m.figure(column)) for column in COLUMNS)] for m in models]
    return _table(["model (songs)", *titles], rows)


def groups_table(models: Sequence[Figures]) -> str:
    """Return the table of the vocals and of the mean over all stems by group."""
    groups = [group for group in GROUPS if group != "instrumentals"]
    head = ["model"] + [f"{group}: {column}" for group in groups for column in ("vocals", MEAN)]
    rows = [
        [
            f"`{m.label}`",
            *(_cell(m.figure(column, [g]), "") for g in groups for column in ("vocals", MEAN)),
        ]
        for m in models
    ]
    return _table(head, rows)


def differences_table(models: Sequence[Figures], against: Figures) -> str:
    """Return the table of paired differences from a model, with p-values."""
    rows = []
    for model in models:
        if model is against:
            continue
        cells = []
        for column in COLUMNS:
            found, p = difference(model, against, column)
            # Fewer than six songs cannot show a significant difference.
            cells.append(_cell(found) + (f", p = {p:.2g}" if found.n > 5 else ""))
        rows.append([f"`{model.label}` - `{against.label}`", *cells])
    return _table(["difference", *COLUMNS], rows)


def loudest_false_vocals(model: Figures) -> str:
    """Return a sentence on the song with the loudest false vocals."""
    levels = model.scores[FALSE_VOCALS]
    number = max(range(len(levels)), key=lambda n: (levels[n] == levels[n], levels[n]))
    return f"`{model.label}`: {levels[number]:.1f} dB ({model.songs[number][1]})"


def _cell(figure: Interval, missing: str = "") -> str:
    if figure.value != figure.value:
        return missing
    bounds = f" [{figure.low:.2f}, {figure.high:.2f}]" if figure.low == figure.low else ""
    return f"{figure.value:.2f}{bounds}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
