"""Separation on this machine's CPU: the package's networks beside their plain form, in one run.

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


def measure(network: torch.nn.Module, seconds: float, repeats: int) -> tuple[list, list]:
    """Seconds of each repetition, of the network and of its plain form, by turns."""
    plain = PlainBSRNN(network).eval()
    mixture = 0.1 * torch.randn(1, 2, round(44100 * seconds))
    own, other = [], []
    with torch.inference_mode():
        network(mixture), plain(mixture)  # warm-up
        for _ in range(repeats):
            own.append(timed(network, mixture))
            other.append(timed(plain, mixture))
    return own, other


def row(name: str, seconds: float, own: list[float], other: list[float]) -> str:
    """One line of the table."""
    fast, slow = statistics.median(own), statistics.median(other)
    return (
        f"| {name} | {slow:.2f} ({min(other):.2f}-{max(other):.2f}) "
        f"| {fast:.2f} ({min(own):.2f}-{max(own):.2f}) | {slow / fast:.2f} | {seconds / fast:.2f} |"
    )


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
        f"float32. Forward of a stereo chunk, median of {options.repeats} (lowest-highest).",
        "",
        "| network | plain, s | package, s | ratio | seconds of audio a second |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    for name, network in networks().items():
        own, other = measure(network, SECONDS[name], options.repeats)
        lines.append(row(name, SECONDS[name], own, other))
        print(lines[-1], flush=True)
    if options.output:
        options.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
