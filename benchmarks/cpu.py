"""Measure separation on a CPU: the package's networks beside their plain form, in one run.

    python benchmarks/cpu.py [--repeats 5] [--output benchmarks/results/cpu_<name>.md]

Each form runs in its own process: the plain one with PyTorch's defaults, the package's as in its
programs. The forms take turns, so that other load affects them equally. Run it on an idle machine:
a busy core makes every figure several times worse.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import soundfile
import torch
from cpu_form import KINDS, OTHER, WEIGHTS, Form
from printing import print_and_write

from asteroid_bsrnn import __version__
from asteroid_bsrnn.costs.environment import GIGABYTE, hardware

# Targets: the gain of each network over the plain form, and seconds of audio per second from file
# to files.
TARGETS = {"bsrnn": 3.0, "obsrnn": 4.0}
FILE_TARGET = 5.0
FORMS = ("plain", "float32", "bfloat16")
SHARE = "time of"


def measure(name: str, forms: tuple[str, ...], seconds: float, repeats: int, folder: Path):
    """Return times and peak memory by form, and a profile of the fastest one."""
    running: dict[str, Form] = {}
    try:
        for form in forms:
            running[form] = Form(name, form, seconds, folder)
            running[form]("memory")  # waits for the warm-up before the next one starts
        times: dict[str, list[float]] = {form: [] for form in forms}
        for _ in range(repeats):
            for form, process in running.items():
                times[form].append(process("run"))
        memory = {form: process("memory") for form, process in running.items()}
        fastest = min(times, key=lambda form: median(times[form]))
        return times, memory, (fastest, running[fastest]("profile"))
    finally:
        for process in running.values():
            process.close()


def error(folder: Path) -> float:
    """Return the error of the estimates in bfloat16 relative to those in float32 in dB."""
    exact, rounded = (torch.load(folder / f"{form}.pt") for form in FORMS[1:])
    return 20 * torch.log10((rounded - exact).norm() / exact.norm()).item()


def row(*cells: object) -> str:
    """Return a line of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def gigabytes(size: int | None) -> str:
    """Return bytes as text in GiB."""
    return "" if size is None else f"{size / GIGABYTE:.2f}"


def spread(times: list[float]) -> str:
    """Return the median, the lowest and the highest value as text."""
    return f"{median(times):.2f} ({min(times):.2f}-{max(times):.2f})"


def network_rows(name: str, seconds: float, repeats: int) -> Iterator[str]:
    """Return the lines of one network, and its profile if it misses its target."""
    with tempfile.TemporaryDirectory() as folder:
        times, memory, (fastest, spent) = measure(name, FORMS, seconds, repeats, Path(folder))
        decibels = error(Path(folder))
    gains = {form: median(times["plain"]) / median(values) for form, values in times.items()}
    for form, values in times.items():
        target = "" if form == "plain" else f"{TARGETS[name]:g}"
        lost = f"{decibels:.0f}" if form == "bfloat16" else ""
        speed = f"{seconds / median(values):.2f}"
        gain = f"{gains[form]:.2f}"
        yield row(
            name, form, spread(values), gain, target, speed, "", gigabytes(memory[form]), lost
        )
    if gains[fastest] < TARGETS[name]:
        yield from shares(name, fastest, spent)


def shares(name: str, form: str, spent: dict[str, float]) -> Iterator[str]:
    """Return a line of the profile of a form."""
    total = sum(spent.values())
    yield row(SHARE, name, form, *(f"{100 * spent[kind] / total:.0f} %" for kind in spent))


def file_rows(seconds: float, repeats: int) -> Iterator[str]:
    """Yield the lines of separation from file to files with the weights in the package."""
    with tempfile.TemporaryDirectory() as folder:
        noise = 0.1 * torch.randn(round(44100 * seconds), 2)
        soundfile.write(Path(folder, "mixture.wav"), noise.numpy(), 44100)
        forms = FORMS[1:]
        times, memory, (fastest, spent) = measure(WEIGHTS, forms, seconds, repeats, Path(folder))
    name = f"file, {WEIGHTS}"
    for form, values in times.items():
        speed = f"{seconds / median(values):.2f}"
        used = gigabytes(memory[form])
        yield row(name, form, spread(values), "", "", speed, f"{FILE_TARGET:g}", used, "")
    if seconds / median(times[fastest]) < FILE_TARGET:
        yield from shares(name, fastest, spent)


def report(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the results; a profile of the rows below target comes last."""
    yield f"# Separation on a CPU: {hardware()['cpu_model']}\n"
    yield (
        f"asteroid-bsrnn {__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}; {hardware()['cpu_model']}, {torch.get_num_threads()} "
        f"threads. Separation of {options.seconds:g} s of stereo to one stem, in chunks of at most "
        f"12 s, and of a file of {options.file_seconds:g} s to four stems, in seconds, median of "
        f"{options.repeats} "
        "(lowest-highest). Gain: over the plain form. Speed: seconds of audio per second. Memory: "
        "peak memory of the process, GiB. Error: of the estimates in bfloat16 relative to those in "
        "float32, on noise, in dB."
    )
    yield "\n" + row(
        "network", "form", "time", "gain", "target", "speed", "target", "memory", "error"
    )
    yield row(*["---"] * 9)
    missed = []
    groups = [network_rows(name, options.seconds, options.repeats) for name in options.networks]
    if options.file_seconds:
        groups.append(file_rows(options.file_seconds, options.repeats))
    for group in groups:
        for line in group:
            if line.startswith(f"| {SHARE}"):
                missed.append(line)
            else:
                yield line
    if missed:
        yield "\nProfile of the rows below target:\n"
        yield row("", "network", "form", *KINDS, OTHER)
        yield row(*["---"] * (4 + len(KINDS)))
        yield from missed


def main() -> None:
    """Measure, print, and write the results to a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", nargs="*", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--seconds", type=float, default=11.0, help="of a recording")
    parser.add_argument("--file-seconds", type=float, default=60.0, help="0 leaves the file out")
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    options = parser.parse_args()
    print_and_write(report(options), options.output)


if __name__ == "__main__":
    main()
