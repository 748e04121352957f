"""Stems on disk for training, and the speed of reading them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from torch.utils.data import DataLoader

from asteroid_bsrnn import presets
from asteroid_bsrnn.data import RandomSegments, Track


def write_tracks(folder: Path, count: int, seconds: float) -> list[Track]:
    """Write tracks of stereo stems in 16 bits and return them."""
    numbers, tracks = np.random.default_rng(0), []
    frames = round(44100 * seconds)
    for index in range(count):
        path = folder / f"track {index}"
        path.mkdir()
        for source in presets.SOURCES:
            samples = 0.1 * numbers.standard_normal((frames, 2), dtype=np.float32)
            soundfile.write(path / f"{source}.wav", samples, 44100, subtype="PCM_16")
        tracks.append(Track(path.name, path, tuple(presets.SOURCES), frames, 44100, 2))
    return tracks


def rate(function: Callable[[int], object], seconds: float) -> float:
    """Return the calls per second."""
    began, count = time.perf_counter(), 0
    while count < 3 or time.perf_counter() - began < seconds:
        function(count)
        count += 1
    return count / (time.perf_counter() - began)


def reading_speed(dataset: RandomSegments, seconds: float, batch: int = 8) -> dict:
    """Return examples of all stems per second, with the files in the page cache.

    Both the rate within the reading process and that of batches which reach another process.
    """
    batches = iter(DataLoader(dataset, batch_size=batch, num_workers=1))
    for _ in range(3):  # starts the worker and uses up what it reads ahead
        next(batches)
    delivered = batch * rate(lambda _: next(batches), seconds)
    return {
        "examples_a_second": rate(dataset.__getitem__, seconds),
        "delivered_a_second": delivered,
        "stems": len(dataset.sources),
        "seconds_of_an_example": dataset.segment_frames / dataset.sample_rate,
    }
