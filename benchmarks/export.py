"""Measure exported maskers in ONNX Runtime beside PyTorch, in one run.

    python benchmarks/export.py [--output benchmarks/results/export_<name>.md]

The input is the spectrogram of six seconds of real music, which comes with the package `stempeg`.
Each form runs in its own process, and the forms take turns, as in `cpu.py`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from cpu import gigabytes, row, spread
from cpu_form import _peak_bytes
from precision import excerpt
from printing import print_and_write

from asteroid_bsrnn import presets, zoo
from asteroid_bsrnn.costs.environment import hardware
from asteroid_bsrnn.export import Masker, export, quantise
from asteroid_bsrnn.memory import keep_freed_memory
from asteroid_bsrnn.weights import checkpoint

NAMES = ("small", "bsrnn")
FORMS = ("PyTorch", "ONNX", "ONNX, int8 weights")


def network(name: str) -> torch.nn.Module:
    """Return a network with trained weights, or a preset with random weights."""
    if name in zoo.registry():
        return zoo.load(name)
    torch.manual_seed(0)
    return presets.build(name, "vocals").eval()


def serve(pipe, path: Path, spectrogram: Path, n_threads: int) -> None:
    """Answer each request with the seconds, the peak memory and the estimates of a form."""
    torch.set_num_threads(n_threads)
    mixture = np.load(spectrogram)
    if path.suffix == ".pth":
        keep_freed_memory()
        masker = Masker(checkpoint.load_model(path))

        def run() -> np.ndarray:
            with torch.no_grad():
                return masker(torch.from_numpy(mixture)).numpy()

    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads
        session = onnxruntime.InferenceSession(str(path), options)

        def run() -> np.ndarray:
            return session.run(None, {"mixture": mixture})[0]

    estimates = run()
    while pipe.recv():
        began = time.perf_counter()
        run()
        pipe.send((time.perf_counter() - began, _peak_bytes(), estimates))


def measure(paths: dict[str, Path], spectrogram: Path, repeats: int) -> dict[str, tuple]:
    """Return times, peak memory and estimates by form."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for form, path in paths.items():
        pipes[form], there = context.Pipe()
        arguments = (there, path, spectrogram, torch.get_num_threads())
        context.Process(target=serve, args=arguments, daemon=True).start()
    found: dict[str, list] = {form: [] for form in paths}
    for _ in range(repeats):
        for form, pipe in pipes.items():
            pipe.send(True)
            found[form].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send(False)
    return {
        form: ([seconds for seconds, _, _ in runs], runs[-1][1], runs[-1][2])
        for form, runs in found.items()
    }


def rows(name: str, seconds: float, repeats: int) -> Iterator[str]:
    """Yield the lines of one network."""
    model = network(name)
    filterbank = model.encoder.filterbank
    mixture = torch.from_numpy(excerpt(seconds))
    spectrogram = torch.view_as_real(filterbank.stft(mixture).transpose(1, 2))[None]
    with tempfile.TemporaryDirectory() as folder:
        names = ("model.pth", "float32.onnx", "int8.onnx")
        paths = dict(zip(FORMS, (Path(folder, file) for file in names), strict=True))
        checkpoint.save_model(model, paths["PyTorch"])
        export(model, paths["ONNX"])
        quantise(paths["ONNX"], paths["ONNX, int8 weights"])
        np.save(Path(folder, "mixture.npy"), spectrogram.contiguous().numpy())
        measured = measure(paths, Path(folder, "mixture.npy"), repeats)
        sizes = {form: path.stat().st_size / 1e6 for form, path in paths.items()}
    exact = measured["PyTorch"][2]
    for form, (times, memory, estimates) in measured.items():
        lost, difference = "", ""
        if form != "PyTorch":
            stems = zip(estimates[0], exact[0], strict=True)
            worst = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in stems)
            lost = f"{20 * np.log10(worst):.0f}"
            difference = f"{np.abs(estimates - exact).max() / np.abs(exact).max():.1e}"
        yield row(
            name, form, spread(times), gigabytes(memory), f"{sizes[form]:.1f}", difference, lost
        )


def report(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the results."""
    versions = f"torch {torch.__version__}, onnxruntime {version('onnxruntime')}"
    yield f"# Exported networks: {hardware()['cpu_model']}\n"
    yield (
        f"{versions}, Python {platform.python_version()}; {hardware()['cpu_model']}, "
        f"{torch.get_num_threads()} thread(s). The masker on the spectrogram of "
        f"{options.seconds:g} s of stereo music: seconds, median of {options.repeats} "
        "(lowest-highest); peak memory of the process in GiB; file in MB; largest difference from "
        "PyTorch as a share of the largest estimate; error of the worst stem in dB."
    )
    yield "\n" + row("network", "form", "time", "memory", "file", "difference", "error")
    yield row(*["---"] * 7)
    for name in options.networks:
        yield from rows(name, options.seconds, options.repeats)


def main() -> None:
    """Measure, print, and write the results to a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--networks", nargs="*", default=list(NAMES))
    parser.add_argument("--seconds", type=float, default=6.0, help="of the excerpt, at most 6")
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    options = parser.parse_args()
    print_and_write(report(options), options.output)


if __name__ == "__main__":
    main()
