"""Measure the error of estimates of real music in bfloat16 against float32 for each stem.

    python benchmarks/precision.py [--seconds 6] [--output benchmarks/results/precision_<name>.md]

The trained weights are `small` and `small_vocals`; `--weights` names others, such as the study's.
The study's networks have random weights by default. The excerpt comes with the package `stempeg`.
`Separator(precision="auto")` relies on these figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import stempeg
import torch
from printing import print_and_write
from torch import nn

from asteroid_bsrnn import Separator, presets, zoo
from asteroid_bsrnn.costs.environment import hardware

PRESETS = ("obsrnn_simo", "obsrnn", "bsrnn_large", "bsrnn", "bscnn")
LIMIT = -45.0


def excerpt(seconds: float) -> np.ndarray:
    """Return a mixture (2, time), without the click at the start of the file."""
    streams, rate = stempeg.read_stems(stempeg.example_stem_path(), dtype=np.float32)
    return streams[1:, round(0.05 * rate) :][:, : round(seconds * rate)].sum(axis=0).T


def networks(names: list[str], weights: list[str]) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield names, kinds of weights and networks."""
    for weight in ("small", "small_vocals", *weights):
        yield (
            Path(weight).parent.name if Path(weight).is_file() else weight,
            "trained",
            zoo.load(weight),
        )
    for name in names:
        torch.manual_seed(0)
        yield name, "random", presets.build_separator(name).eval()


def errors(network: nn.Module, mixture: np.ndarray, device: str) -> dict[str, float]:
    """Return the error in bfloat16 relative to float32 in dB by stem."""
    exact, rounded = (
        Separator(network, device=device, precision=precision).separate(mixture)
        for precision in ("32", "bf16")
    )
    return {
        name: 20 * float(np.log10(np.linalg.norm(rounded[name] - stem) / np.linalg.norm(stem)))
        for name, stem in exact.items()
    }


def report(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    mixture = excerpt(options.seconds)
    device = hardware()["cpu_model"] if options.device == "cpu" else options.device
    yield (
        f"Error of estimates in bfloat16 relative to those in float32, in dB; {options.seconds:g} "
        f"s of music in stereo, {device}, torch {torch.__version__}. `auto` is the precision that "
        f"`Separator` chooses; the limit is {LIMIT:g} dB."
    )
    yield "\n| network | weights | " + " | ".join(presets.SOURCES) + " | auto |"
    yield "|---" * (3 + len(presets.SOURCES)) + "|"
    for name, kind, network in networks(options.networks, options.weights):
        found = errors(network, mixture, options.device)
        cells = [f"{found[source]:.1f}" if source in found else "" for source in presets.SOURCES]
        auto = Separator(network, device=options.device).settings["precision"]
        yield f"| {name} | {kind} | " + " | ".join(cells) + f" | {auto} |"


def main() -> None:
    """Measure, print, and write the results to a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="*", choices=presets.names(), default=list(PRESETS))
    parser.add_argument("--weights", nargs="*", default=[], help="names or files of more weights")
    parser.add_argument("--seconds", type=float, default=6.0, help="of the excerpt")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    options = parser.parse_args()
    print_and_write(report(options), options.output)


if __name__ == "__main__":
    main()
