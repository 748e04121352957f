"""Files of results, each written as a whole or not at all."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_json(path: Path, value: Mapping) -> None:
    """Write a JSON file."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(json.dumps(value, indent=2), encoding="utf-8")
    os.replace(temporary, path)


def write_scores(path: Path, records: Sequence[Mapping]) -> None:
    """Write the scores of all tracks as CSV, one line a track."""
    columns = [
        (measure, source) for measure, values in records[0]["scores"].items() for source in values
    ]
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = [f"{measure}_{source}" for measure, source in columns]
        writer.writerow(["track", *names, "seconds", "wall_seconds"])
        for record in records:
            values = [record["scores"][measure][source] for measure, source in columns]
            writer.writerow([record["name"], *values, record["seconds"], record["wall_seconds"]])
    os.replace(temporary, path)
