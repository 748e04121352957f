"""Section `loading`: training from files beside the same steps on data on the device.

Stems of noise in a temporary folder are read as the recipe reads them: random segments by worker
processes, pinned memory, augmentations on the device.
"""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import Section
from stems import reading_speed, write_tracks
from torch.utils.data import DataLoader
from training import Trainer
from variants import Variant

from asteroid_bsrnn import UserError, presets
from asteroid_bsrnn.data import Augmentations, RandomSegments, peak_normalise

AUGMENTATIONS = ["gain_db", {"silent_source": {"p": 0.1}}]
MOST_STEPS, FEWEST_STEPS = 40, 5
BATCHES = {"bsrnn": 16, "obsrnn": 8}


class Steps:
    """The recipe's step on a batch of stems: augment, mix, normalise, train."""

    def __init__(self, name: str, variant: Variant, section: Section):
        self.trainer = Trainer(name, variant, section)
        self.device = section.device
        self.targets = [presets.SOURCES.index(name) for name in self.trainer.like.sources]
        self.augmentations = "gains, silent sources"
        try:
            self.augment = Augmentations(AUGMENTATIONS)
        except (UserError, ImportError):
            self.augment, self.augmentations = torch.nn.Identity(), "none: not installed"

    def __call__(self, sources: torch.Tensor) -> None:
        """Take one step on stems (B, S, C, L) on any device."""
        sources = self.augment(sources.to(self.device, non_blocking=True))
        self.trainer.step(*peak_normalise(sources.sum(1), sources[:, self.targets]))


class Clock:
    """Time marks that the device sets when it reaches them in its queue."""

    def __init__(self, device: str):
        self.device, self.marks = device, []

    def mark(self) -> None:
        """Queue a mark."""
        if self.device == "cpu":
            self.marks.append(time.perf_counter())
        else:
            self.marks.append(torch.cuda.Event(enable_timing=True))
            self.marks[-1].record()

    def between(self) -> list[float]:
        """Return the seconds between successive marks."""
        if self.device == "cpu":
            return [b - a for a, b in zip(self.marks, self.marks[1:], strict=False)]
        torch.cuda.synchronize()
        pairs = zip(self.marks, self.marks[1:], strict=False)
        return [a.elapsed_time(b) / 1000 for a, b in pairs]


def timed(
    step: Steps, batches: Callable[[], torch.Tensor], device: str, n: int, warm_up: int
) -> dict:
    """Return samples per second over `n` steps, and the share of time spent waiting for data."""
    for _ in range(warm_up):
        step(batches())
    clock = Clock(device)
    clock.mark()
    for _ in range(n):
        sources = batches()
        clock.mark()  # the device has been idle since the end of the last step
        step(sources)
        clock.mark()
    waiting, working = clock.between()[0::2], clock.between()[1::2]
    total = sum(waiting) + sum(working)
    return {"samples_a_second": n * len(sources) / total, "waiting": sum(waiting) / total}


def measure(
    name: str,
    variant: Variant,
    workers: int,
    dataset: RandomSegments,
    section: Section,
    seconds: float,
) -> dict:
    """Return the figures of steps on one batch on the device and on batches from files."""
    batch, device = 2 if section.quick else BATCHES[name], section.device
    step = Steps(name, variant, section)
    loader = DataLoader(
        dataset,
        batch_size=batch,
        num_workers=workers,
        pin_memory=device == "cuda",
        drop_last=True,
    )
    iterator = iter(loader)
    resident = next(iterator)["sources"].to(device)
    first = timed(step, lambda: resident, device, 2, 3)["samples_a_second"]
    # Both ways take the same number of steps, which fit into half of the time.
    n = min(max(int(seconds / 2 * first / batch), FEWEST_STEPS), MOST_STEPS)
    n = 3 if section.quick else n
    alone = timed(step, lambda: resident, device, n, 0)["samples_a_second"]
    # The workers have read ahead: use up these batches before the measurement starts.
    loaded = timed(step, lambda: next(iterator)["sources"], device, n, 2 * workers)
    return {
        "batch": batch,
        "workers": workers,
        "on_device_samples_a_second": alone,
        **loaded,
        "augmentations": step.augmentations,
    }


def rows(section: Section) -> list[tuple[str, Variant, int]]:
    """Return networks, variants and numbers of worker processes."""
    if section.device == "cpu":
        return [("bsrnn", Variant(), 1)]
    fast = Variant(lstm="triton", precision="bfloat16")
    return [("bsrnn", fast, 4), ("bsrnn", fast, 8), ("obsrnn", fast, 4)]


def main() -> None:
    """Measure reading alone, then training from files."""
    section = Section.from_command_line()
    with tempfile.TemporaryDirectory() as folder:
        size = (1, 1.0) if section.quick else (6, 20.0)
        dataset = RandomSegments(
            write_tracks(Path(folder), *size), segment=0.3 if section.quick else 3.0
        )
        section.attempt(
            "reading, one worker", lambda: reading_speed(dataset, 0.1 if section.quick else 2.0)
        )
        chosen = rows(section)
        for index, (name, variant, workers) in enumerate(chosen):
            # Compilation and the batches read ahead take half of a row's time.
            seconds = section.left / (len(chosen) - index) / 2
            section.attempt(
                f"{name}: {variant}, {workers} workers",
                lambda n=name, v=variant, w=workers, s=seconds: measure(
                    n, v, w, dataset, section, s
                ),
                seconds=0 if section.quick else 12,
            )
            gc.collect()


if __name__ == "__main__":
    main()
