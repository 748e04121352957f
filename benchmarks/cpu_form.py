"""Run one form of a network in its own process.

Forms: "plain" is the plain network with PyTorch's defaults in float32; "float32" and "bfloat16" are
the package's network as its programs run it, reusing freed memory.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from pathlib import Path

import torch
from plain import PlainBSRNN

from asteroid_bsrnn import Separator, presets, zoo
from asteroid_bsrnn.memory import keep_freed_memory

SOURCE = "vocals"
WEIGHTS = "small"  # one network; that of the rows of former results
# Kinds of operations by prefixes of torch's names; the first match counts.
KINDS = {
    "LSTM": ("aten::mkldnn_rnn", "aten::lstm"),
    "matrix products": ("aten::addmm", "aten::mm", "aten::bmm", "aten::baddbmm", "aten::matmul"),
    "copies": ("aten::copy_", "aten::cat", "aten::clone", "aten::fill_", "aten::zero_"),
    "STFT": ("aten::_fft", "aten::unfold", "aten::im2col", "aten::col2im"),
}
OTHER = "element by element"
PRECISIONS = {"plain": "32", "float32": "32", "bfloat16": "bf16"}


class Form:
    """Process that runs one form, and computes only during a call.

    Args:
        name: a preset of one source, to separate a recording in memory; or `WEIGHTS`, to separate a
            file.
        form: "plain", "float32" or "bfloat16".
        seconds: length of the recording, which is stereo noise.
        folder: folder of the recording and of the estimates.
    """

    def __init__(self, name: str, form: str, seconds: float, folder: Path):
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        arguments = (there, name, form, seconds, folder)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        there.close()

    def __call__(self, wish: str) -> object:
        """Return the answer to "run" (seconds), "memory" (bytes) or "profile" (seconds by kind)."""
        self._pipe.send(wish)
        return self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join()


def _serve(pipe, name: str, form: str, seconds: float, folder: Path) -> None:
    """Answer requests until the other end of the pipe is closed."""
    if form != "plain":
        keep_freed_memory()
    make = _of_a_file if name == WEIGHTS else _in_memory
    run = make(name, form, seconds, folder)
    answers: dict[str, Callable[[], object]] = {
        "run": lambda: _seconds(run),
        "memory": _peak_bytes,
        "profile": lambda: _profile(run),
    }
    while True:
        try:
            pipe.send(answers[pipe.recv()]())
        except EOFError:
            return


def _in_memory(name: str, form: str, seconds: float, folder: Path) -> Callable[[], torch.Tensor]:
    """Return a function that separates with random weights, the same in every process."""
    torch.manual_seed(0)
    network = presets.build(name, SOURCE).eval()
    mixture = 0.1 * torch.randn(2, round(44100 * seconds))
    if form == "plain":
        plain = PlainBSRNN(network).eval()
        for attribute in ("sources", "sample_rate", "in_channels"):
            setattr(plain, attribute, getattr(network, attribute))
        network = plain

    def run() -> torch.Tensor:
        separator = Separator(network, device="cpu", precision=PRECISIONS[form])
        return separator.separate(mixture)[SOURCE]

    torch.save(run(), folder / f"{form}.pt")  # also warms up
    return run


def _of_a_file(name: str, form: str, seconds: float, folder: Path) -> Callable[[], None]:
    """Return a function that separates a file with pretrained weights."""
    network = zoo.load(name)

    def run() -> None:
        separator = Separator(network, device="cpu", precision=PRECISIONS[form])
        separator.separate_file(folder / "mixture.wav", folder / form, overwrite=True)

    run()
    return run


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _peak_bytes() -> int | None:
    """Return the peak memory of this process in bytes; None if Linux does not report it."""
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.is_file() else None
    return int(found.group(1)) * 1024 if found else None


def _profile(run: Callable[[], object]) -> dict[str, float]:
    """Return the seconds of one call by kind of operation."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    spent = dict.fromkeys((*KINDS, OTHER), 0.0)
    for event in profile.key_averages():
        kinds = (kind for kind, names in KINDS.items() if event.key.startswith(names))
        spent[next(kinds, OTHER)] += event.self_cpu_time_total / 1e6
    return spent
