"""Sounds for tests, and the one line that bad ones must get."""

import functools
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.errors import UserError

RATE = 44100


def noise(frames, channels=2, scale=0.1, seed=0):
    """Return noise `(C, L)` on the grid of 16-bit samples, which lossless files keep exactly."""
    return _noise(frames, channels, scale, seed).copy()


@functools.lru_cache(maxsize=16)
def _noise(frames, channels, scale, seed):
    steps = np.random.default_rng(seed).normal(0, scale, (channels, frames)) * 2**15
    return (np.rint(steps).clip(-(2**15), 2**15 - 1) / 2**15).astype(np.float32)


def write(path, samples, rate=RATE, subtype="PCM_16"):
    """Write `(C, L)` to a file and return its path."""
    soundfile.write(path, samples.T, rate, subtype=subtype)
    return path


@contextmanager
def refused(*words):
    """What happens inside must end in a UserError of one line that holds all the words."""
    with pytest.raises(UserError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert str(word) in message


def decibels(reference, estimate):
    """How far an estimate's error lies below its reference, in dB."""
    return 10 * np.log10(np.sum(reference**2) / np.sum((estimate - reference) ** 2))
