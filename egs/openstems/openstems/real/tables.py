"""Tables of the validation in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from asteroid_bsrnn.evaluation.statistics import Interval

from .scores import COLUMNS, FALSE_VOCALS, MEAN, Figures, difference
from .songs import GROUPS


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
