"""Excerpts of tracks, separated by the models of a comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import peers  # noqa: F401  so that their files load
from ..data import Layout
from ..errors import UserError
from ..evaluation.comparison import Comparison, Row
from ..evaluation.datasets import EvaluationTracks
from ..evaluation.records import weights_of
from ..options import SPLITS
from ..progress import Progress
from ..separation.separator import Separator
from .inputs import Group


@dataclass(frozen=True)
class Excerpt:
    """Excerpt of a track.

    Attributes:
        name: name of the track.
        number: number of the track in the comparison.
        start: start in the track in seconds.
        sample_rate: in hertz.
        mixture: (channels, time).
        references: source -> (channels, time).
        estimates: model's label -> source -> (channels, time).
    """

    name: str
    number: int
    start: float
    sample_rate: int
    mixture: np.ndarray
    references: Mapping[str, np.ndarray]
    estimates: Mapping[str, Mapping[str, np.ndarray]]

    @property
    def seconds(self) -> float:
        """Its length in seconds."""
        return self.mixture.shape[-1] / self.sample_rate


def choose_tracks(comparison: Comparison, wanted: int | Sequence[str]) -> list[int]:
    """Return the numbers of the tracks to listen to.

    Args:
        comparison: comparison of the tracks.
        wanted: names of tracks, or a number of tracks, which
            are spread from the worst to the best by the mean uSDR of the first model.
    """
    names = list(comparison.rows[0].record.names)
    if not isinstance(wanted, int):
        return [names.index(name) for name in wanted if name in names]
    models = [row for row in comparison.rows if not row.record.is_reference_point]
    record = (models or comparison.rows)[0].record
    table = np.stack([record.scores("usdr", source) for source in record.sources()])
    means = np.where(np.isfinite(table), table, 0).sum(0) / np.isfinite(table).sum(0).clip(1)
    order = np.argsort(means, kind="stable")
    places = np.linspace(0, len(order) - 1, min(wanted, len(order)))
    return [int(order[round(place)]) for place in places]


def find_data(
    group: Group, roots: Sequence[str], validation_tracks: Sequence[str] | None
) -> tuple[EvaluationTracks, str] | None:
    """Return the tracks of a group's records and the name of their folder; None if not found.

    Args:
        group: group of records.
        roots: folders of data sets.
        validation_tracks: as in `EvaluationTracks`.
    """
    split = group.part if group.part in SPLITS else "test"
    sources, described = (group.settings.get(key) for key in ("data_sources", "data_layout"))
    for root in roots:
        try:
            data = EvaluationTracks(
                root,
                split,
                sources=sources,
                validation_tracks=validation_tracks,
                layout=None if described is None else Layout.from_settings(described),
            )
        except UserError:
            continue  # other data; the caller says so if none fits
        if data.fingerprint == group.fingerprint:
            return data, Path(root).resolve().name
    return None


def cut_excerpts(
    group: Group,
    data: EvaluationTracks,
    numbers: Sequence[int],
    seconds: float,
    device: str,
    progress: Progress | None = None,
) -> tuple[list[Excerpt], list[str]]:
    """Separate excerpts of tracks with all models whose weights exist.

    Args:
        group: group with the records of the models.
        data: data with the tracks.
        numbers: numbers of the tracks.
        seconds: length of an excerpt.
        device: as for `Separator`.
        progress: called with the numbers of finished and of all models.

    Returns:
        The excerpts, and a line for each model that could not be used.
    """
    parts = [_part(data[number], data.sources, number, seconds) for number in numbers]
    rows = [row for row in group.comparison.rows if not row.record.is_reference_point]
    estimates: list[dict] = [{} for _ in parts]
    problems = []
    for index, row in enumerate(rows):
        try:
            separator = _separator(row, device)
        except UserError as error:
            problems.append(f"{row.label} is not in the players: {error}")
            continue
        for part, found in zip(parts, estimates, strict=True):
            stems = separator.separate(part.mixture, part.sample_rate)
            wanted = [source for source in part.references if source in stems]
            found[row.label] = {source: stems[source] for source in wanted}
        if progress is not None:
            progress(index + 1, len(rows))
    return [
        Excerpt(p.name, p.number, p.start, p.sample_rate, p.mixture, p.references, found)
        for p, found in zip(parts, estimates, strict=True)
    ], problems


def liveliest(stems: np.ndarray, sample_rate: int, seconds: float) -> int:
    """Return the start of an excerpt in which all stems are audible.

    Args:
        stems: (sources, channels, time).
        sample_rate: in hertz.
        seconds: length of the excerpt.

    Returns:
        The first sample, at a whole second, of the excerpt that maximises the lowest relative stem
        level. A stem's level is relative to its loudest excerpt.
    """
    n_seconds = stems.shape[-1] // sample_rate
    length = max(1, round(seconds))
    if n_seconds <= length:
        return 0
    whole = stems[..., : n_seconds * sample_rate]
    powers = np.square(whole.reshape(len(stems), -1, n_seconds, sample_rate)).mean((1, 3))
    sums = np.cumsum(np.pad(powers, ((0, 0), (1, 0))), axis=1)
    parts = sums[:, length:] - sums[:, :-length]
    sounding = parts[parts.max(axis=1) > 0]
    if not len(sounding):
        return 0
    balance = (sounding / sounding.max(axis=1, keepdims=True)).min(axis=0)
    return int(balance.argmax()) * sample_rate


def _part(track: Mapping, names: Sequence[str], number: int, seconds: float) -> Excerpt:
    rate, stems = round(track["sample_rate"]), track["sources"].numpy()
    start = liveliest(stems, rate, seconds)
    span = slice(start, start + round(seconds * rate))
    return Excerpt(
        track["name"],
        number,
        start / rate,
        rate,
        track["mixture"][..., span].numpy(),
        {name: stem[..., span] for name, stem in zip(names, stems, strict=True)},
        {},
    )


def _separator(row: Row, device: str) -> Separator:
    """Return the model with the settings of its evaluation.

    Raises:
        UserError: if its weights are missing or changed.
    """
    record = row.record
    if record.model["kind"] == "estimates":
        raise UserError("its stems were written by another tool")
    path = weights_of(record.model, record.folder)
    if path is None:
        raise UserError("its weights are gone")
    return Separator(path, device=device, **record.summary["settings"]["separator"])
