"""A comparison as JSON: all of it, for other programs to read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .comparison import Comparison, Row


def to_json(comparison: Comparison, folder: str | os.PathLike = ".") -> str:
    """Everything, the tests of all sources too, as JSON; paths are relative to `folder`."""
    plain = to_plain(comparison)
    for row in plain["rows"]:
        row["paths"] = {name: relative_path(path, folder) for name, path in row["paths"].items()}
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def to_plain(comparison: Comparison) -> dict:
    """The comparison as plain types for JSON; what is not known or not finite is null."""

    def row(row: Row) -> dict:
        figures = {
            measure: {source: figure._asdict() for source, figure in by_source.items()}
            for measure, by_source in row.figures.items()
        }
        return {
            "label": row.label,
            "kind": "reference point" if row.record.is_reference_point else "model",
            "settings_hash": row.record.summary["settings_hash"],
            "figures": figures,
            "parameters": row.parameters,
            "costs": row.costs,
            "training": row.training,
            "paths": {name: str(path) for name, path in row.paths.items()},
        }

    return _without_nan(
        {
            "format": "asteroid-bsrnn comparison",
            "version": 1,
            "tracks": list(comparison.rows[0].record.names),
            "sources": list(comparison.sources),
            "level": comparison.level,
            "test": comparison.test,
            "rows": [row(one) for one in comparison.rows],
            "tests": comparison.tests,
            "notes": list(comparison.notes),
        }
    )


def relative_path(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """`path` as seen from `folder`, with slashes on every system."""
    return Path(os.path.relpath(path, folder)).as_posix()


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
