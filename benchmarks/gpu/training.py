"""Section `training`: speed, memory and energy of training steps by network and variant.

A sample is 3 s of stereo. A step is what the recipe does: forward, L1 loss of waveforms and STFTs,
backward, clipping, Adam.
"""

from __future__ import annotations

import gc

import torch
from common import Section, repeated, spread
from power import Meter
from variants import NETWORKS, Variant, counted_gib

from asteroid_bsrnn.losses import L1Loss

LARGEST_BATCH = 64
# The most important rows come first, in case time is short.
VARIANTS = [
    Variant(lstm="triton", precision="bfloat16"),
    Variant(plain=True, batch=2),
    Variant(lstm="triton", precision="bfloat16", checkpointing="block"),
    Variant(lstm="triton", precision="bfloat16", graphs=True),
    Variant(lstm="triton", precision="bfloat16", checkpointing="layers"),
    Variant(lstm="triton", precision="bfloat16", checkpointing="selective"),
    Variant(precision="bfloat16"),
    Variant(lstm="triton", precision="tf32"),
    Variant(plain=True),
    Variant(),
    Variant(precision="tf32"),
    Variant(lstm="triton", precision="float16"),
]


class Trainer:
    """Training steps of a variant on random data."""

    def __init__(self, name: str, variant: Variant, section: Section):
        self.variant, self.device = variant, section.device
        self.seconds = 0.3 if section.quick else 3.0
        self.network, self.like = variant.build(name, section.device, section.quick)
        # The fused optimiser takes the step in one kernel instead of one per parameter.
        self.optimizer = torch.optim.Adam(self.network.parameters(), fused=True)
        self.loss = L1Loss()

    def data(self, batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a random mixture and its sources."""
        length = int(44100 * self.seconds)
        shape = (batch, len(self.like.sources), 2, length)
        sources = 0.1 * torch.randn(shape, device=self.device)
        return sources.sum(1) + 0.1 * torch.randn(batch, 2, length, device=self.device), sources

    def step(self, mixture: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
        """Take one step and return the loss."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.variant.running(self.device):
            if self.variant.plain:
                estimates = self.network(mixture)
                spectrograms = self.like.encoder(estimates)
            else:
                estimates, spectrograms = self.network.forward_with_spectrogram(mixture)
            loss = self.loss(estimates, sources, spectrograms, self.like.encoder(sources))
        with self.variant.running(self.device), torch.autocast(self.device, enabled=False):
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.optimizer.step()
        return loss.detach()

    def record(self, batch: int) -> None:
        """Replay the masker, forward and backward, as a CUDA graph for this batch size."""
        spectrogram = self.like.encoder(self.data(batch)[0])
        with self.variant.running(self.device):
            torch.cuda.make_graphed_callables(self.network.masker, (spectrogram,))

    def peak_memory(self, batch: int) -> int:
        """Return the peak memory of a step in bytes."""
        if self.device == "cpu":
            return 0
        torch.cuda.reset_peak_memory_stats()
        self.step(*self.data(batch))
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()


def largest_batch(trainer: Trainer, section: Section) -> tuple[int, int]:
    """Return how many examples fit, and the bytes by which each one increases the memory."""
    if section.device == "cpu":
        trainer.peak_memory(1)
        return 2, 0
    trainer.peak_memory(1)  # allocates the optimiser's state and the workspaces
    one, three = trainer.peak_memory(1), trainer.peak_memory(3)
    example = max((three - one) // 2, 1)
    memory = 0.88 * torch.cuda.get_device_properties(0).total_memory
    fits = max(int((memory - one) // example) + 1, 1)
    if section.quick:
        fits = min(fits, 4)
    # Round down to a multiple of 4 if there are that many.
    fits = min(fits, LARGEST_BATCH)
    return fits - fits % 4 if fits > 4 else fits, example


def measure(name: str, variant: Variant, section: Section, seconds: float) -> dict:
    """Return the figures of one row."""
    trainer = Trainer(name, variant, section)
    batch, example = largest_batch(trainer, section)
    if variant.batch:
        batch = variant.batch
    if variant.graphs:
        # A graph has memory of its own, in addition to that of the ordinary steps before it.
        batch = max(batch // 2, 1)
        torch.cuda.empty_cache()
        trainer.record(batch)
    while True:
        try:
            data = trainer.data(batch)
            trainer.step(*data)
            break
        except torch.cuda.OutOfMemoryError:
            data = None
            trainer.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
            if batch == 1 or variant.graphs:
                raise
            batch //= 2
    meter = Meter(section.device)
    if section.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer.step(*data)
    meter.start()
    times = repeated(lambda: trainer.step(*data), section, seconds=seconds, warm_up=0)
    joules = meter.stop()
    figures = spread(times)
    peak = torch.cuda.max_memory_allocated() if section.device == "cuda" else None
    loss = trainer.step(*data).item()
    if loss != loss:
        raise RuntimeError("the loss is NaN")
    return {
        "batch": batch,
        "steps": len(times),
        **figures,
        "samples_a_second": batch / figures["median_s"],
        "low": batch / figures["high_s"],
        "high": batch / figures["low_s"],
        "peak_gib": peak and peak / 2**30,
        "gib_a_sample": peak and peak / 2**30 / batch,
        "more_gib_a_sample": example / 2**30 if peak else None,
        "counted_gib_a_sample": counted_gib(name, variant) if peak else None,
        "joules_a_sample": joules and joules / (batch * len(times)),
    }


def main() -> None:
    """Measure all networks, variant by variant."""
    section = Section.from_command_line()
    rows = [(name, variant) for variant in VARIANTS for name in NETWORKS]
    for index, (name, variant) in enumerate(rows):
        label = f"{name}: {variant}"
        if variant.needs_gpu and section.device == "cpu":
            section.add(label, left_out="needs a GPU")
            continue
        # Compilation, warm-up and the search for the batch size take half of a row's time.
        seconds = min(max(section.left / (len(rows) - index) / 2, 1.0), 6.0)
        section.attempt(
            label,
            lambda name=name, variant=variant, seconds=seconds: measure(
                name, variant, section, seconds
            ),
            seconds=0 if section.quick else 10,
        )
        gc.collect()
        if section.device == "cuda":
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
