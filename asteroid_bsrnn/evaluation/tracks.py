"""Evaluation of a separator track by track, which can be interrupted and goes on where it was.

Each track's result is a JSON file of its own, with a hash of the settings it was made with; results
of other settings are made anew and never mixed in. `all_metrics.csv` and `final_metrics.json`, the
names that Asteroid's recipes use, are written from them at the end.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

from .. import metrics
from .._version import __version__
from ..errors import UserError
from ..progress import Progress
from ..separation.separator import Separator
from .scores import estimate_of, scorable
from .writing import write_json, write_scores

# Mixture (channels, time), references and estimates (sources, channels, time), hertz -> measure ->
# (sources,)
MoreScores = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, float], Mapping[str, Iterable[float]]
]


def evaluate(
    separator: Separator,
    tracks: Sequence[Mapping],
    folder: str | os.PathLike,
    *,
    sources: Sequence[str],
    settings: Mapping,
    museval_processes: int = 0,
    progress: Progress | None = None,
    more_scores: MoreScores | None = None,
    facts: Mapping | None = None,
) -> dict:
    """Separate and score every track.

    Args:
        separator: what is evaluated. Something that needs the references too, as oracles do, has
            a `separate_track`, which is given the track.
        tracks: a sequence of dicts with `name`, `mixture` (channels, time) and `sources` (stems,
            channels, time), loaded when asked for, at the separator's sample rate or at the
            `sample_rate` that they have.
        folder: of the results.
        sources: names of the stems of a track, in order; those that the separator estimates are
            scored, and sums of them, which have names such as `bass+other`.
        settings: plain facts of the model and the data, recorded beside the figures. With those of
            the separator and the versions they decide which results belong together.
        museval_processes: other than 0, museval's SDR, ISR, SIR and SAR are computed too, which
            takes minutes a track, in so many processes. A script that asks for them keeps its own
            work under `if __name__ == "__main__":`.
        progress: called with the number of tracks done and in all.
        more_scores: gives further measures of a track, besides uSDR and cSDR.
        facts: plain facts for every record that do not decide which results belong together.

    Returns:
        What `final_metrics.json` holds.

    Raises:
        UserError: if there are no tracks, or museval is asked for and missing.
    """
    if len(tracks) == 0:
        raise UserError("there are no tracks to evaluate")
    folder = Path(folder)
    (folder / "tracks").mkdir(parents=True, exist_ok=True)
    settings = resolve_settings(separator, settings, museval_processes)
    key = settings_hash(settings)
    facts = {"made_with": settings, **(facts or {})}
    records = {number: _finished(folder, key, number) for number in range(len(tracks))}
    missing = [number for number, record in records.items() if record is None]

    def pairs() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for number in missing:
            scores, references, estimates = _score(separator, tracks[number], sources, more_scores)
            records[number] = {"settings": key, "number": number, **scores, **facts}
            yield references, estimates

    scored = (
        metrics.museval_many(pairs(), museval_processes)
        if museval_processes
        else (None for _ in pairs())
    )
    for done, (number, museval) in enumerate(zip(missing, scored, strict=True), start=1):
        if museval is not None:
            records[number]["scores"].update(_medians(museval, records[number]))
        write_json(_record_path(folder, number), records[number])
        if progress is not None:
            progress(len(tracks) - len(missing) + done, len(tracks))
    ordered = [records[number] for number in range(len(tracks))]
    write_scores(folder / "all_metrics.csv", ordered)
    summary = {**aggregate(ordered), "settings": settings, "settings_hash": key, **facts}
    del summary["made_with"]  # the settings, once more
    write_json(folder / "final_metrics.json", summary)
    return summary


def resolve_settings(separator: Separator, settings: Mapping, museval_processes: int = 0) -> dict:
    """All that decides which results belong together: those given, the separator's, versions."""
    return {
        **settings,
        "separator": separator.settings,
        "museval": museval_processes > 0,
        "versions": _versions(),
    }


def settings_hash(settings: Mapping) -> str:
    """SHA-256 of settings, independent of the order of their keys."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def aggregate(records: Sequence[Mapping]) -> dict:
    """Figures over all tracks: uSDR and SI-SDR as the mean, cSDR and museval's as the median.

    Args:
        records: of the tracks.

    Returns:
        For each measure a dict from source to dB, with their mean under "mean"; NaN where no track
        has a figure. Besides, `n_tracks` and `seconds_per_second`, the audio separated a second.
    """
    summary: dict = {"n_tracks": len(records)}
    for measure in records[0]["scores"]:
        how = np.mean if is_mean(measure) else np.median
        values = {}
        for source in records[0]["scores"][measure]:
            scores = np.array([float(record["scores"][measure][source]) for record in records])
            scores = scores[np.isfinite(scores)]
            values[source] = float(how(scores)) if len(scores) else float("nan")
        values["mean"] = float(np.mean(list(values.values())))
        summary[measure] = values
    seconds = sum(record["seconds"] for record in records)
    wall = sum(record["wall_seconds"] for record in records)
    summary["seconds_per_second"] = seconds / wall
    return summary


def is_mean(measure: str) -> bool:
    """Whether the figure of a data set is the mean over its tracks, other than the median."""
    return measure.startswith(("usdr", "si_sdr"))


def _score(
    separator: Separator,
    track: Mapping,
    sources: Sequence[str],
    more_scores: MoreScores | None,
) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """The record of a track, with its references and estimates (sources, channels, time)."""
    began = time.perf_counter()
    if hasattr(separator, "separate_track"):
        estimated = separator.separate_track(track)
    else:
        estimated = separator.separate(track["mixture"], track.get("sample_rate"))
    wall = time.perf_counter() - began
    scored = scorable(sources, separator.sources)
    references = track["sources"][[list(sources).index(source) for source in scored]]
    estimates = torch.stack([estimate_of(stem, estimated) for stem in scored])
    rate = track.get("sample_rate", separator.sample_rate)
    scores = {
        "usdr": metrics.usdr(references, estimates),
        "csdr": metrics.csdr(references, estimates, *_second(rate)),
    }
    if more_scores is not None:
        scores.update(more_scores(track["mixture"], references, estimates, rate))
    record = {
        "name": track["name"],
        "seconds": track["mixture"].shape[-1] / rate,
        "wall_seconds": wall,
        "scores": {measure: _by_source(scored, values) for measure, values in scores.items()},
    }
    return record, references, estimates


def _second(sample_rate: float) -> tuple[int, int]:
    """Window and hop of the chunk SDR."""
    return round(sample_rate), round(sample_rate)


def _medians(museval: Mapping, record: Mapping) -> dict[str, dict]:
    """Medians over frames of museval's measures, which are NaN where no frame has one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return {
            f"museval_{measure}": _by_source(record["scores"]["usdr"], np.nanmedian(frames, axis=1))
            for measure, frames in museval.items()
        }


def _by_source(sources: Iterable[str], values) -> dict[str, float | str]:
    """JSON has no NaN and no infinity: they are text."""
    return {
        source: value if np.isfinite(value) else str(value)
        for source, value in zip(sources, map(float, values), strict=True)
    }


def _versions() -> dict:
    """What of the software may change figures."""
    versions = {"asteroid_bsrnn": __version__, "torch": str(torch.__version__)}
    try:
        versions["museval"] = version("museval")
    except PackageNotFoundError:
        versions["museval"] = None
    return versions


def _finished(folder: Path, key: str, number: int) -> dict | None:
    """The record of a track that was scored with the same settings before."""
    try:
        record = json.loads(_record_path(folder, number).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if record.get("settings") == key else None


def _record_path(folder: Path, number: int) -> Path:
    return folder / "tracks" / f"{number:04d}.json"
