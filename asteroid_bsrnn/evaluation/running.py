"""Evaluation of models and reference points into folders of records.

`<output>/<label>-<hash>/` holds one model's results under one setting, the hash being that of all
that decides them: the weights, the data, the separation and the versions. In it `tracks/*.json`
are the records, `all_metrics.csv` has a line for each, `final_metrics.json` the figures over all
tracks. Another setting is another folder.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError
from ..separation.separator import SCORING, Separator
from .candidates import Candidate, safe_name
from .datasets import EvaluationTracks
from .oracles import Oracle, description
from .records import Record, read_record
from .scores import improvements, scorable
from .tracks import Progress, evaluate, resolve_settings, settings_hash


def evaluate_model(
    model: Candidate,
    data: EvaluationTracks,
    output: str | os.PathLike,
    *,
    separator: Mapping[str, Any] | None = None,
    museval_processes: int = 0,
    progress: Progress | None = None,
) -> Record:
    """Evaluate a model, or go on with that.

    Args:
        model: to evaluate.
        data: to evaluate on.
        output: folder of all results.
        separator: further arguments of `Separator`; its precision is "32" unless given here, and
            chunks that do not fit in memory are not cut into smaller ones.
        museval_processes: as in `evaluate`.
        progress: called with the number of tracks done and in all.

    Raises:
        UserError: if the model can't be loaded or estimates none of the data's sources.
    """
    made = Separator(model.path, **{**SCORING, **(separator or {})})
    if not scorable(data.sources, made.sources):
        raise UserError(
            f"{model.label}: separates {', '.join(made.sources)}, but the data have "
            f"{', '.join(data.sources)}; choose with --sources or use another model"
        )
    settings = {"weights_sha256": model.sha256, **_data_settings(data)}
    folder = _folder(model.label, made, settings, output, museval_processes)
    facts = {
        "kind": "model",
        **model.facts(folder),
        "class": type(made.model).__name__,
        "sources": list(made.sources),
        "parameters": sum(p.numel() for p in made.model.parameters()),
    }
    return _evaluate(made, facts, settings, data, folder, museval_processes, progress)


def evaluate_oracle(
    name: str,
    data: EvaluationTracks,
    output: str | os.PathLike,
    *,
    museval_processes: int = 0,
    progress: Progress | None = None,
) -> Record:
    """Evaluate a reference point; arguments as for `evaluate_model`, `name` as for `Oracle`."""
    oracle = Oracle(name, data.sources, data.tracks[0].sample_rate)
    facts = {"kind": "reference point", "label": name, "description": description(name)}
    settings = {"weights_sha256": None, **_data_settings(data)}
    folder = _folder(name, oracle, settings, output, museval_processes)
    return _evaluate(oracle, facts, settings, data, folder, museval_processes, progress)


def _folder(
    label: str,
    separator: Separator | Oracle,
    settings: dict,
    output: str | os.PathLike,
    museval_processes: int,
) -> Path:
    """A folder of its own for each setting."""
    key = settings_hash(resolve_settings(separator, settings, museval_processes))
    return Path(output) / f"{safe_name(label)}-{key[:8]}"


def _evaluate(
    separator: Separator | Oracle,
    model: dict,
    settings: dict,
    data: EvaluationTracks,
    folder: Path,
    museval_processes: int,
    progress: Progress | None,
) -> Record:
    facts = {
        "model": model,
        "data": {
            "split": data.split,
            "fingerprint": data.fingerprint,
            "sources": list(data.sources),
            "without_mixture": data.without_mixture,
        },
        "device": _device_name(getattr(separator, "device", torch.device("cpu"))),
    }
    evaluate(
        separator,
        data,
        folder,
        sources=data.sources,
        settings=settings,
        museval_processes=museval_processes,
        progress=progress,
        more_scores=improvements,
        facts=facts,
    )
    return read_record(folder)


def _data_settings(data: EvaluationTracks) -> dict:
    return {
        "data_fingerprint": data.fingerprint,
        "part": data.split,
        "data_sources": list(data.sources),
        "measures": "usdr, csdr, si_sdr, over mixture, over scaled mixture",
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({platform.processor() or platform.machine()})"
