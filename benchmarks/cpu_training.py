"""Measure training steps on a CPU: the plain form beside each mode of activation checkpointing.

    python benchmarks/cpu_training.py [--networks bsrnn obsrnn ...] [--blocks 2] [--output FILE.md]

A step is forward, L1 of waveforms and STFTs, backward and Adam. The plain form is `plain.py` in
float32 with PyTorch's defaults, in a process of its own. The package's forms share a second one,
which reuses freed memory as the recipe does. The forms take turns, so that other load affects them
equally. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from cpu import spread
from memory import Form, row, take_step
from printing import print_and_write
from torch._subclasses.fake_tensor import FakeTensorMode

from asteroid_bsrnn import __version__, presets
from asteroid_bsrnn.costs.environment import hardware
from asteroid_bsrnn.masknn.separator import MODES, set_activation_checkpointing
from asteroid_bsrnn.memory import keep_freed_memory

PLAIN = Form(plain=True)
_training: tuple = ()


def has_plain_form(name: str) -> bool:
    """Return whether `plain.py` has the layers of a network."""
    try:
        with FakeTensorMode():
            PLAIN.build(name, n_repeats=1)
    except ValueError:
        return False
    return True


def _prepare(name: str, plain: bool, batch: int, seconds: float, changes: dict) -> None:
    """Build the network that this process trains."""
    global _training
    if not plain:
        keep_freed_memory()
    network, like = Form(plain=plain).build(name, **changes)
    _training = (network, like, torch.optim.Adam(network.parameters()), batch, seconds)


def _step(form: Form) -> float:
    """Take one step and return its seconds."""
    set_activation_checkpointing(_training[0], form.checkpointing)
    began = time.perf_counter()
    take_step(form, *_training)
    return time.perf_counter() - began


def measure(name: str, options: argparse.Namespace) -> dict[Form, list[float]]:
    """Return the seconds of each step by form, after one step that does not count."""
    context = multiprocessing.get_context("spawn")
    changes = {} if options.blocks is None else {"n_repeats": options.blocks}
    forms = [PLAIN] if has_plain_form(name) else []
    forms += [Form(precision=p, checkpointing=m) for p in options.precisions for m in options.modes]
    sizes = (options.batch, options.seconds, changes)
    pools = {
        plain: context.Pool(1, _prepare, (name, plain, *sizes))
        for plain in {form.plain for form in forms}
    }
    times: dict[Form, list[float]] = {form: [] for form in forms}
    try:
        for turn in range(options.repeats + 1):
            for form in forms:
                seconds = pools[form.plain].apply(_step, (form,))
                if turn:
                    times[form].append(seconds)
    finally:
        for pool in pools.values():
            pool.terminate()
    return times


def report(options: argparse.Namespace) -> Iterator[str]:
    """Yield the lines of the table."""
    blocks = "all blocks" if options.blocks is None else f"{options.blocks} blocks"
    yield f"# Training steps on a CPU: {hardware()['cpu_model']}\n"
    yield (
        f"asteroid-bsrnn {__version__}, torch {torch.__version__}, Python "
        f"{platform.python_version()}; {hardware()['cpu_model']}, {torch.get_num_threads()} "
        f"threads; load {os.getloadavg()[0]:.2f} at the start. Networks with {blocks}, "
        f"{options.batch} examples of {options.seconds:g} s. Seconds a step, median of "
        f"{options.repeats} (lowest-highest). Gain: over the plain form. Price: more time than "
        "the same precision without checkpointing."
    )
    yield "\n" + row("network", "form", "time", "gain", "price")
    yield row(*["---"] * 5)
    for name in options.networks:
        times = measure(name, options)
        middle = {form: median(values) for form, values in times.items()}
        for form, values in times.items():
            gain = f"{middle[PLAIN] / middle[form]:.2f}" if PLAIN in middle else ""
            free = middle.get(Form(precision=form.precision))
            price = f"{100 * (middle[form] / free - 1):.0f} %" if free and not form.plain else ""
            yield row(name, form, spread(values), gain, price)


def main() -> None:
    """Measure, print, and write the results to a file if one is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = presets.names()
    parser.add_argument("--networks", nargs="*", choices=names, default=["bsrnn", "obsrnn"])
    parser.add_argument("--modes", nargs="*", choices=MODES, default=list(MODES))
    precisions = ("float32", "bfloat16")
    parser.add_argument("--precisions", nargs="*", choices=precisions, default=precisions)
    parser.add_argument("--blocks", type=int, help="dual-path blocks; by default all")
    parser.add_argument("--batch", type=int, default=2, help="examples in a step")
    parser.add_argument("--seconds", type=float, default=1.0, help="of an example")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="Markdown file to write too")
    options = parser.parse_args()
    print_and_write(report(options), options.output)


if __name__ == "__main__":
    main()
