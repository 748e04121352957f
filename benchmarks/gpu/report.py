"""Write the results as tables beside the reference and the targets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from common import records
from headline import REFERENCE, failure, headline, number


def training(rows: list[dict]) -> Iterable[str]:
    """Yield the lines of the training table."""
    yield (
        "| network and variant | batch | samples/s (lowest-highest) | x plain at batch 2 "
        "| GiB a sample | counted | peak GiB | J a sample |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    plain = {
        row["name"].split(":")[0]: row.get("samples_a_second")
        for row in rows
        if "plain" in row["name"] and row["name"].endswith("batch 2")
    }
    for row in sorted(rows, key=lambda row: list(REFERENCE).index(row["name"].split(":")[0])):
        if failure(row):
            yield f"| {row['name']} | {failure(row)} | | | | | | |"
            continue
        base = plain.get(row["name"].split(":")[0])
        ratio = row["samples_a_second"] / base if base else None
        yield (
            f"| {row['name']} | {row['batch']} | {number(row['samples_a_second'])} "
            f"({number(row['low'])}-{number(row['high'])}) | {number(ratio)} "
            f"| {number(row['more_gib_a_sample'])} | {number(row.get('counted_gib_a_sample'))} "
            f"| {number(row['peak_gib'], 1)} "
            f"| {number(row['joules_a_sample'], 1)} |"
        )


def separation(rows: list[dict]) -> Iterable[str]:
    """Yield the lines of the separation table."""
    yield "| network and way | s (lowest-highest) | seconds of audio a second | J a second |"
    yield "|---|---|---|---|"
    for row in sorted(rows, key=lambda row: list(REFERENCE).index(row["name"].split(":")[0])):
        if failure(row):
            yield f"| {row['name']} | {failure(row)} | | |"
            continue
        yield (
            f"| {row['name']} | {number(row['median_s'], 4)} ({number(row['low_s'], 4)}-"
            f"{number(row['high_s'], 4)}) | {number(row['speed'], 1)} "
            f"| {number(row.get('joules_a_second_of_audio'))} |"
        )


def loading(rows: list[dict]) -> Iterable[str]:
    """Yield the lines of the table of training from files."""
    yield "| network and way | batch | samples/s from files | on the device | waiting | |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        if failure(row):
            yield f"| {row['name']} | {failure(row)} | | | | |"
        elif "waiting" in row:
            yield (
                f"| {row['name']} | {row['batch']} | {number(row['samples_a_second'])} "
                f"| {number(row['on_device_samples_a_second'])} | {100 * row['waiting']:.1f} % "
                f"| augmentations: {row['augmentations']} |"
            )
        else:
            yield (
                f"| {row['name']}: {row['stems']} stereo stems of "
                f"{number(row['seconds_of_an_example'], 1)} s, from the disk's cache | 8 "
                f"| {number(row['delivered_a_second'], 1)} | | "
                f"| {number(row['examples_a_second'], 1)} within the process that reads |"
            )


def layers(rows: list[dict]) -> Iterable[str]:
    """Yield the lines of the table of layers and tiles."""
    yield "| layer | forward, ms | forward + backward, ms (lowest-highest) |"
    yield "|---|---|---|"
    for row in rows:
        if "best" in row:
            yield f"| {row['name']}: chosen {row['chosen']}, best {row['best']} | {row['ms']} | |"
        elif failure(row):
            yield f"| {row['name']} | {failure(row)} | |"
        else:
            ms = {key: number(1000 * row[key]) for key in row if key.endswith("_s")}
            yield (
                f"| {row['name']} | {ms['forward_s']} "
                f"| {ms['median_s']} ({ms['low_s']}-{ms['high_s']}) |"
            )


def plainly(rows: list[dict]) -> Iterable[str]:
    """Yield rows as lists of their values."""
    for row in rows:
        values = {key: value for key, value in row.items() if key not in ("section", "name")}
        shown = (f"{k} {v:.3g}" if type(v) is float else f"{k} {v}" for k, v in values.items())
        yield f"- {row['name']}: {', '.join(shown)}"


TABLES = {
    "training": training,
    "separation": separation,
    "loading": loading,
    "layers": layers,
    "correctness": plainly,
    "learning": plainly,
    "trouble": plainly,
}


def write(results: Path, device: str, quick: bool) -> Path:
    """Write the Markdown file beside the results."""
    rows = list(records(results))
    machine = next(row for row in rows if row["section"] == "header")
    facts = [f"{k} {v:.4g}" if type(v) is float else f"{k} {v}" for k, v in machine.items()]
    lines = [f"Measured with `benchmarks/gpu.sh`: {', '.join(facts[2:])}.", ""]
    if quick:
        lines += ["**Tiny networks to test the script: these figures mean nothing.**", ""]
    if device == "cpu":
        lines += ["Without a GPU: rows that need one are left out.", ""]
    elif not quick:
        lines += [*headline(rows), ""]
    for name, table in TABLES.items():
        chosen = [row for row in rows if row["section"] == name]
        if chosen:
            lines += [f"## {name.capitalize()}", "", *table(chosen), ""]
    words = re.sub(r"\W+", "_", machine["device"].lower()).strip("_")
    path = results.parent / f"gpu_{words}.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path
