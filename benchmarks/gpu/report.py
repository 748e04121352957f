"""From the results to the tables, beside the reference's figures and the targets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from common import records

# Samples (3 s of stereo) a second in training, measured on an H100 80GB; GiB a sample; seconds of
# audio a second from the forward of one chunk of 11 s.
REFERENCE = {
    "obsrnn": {"training": 3.19, "memory": 11.2, "separation": 25.9},
    "obsrnn_simo": {"training": 2.40, "memory": 16.5, "separation": 26.8},
    "bsrnn": {"training": 15.1, "memory": 2.9, "separation": 145.3},
}
TARGETS = {
    "obsrnn": {"training": 32.0, "memory": 2.8, "separation": 500.0},
    "obsrnn_simo": {"training": 24.0, "separation": 500.0},
    "bsrnn": {"training": 150.0},
}


def number(value, digits: int = 2) -> str:
    """A figure, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def failure(record: dict) -> str | None:
    """Why a row has no figures."""
    if "left_out" in record:
        return f"left out: {record['left_out']}"
    return f"failed: {record['failed']}" if "failed" in record else None


def headline(rows: list[dict]) -> Iterable[str]:
    """The best of each figure beside the reference's and the target."""
    yield "| | reference | target | here | here / reference |"
    yield "|---|---|---|---|---|"
    for name, reference in REFERENCE.items():
        done = [r for r in rows if r["name"].startswith(f"{name}:") and failure(r) is None]
        training = [r for r in done if r["section"] == "training" and "plain" not in r["name"]]
        kept = [r for r in training if "checkpointing" not in r["name"]]
        anew = [r for r in training if "checkpointing" in r["name"]]
        speeds = [r["speed"] for r in done if r["section"] == "separation"]
        yield line(
            f"{name} training, samples a second", reference["training"],
            TARGETS[name].get("training"), best(max, training, "samples_a_second"),
        )  # fmt: skip
        memory = "more_gib_a_sample"
        yield line(
            f"{name} memory, GiB a sample of batch", reference["memory"],
            TARGETS[name].get("memory"), best(min, kept, memory),
        )  # fmt: skip
        yield line(
            f"{name} memory with checkpointing", reference["memory"],
            1.1 if name == "obsrnn" else None, best(min, anew, memory),
        )  # fmt: skip
        yield line(
            f"{name} separation, seconds of audio a second", reference["separation"],
            TARGETS[name].get("separation"), max(speeds, default=None),
        )  # fmt: skip


def best(choose, rows: list[dict], key: str) -> float | None:
    """The best of what was measured."""
    return choose((r[key] for r in rows if r.get(key) is not None), default=None)


def line(what: str, reference: float, target: float | None, here: float | None) -> str:
    """One line of the headline."""
    ratio = None if here is None else here / reference
    shown = "not measured" if here is None else number(here)
    return f"| {what} | {number(reference)} | {number(target)} | {shown} | {number(ratio)} |"


def training(rows: list[dict]) -> Iterable[str]:
    """All training rows."""
    yield (
        "| network and variant | batch | samples/s (lowest-highest) | x plain at batch 2 "
        "| GiB a sample | peak GiB | J a sample |"
    )
    yield "|---|---|---|---|---|---|---|"
    plain = {
        row["name"].split(":")[0]: row.get("samples_a_second")
        for row in rows
        if "plain" in row["name"] and row["name"].endswith("batch 2")
    }
    for row in sorted(rows, key=lambda row: list(REFERENCE).index(row["name"].split(":")[0])):
        if failure(row):
            yield f"| {row['name']} | {failure(row)} | | | | | |"
            continue
        base = plain.get(row["name"].split(":")[0])
        ratio = row["samples_a_second"] / base if base else None
        yield (
            f"| {row['name']} | {row['batch']} | {number(row['samples_a_second'])} "
            f"({number(row['low'])}-{number(row['high'])}) | {number(ratio)} "
            f"| {number(row['more_gib_a_sample'])} | {number(row['peak_gib'], 1)} "
            f"| {number(row['joules_a_sample'], 1)} |"
        )


def separation(rows: list[dict]) -> Iterable[str]:
    """All separation rows."""
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


def layers(rows: list[dict]) -> Iterable[str]:
    """Layers and tiles."""
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
    """Rows as they are."""
    for row in rows:
        values = {key: value for key, value in row.items() if key not in ("section", "name")}
        shown = (f"{k} {v:.3g}" if type(v) is float else f"{k} {v}" for k, v in values.items())
        yield f"- {row['name']}: {', '.join(shown)}"


TABLES = {
    "training": training,
    "separation": separation,
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
        lines += ["**Tiny networks, to try the script: no figure here means anything.**", ""]
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
