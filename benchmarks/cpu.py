"""Separation on this machine's CPU: the package's networks beside their plain form, in one run.

In float32, and as `--precision bf16` runs them.

    python benchmarks/cpu.py [--repeats 5] [--output benchmarks/results/cpu_<name>.md]

Networks take turns, so that what else the machine does meets all of them alike. Run it on an idle
machine: a busy core makes every figure several times worse.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from plain import PlainBSRNN

from asteroid_bsrnn import __version__, presets, zoo
from asteroid_bsrnn.engine.environment import hardware

SECONDS = {"bsrnn (vocals)": 11.0, "obsrnn (vocals)": 11.0, "preview (four sources)": 6.0}


def networks() -> dict[str, torch.nn.Module]:
    """What is measured."""
    torch.manual_seed(0)
    return {
        "bsrnn (vocals)": presets.build("bsrnn", "vocals").eval(),
        "obsrnn (vocals)": presets.build("obsrnn", "vocals").eval(),
        "preview (four sources)": zoo.load("preview"),
    }


def timed(function: Callable, argument: torch.Tensor) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    function(argument)
    return time.perf_counter() - began


def in_bfloat16(network: torch.nn.Module) -> Callable:
    """The network as `Separator(precision="bf16")` runs it."""

    def forward(mixture: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return network(mixture)

    return forward


def measure(network: torch.nn.Module, seconds: float, repeats: int) -> tuple[dict, float]:
    """Seconds of each repetition by form, the forms taking turns; and bfloat16's error in dB."""
    forms = {
        "plain": PlainBSRNN(network).eval(),
        "float32": network,
        "bfloat16": in_bfloat16(network),
    }
    mixture = 0.1 * torch.randn(1, 2, round(44100 * seconds))
    times: dict[str, list[float]] = {name: [] for name in forms}
    with torch.inference_mode():
        _, exact, rounded = (form(mixture) for form in forms.values())  # warm-up
        for _ in range(repeats):
            for name, form in forms.items():
                times[name].append(timed(form, mixture))
    error = 20 * torch.log10((rounded - exact).norm() / exact.norm()).item()
    return times, error


def row(name: str, seconds: float, times: dict[str, list[float]], error: float) -> str:
    """One line of the table."""
    medians = {form: statistics.median(values) for form, values in times.items()}
    cells = [f"| {name} "]
    for form, values in times.items():
        cells.append(f"| {medians[form]:.2f} ({min(values):.2f}-{max(values):.2f}) ")
        if form != "plain":
            cells.append(f"| {medians['plain'] / medians[form]:.2f} ")
            cells.append(f"| {seconds / medians[form]:.2f} ")
    return "".join(cells) + f"| {error:.0f} |"


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    options = parser.parse_args()
    machine = hardware()
    lines = [
        f"asteroid-bsrnn {__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}; {machine['cpu_model']}, {torch.get_num_threads()} threads, "
        f"forward of a stereo chunk in seconds, median of {options.repeats} (lowest-highest). "
        "Gain: over the plain form. Speed: seconds of audio a second. Error: of the estimates in "
        "bfloat16, below those in float32, on noise and in dB.",
        "",
        "| network | plain, float32 | package, float32 | gain | speed | package, bfloat16 | gain | "
        "speed | error |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name, network in networks().items():
        lines.append(row(name, SECONDS[name], *measure(network, SECONDS[name], options.repeats)))
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
