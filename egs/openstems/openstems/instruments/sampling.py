"""Reading of recordings, resampling, mixing into a stem, and a cache of recent sounds."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy import signal

from openstems.errors import UserError
from openstems.music import RATE


@contextmanager
def opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open a recording.

    Raises:
        UserError: if it cannot be read.
    """
    try:
        with soundfile.SoundFile(path) as file:
            yield file
    except (OSError, soundfile.LibsndfileError) as error:
        raise UserError(f"{path}: cannot be read ({error}); get its material again") from error


def read_recording(path: Path, seconds: float | None = None) -> np.ndarray:
    """Return a recording, or its beginning, as float32 (samples, C) at `RATE`.

    Raises:
        UserError: if it cannot be read.
    """
    with opened(path) as file:
        frames = -1 if seconds is None else round(seconds * file.samplerate)
        return at_rate(file.read(frames, dtype="float32", always_2d=True), file.samplerate)


def at_rate(sound: np.ndarray, rate: int, wanted: int = RATE) -> np.ndarray:
    """Return a sound (samples, ...) resampled from `rate` to `wanted` Hz."""
    return sound if rate == wanted else soxr.resample(sound, rate, wanted)


class ByteCache:
    """Cache of the most recently used arrays, limited in bytes.

    Args:
        limit: largest number of bytes; a single larger array is kept alone.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0
        self._arrays: OrderedDict[Hashable, np.ndarray] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of `key`, made by `make` if it is missing."""
        if key in self._arrays:
            self._arrays.move_to_end(key)
        else:
            self._put(key, make())
        return self._arrays[key]

    def beginning(
        self, key: Hashable, length: int, make: Callable[[int], np.ndarray], least: int = 0
    ) -> np.ndarray:
        """Return the first `length` samples of the sound of `key`.

        `make` renders the beginning of the sound. A longer beginning has at least twice the length
        of the previous one, which avoids rendering each of ever longer notes.

        Args:
            key: name of the sound.
            length: number of samples.
            make: function from a number of samples to the sound (..., samples).
            least: shortest beginning to render.
        """
        kept = self._arrays.get(key)
        if kept is None or kept.shape[-1] < length:
            kept = make(max(length, least, 0 if kept is None else 2 * kept.shape[-1]))
            self._put(key, kept)
        return kept[..., :length]

    def _put(self, key: Hashable, array: np.ndarray) -> None:
        """Store an array and drop the least recently used ones beyond the limit."""
        if key in self._arrays:
            self.held -= self._arrays.pop(key).nbytes
        self._arrays[key] = array
        self.held += array.nbytes
        while self.held > self.limit and len(self._arrays) > 1:
            self.held -= self._arrays.popitem(last=False)[1].nbytes


def read_at(sound: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Interpolate `sound` at fractional positions by cubic Hermite polynomials.

    Args:
        sound: shape (L,) or (C, L), with at least one sample.
        positions: positions in samples, shape (N,), each from 0 to L - 1.

    Returns:
        Float32, shape (N,) or (C, N).
    """
    whole = positions.astype(np.int32)
    part = (positions - whole).astype(np.float32)
    last = sound.shape[-1] - 1
    before, at, after, later = (
        sound.take(whole + step, axis=-1, mode="clip") if last else sound[..., :1]
        for step in (-1, 0, 1, 2)
    )
    slope = 0.5 * (after - before)
    cubic = 0.5 * (later - before) + 1.5 * (at - after)
    square = after - at - slope - cubic
    return (((cubic * part + square) * part + slope) * part + at).astype(np.float32, copy=False)


def repitch(sound: np.ndarray, cents: float) -> np.ndarray:
    """Return `sound` played faster (positive `cents`) or slower, like a tape."""
    if cents == 0 or sound.shape[-1] < 2:
        return sound
    speed = 2.0 ** (cents / 1200)
    length = max(int((sound.shape[-1] - 1) / speed), 1)
    return read_at(sound, np.arange(length) * speed)


def pan_gains(pan: float) -> tuple[float, float]:
    """Return the gains of left and right at constant power; both are 1 in the middle.

    Args:
        pan: -1 (left) to 1 (right).
    """
    angle = (min(max(pan, -1.0), 1.0) + 1) * np.pi / 4
    return float(np.sqrt(2) * np.cos(angle)), float(np.sqrt(2) * np.sin(angle))


def add_at(
    stem: np.ndarray, sound: np.ndarray, start: int, gain: float = 1.0, pan: float = 0.0
) -> None:
    """Add `sound` to `stem` in place, except for samples outside of the stem.

    Args:
        stem: shape (2, samples).
        sound: shape (L,) or (2, L).
        start: sample of the stem at which the sound starts.
        gain: linear gain.
        pan: -1 to 1.
    """
    first = max(0, -start)
    last = min(sound.shape[-1], stem.shape[1] - start)
    if last <= first:
        return
    for channel, side in enumerate(pan_gains(pan)):
        source = sound if sound.ndim == 1 else sound[channel]
        if gain * side > 1e-6:
            stem[channel, start + first : start + last] += source[first:last] * np.float32(
                gain * side
            )


def without_offset(stem: np.ndarray) -> np.ndarray:
    """Return `stem` without frequencies below about 10 Hz."""
    pole = 1 - 2 * np.pi * 10 / RATE
    feedforward, feedback = np.float32([1, -1]), np.float32([1, -pole])
    return signal.lfilter(feedforward, feedback, stem).astype(np.float32, copy=False)
