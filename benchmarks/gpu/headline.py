"""Table of the best figures beside the reference and the targets."""

from __future__ import annotations

from collections.abc import Iterable

# Measured on an H100 80GB: samples (3 s of stereo) per second of training, GiB per sample, seconds
# of audio per second for the forward pass of one chunk of 11 s.
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
    """Return a figure as text, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def failure(record: dict) -> str | None:
    """Return the reason why a row has no figures, or None."""
    if "left_out" in record:
        return f"left out: {record['left_out']}"
    return f"failed: {record['failed']}" if "failed" in record else None


def headline(rows: list[dict]) -> Iterable[str]:
    """Yield the lines of the table."""
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
        joules = best(min, training, "joules_a_sample")
        yield f"| {name} training, J a sample | - | - | {measured(joules)} | - |"
    yield from checks(rows)


def checks(rows: list[dict]) -> Iterable[str]:
    """Yield the rows of the learning check and of the time spent waiting for data."""
    compared = [r for r in rows if r["section"] == "learning" and "passed" in r]
    here = "not measured"
    for row in compared:
        here = "within it" if row["passed"] else "NOT within it"
    yield f"| loss of bfloat16 against float32 `nn.LSTM`, every 50th step | - | 2 % | {here} | - |"
    for row in rows:
        if row["section"] == "loading" and "waiting" in row:
            share = f"{100 * row['waiting']:.1f} %"
            yield f"| waiting for the loader, {row['name']} | - | - | {share} | - |"


def measured(value: float | None) -> str:
    """Return a figure as text, or that it was not measured."""
    return "not measured" if value is None else number(value)


def best(choose, rows: list[dict], key: str) -> float | None:
    """Return the best measured value of a key, or None."""
    return choose((r[key] for r in rows if r.get(key) is not None), default=None)


def line(what: str, reference: float, target: float | None, here: float | None) -> str:
    """Return one line of the table."""
    ratio = None if here is None else here / reference
    return (
        f"| {what} | {number(reference)} | {number(target)} | {measured(here)} | {number(ratio)} |"
    )
