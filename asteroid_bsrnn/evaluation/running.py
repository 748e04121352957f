"""Evaluation of separators track by track, with records from which it resumes.

A folder of results has `tracks/*.json`, a record for each track; `all_metrics.csv`, a line for each
track; and `final_metrics.json`, the figures over all tracks. The names are those of Asteroid's
recipes. Each record has a hash of the settings that its figures depend on: weights, data,
separation and versions. A record with another hash is computed again.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from .. import metrics
from .._version import __version__
from ..costs.environment import version_of
from ..costs.record import fingerprint
from ..errors import UserError
from ..files import relative_path
from ..options import Shard
from ..progress import Progress
from ..separation.separator import SCORING, Separator
from .datasets import Estimates, EvaluationTracks
from .oracles import Oracle, description
from .records import (
    Candidate,
    Record,
    aggregate,
    finished_track,
    read_record,
    safe_name,
    write_summary,
    write_track,
)
from .scores import (
    MEASURES,
    MoreScores,
    Sums,
    by_source,
    estimate_of,
    frame_medians,
    scorable,
    score,
)


def evaluate_model(
    model: Candidate,
    data: EvaluationTracks,
    output: str | os.PathLike | None = None,
    *,
    folder: str | os.PathLike | None = None,
    separator: Mapping[str, Any] | None = None,
    **scoring: Any,
) -> Record | None:
    """Evaluate a model, or resume its evaluation.

    Args:
        model: model to evaluate.
        data: data to evaluate on.
        output: folder of all results. Those of the model are written to `<label>-<hash of the
            settings>` in it.
        folder: folder of the model's results, instead of `output`.
        separator: further arguments of `Separator`. By default the precision is "32", and chunks
            that do not fit in memory are not cut into smaller ones.
        **scoring: `museval_processes`, `progress` and `shard` of `evaluate`.

    Returns:
        The record of the results; None for a shard.

    Raises:
        UserError: if the model cannot be loaded or estimates none of the data's sources.
    """
    made = Separator(model.path, **{**SCORING, **(separator or {})})
    if not scorable(data.sources, made.sources, data.sums):
        raise UserError(
            f"{model.label}: separates {', '.join(made.sources)}, but the data have "
            f"{', '.join(data.sources)}; choose with --sources or use another model"
        )
    settings = {"weights_sha256": model.sha256, **data.settings}
    if folder is None:
        folder = _folder(output, model.label, made, settings, scoring)
    facts = {
        "kind": "model",
        **model.facts(folder),
        "class": type(made.model).__name__,
        "sources": list(made.sources),
        "parameters": sum(p.numel() for p in made.model.parameters()),
    }
    return _evaluate(made, facts, settings, data, folder, scoring)


def evaluate_oracle(
    name: str, data: EvaluationTracks, output: str | os.PathLike, **scoring: Any
) -> Record | None:
    """Evaluate a reference point; `name` is one for `Oracle`, the rest as for `evaluate_model`."""
    oracle = Oracle(name, data.stems, data.tracks[0].sample_rate)
    facts = {"kind": "reference point", "label": name, "description": description(name)}
    settings = {"weights_sha256": None, **data.settings}
    folder = _folder(output, name, oracle, settings, scoring)
    return _evaluate(oracle, facts, settings, data, folder, scoring)


def evaluate_estimates(
    estimates: Estimates,
    data: EvaluationTracks,
    output: str | os.PathLike,
    *,
    label: str | None = None,
    **scoring: Any,
) -> Record | None:
    """Score the stems that another tool has written.

    `label` is the name in tables; None means the name of the estimates' folder. The other arguments
    and the result are those of `evaluate_model`.
    """
    label = safe_name(label or estimates.label)
    settings = {"weights_sha256": None, "estimates_sha256": estimates.sha256, **data.settings}
    folder = _folder(output, label, estimates, settings, scoring)
    facts = {
        "kind": "estimates",
        "label": label,
        "name": None,
        "path": None,  # there are no weights
        "folder": relative_path(estimates.folder, folder),
        "sha256": estimates.sha256,
        "ledger": None,
        "class": "stems in files",
        "sources": list(estimates.sources),
        "parameters": None,
    }
    return _evaluate(estimates, facts, settings, data, folder, scoring)


def evaluate(
    separator: Separator | Oracle | Estimates,
    tracks: Sequence[Mapping],
    folder: str | os.PathLike,
    *,
    sources: Sequence[str],
    settings: Mapping,
    museval_processes: int = 0,
    progress: Progress | None = None,
    shard: Shard | None = None,
    more_scores: MoreScores | None = None,
    facts: Mapping | None = None,
    sums: Sums | None = None,
) -> dict:
    """Separate and score every track that has no record yet.

    Args:
        separator: separator to evaluate.
        tracks: a sequence of dicts with `name`, `mixture` (channels, time) and `sources` (stems,
            channels, time), loaded when indexed, at the separator's sample rate or at their own
            `sample_rate`.
        folder: folder of the results.
        sources: names of the stems of a track, in order. Those that
            the separator estimates are scored, as well as sums such as `bass+other`.
        settings: facts of the model and the data in plain types, which records must share, as well
            as those of the separator and the versions.
        museval_processes: number of processes for museval's SDR, ISR, SIR and SAR, which take
            minutes a track; 0 leaves them out. A script that asks for them keeps its own work under
            `if __name__ == "__main__":`.
        progress: called with the number of tracks done and in all.
        shard: tracks to score; None means all. Tracks that other calls have scored, also on other
            machines, are not scored again; a call without a shard collects them.
        more_scores: function that returns further measures of a track.
        facts: further facts for every record in plain types, which may differ.
        sums: parts of sources that are sums of others. If the separator does not estimate a sum,
            the sum of the estimates is scored.

    Returns:
        The contents of `final_metrics.json`; empty for a shard, which does not write it.

    Raises:
        UserError: if there are no tracks, the folder cannot be written, or museval is requested and
            missing.
    """
    if len(tracks) == 0:
        raise UserError("there are no tracks to evaluate")
    folder = Path(folder)
    try:
        (folder / "tracks").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror}); choose another folder with --output"
        ) from error
    settings = _resolve_settings(separator, settings, museval_processes)
    key = fingerprint(settings)
    facts = {"made_with": settings, **(facts or {})}
    numbers = range(len(tracks)) if shard is None else shard.of(range(len(tracks)))
    records = {number: finished_track(folder, key, number) for number in numbers}
    missing = [number for number, record in records.items() if record is None]

    def pairs() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for number in missing:
            scores, references, estimates = _score(
                separator, tracks[number], sources, sums or {}, more_scores
            )
            records[number] = {"settings": key, "number": number, **scores, **facts}
            yield references, estimates

    scored = (
        metrics.museval_many(pairs(), museval_processes)
        if museval_processes
        else (None for _ in pairs())
    )
    for done, (number, frames) in enumerate(zip(missing, scored, strict=True), start=1):
        if frames is not None:
            scored_sources = list(records[number]["scores"]["usdr"])
            records[number]["scores"].update(frame_medians(frames, scored_sources))
        write_track(folder, records[number])
        if progress is not None:
            progress(len(numbers) - len(missing) + done, len(numbers))
    if shard is not None:
        return {}
    ordered = [records[number] for number in range(len(tracks))]
    summary = {**aggregate(ordered), "settings": settings, "settings_hash": key, **facts}
    del summary["made_with"]  # the same as the settings
    write_summary(folder, summary, ordered)
    return summary


def _resolve_settings(
    separator: Separator | Oracle | Estimates, settings: Mapping, museval_processes: int
) -> dict:
    """Return the settings that records must share, with versions."""
    return {
        **settings,
        "measures": MEASURES,
        "separator": separator.settings,
        "museval": museval_processes > 0,
        "versions": {
            "asteroid_bsrnn": __version__,
            "torch": str(torch.__version__),
            "museval": version_of("museval"),
        },
    }


def _folder(
    output: str | os.PathLike | None,
    label: str,
    separator: Separator | Oracle | Estimates,
    settings: dict,
    scoring: Mapping[str, Any],
) -> Path:
    """Return a folder that only results of these settings have."""
    resolved = _resolve_settings(separator, settings, scoring.get("museval_processes", 0))
    return Path(output or ".") / f"{safe_name(label)}-{fingerprint(resolved)[:8]}"


def _evaluate(
    separator: Separator | Oracle | Estimates,
    model: dict,
    settings: dict,
    data: EvaluationTracks,
    folder: str | os.PathLike,
    scoring: Mapping[str, Any],
) -> Record | None:
    """Evaluate a model, an oracle or estimates with the facts for every record."""
    device = getattr(separator, "device", torch.device("cpu"))
    facts = {
        "model": model,
        "data": {
            "split": data.split,
            "fingerprint": data.fingerprint,
            "sources": list(data.sources),
            "without_mixture": data.without_mixture,
        },
        "device": _device_name(device),
    }
    evaluate(
        separator,
        data,
        folder,
        sources=data.sources,
        settings=settings,
        facts=facts,
        sums=data.sums,
        **scoring,
    )
    return read_record(folder) if scoring.get("shard") is None else None


def _score(
    separator: Separator | Oracle | Estimates,
    track: Mapping,
    sources: Sequence[str],
    sums: Sums,
    more_scores: MoreScores | None,
) -> tuple[dict, torch.Tensor, torch.Tensor]:
    """Return a track's record, and its references and estimates (sources, channels, time)."""
    began = time.perf_counter()
    if isinstance(separator, (Oracle, Estimates)):
        estimated = separator.separate_track(track)
    else:
        estimated = separator.separate(track["mixture"], track.get("sample_rate"))
    wall = time.perf_counter() - began
    scored = scorable(sources, separator.sources, sums)
    references = track["sources"][[list(sources).index(source) for source in scored]]
    estimates = torch.stack([estimate_of(stem, estimated, sums) for stem in scored])
    rate = track.get("sample_rate") or separator.sample_rate
    scores = score(track["mixture"], references, estimates, rate)
    if more_scores is not None:
        scores.update(more_scores(track["mixture"], references, estimates, rate))
    record = {
        "name": track["name"],
        "seconds": track["mixture"].shape[-1] / rate,
        "wall_seconds": wall,
        "scores": {measure: by_source(scored, values) for measure, values in scores.items()},
    }
    return record, references, estimates


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.processor() or platform.machine()})"
