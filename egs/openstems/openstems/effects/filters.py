"""Equaliser: second-order filters, run as one cascade."""

import functools

import numpy as np
from scipy import signal

from ..music import RATE

# Keeps the states of a filter from decaying into denormal numbers, which are slow. At -400 dB it is
# far below any written sample.
_TINY = 1e-20


def peak(frequency: float, gain: float, q: float = 1.0) -> np.ndarray:
    """Return a peaking filter, which raises or lowers the band around a frequency.

    Args:
        frequency: centre in Hz.
        gain: gain at the centre in dB.
        q: centre divided by bandwidth.

    Returns:
        One second-order section, shape (1, 6).
    """
    cosine, alpha, amplitude = _terms(frequency, gain, q)
    return _section(
        (1 + alpha * amplitude, -2 * cosine, 1 - alpha * amplitude),
        (1 + alpha / amplitude, -2 * cosine, 1 - alpha / amplitude),
    )


def low_shelf(frequency: float, gain: float, q: float = 0.7071) -> np.ndarray:
    """Return a low shelf, which raises or lowers all frequencies below one.

    Args:
        frequency: frequency of half the gain in dB, in Hz.
        gain: gain far below the frequency in dB.
        q: steepness; values above 0.7071 overshoot.

    Returns:
        One second-order section, shape (1, 6).
    """
    return _shelf(frequency, gain, q, 1.0)


def high_shelf(frequency: float, gain: float, q: float = 0.7071) -> np.ndarray:
    """Return a high shelf; arguments as for `low_shelf`."""
    return _shelf(frequency, gain, q, -1.0)


def high_pass(frequency: float, order: int = 2) -> np.ndarray:
    """Return a Butterworth high-pass, -3 dB at the frequency in Hz; shape (sections, 6)."""
    return _butterworth("highpass", order, frequency)


def low_pass(frequency: float, order: int = 2) -> np.ndarray:
    """Return a Butterworth low-pass, -3 dB at the frequency in Hz; shape (sections, 6)."""
    return _butterworth("lowpass", order, frequency)


def steep_low_pass(frequency: float) -> np.ndarray:
    """Return the low-pass of a lossy codec: 0.1 dB of ripple below the edge, -60 dB just above it.

    Args:
        frequency: edge of the pass band in Hz.

    Returns:
        Second-order sections, shape (4, 6).
    """
    return signal.ellip(8, 0.1, 60, frequency, "lowpass", fs=RATE, output="sos")


def equalize(sound: np.ndarray, *sections: np.ndarray) -> np.ndarray:
    """Filter a sound by a cascade.

    Args:
        sound: shape (C, L).
        *sections: second-order sections, each of shape (n, 6).

    Returns:
        The filtered sound, float32 of the same shape.
    """
    if not sections:
        return sound
    if len(sound) == 2 and np.array_equal(sound[0], sound[1]):
        return np.repeat(equalize(sound[:1], *sections), 2, axis=0)
    padded = sound.astype(np.float64)
    padded += _TINY
    return signal.sosfilt(np.concatenate(sections), padded, axis=-1).astype(np.float32)


@functools.lru_cache(maxsize=64)
def _butterworth(kind: str, order: int, frequency: float) -> np.ndarray:
    """Return a Butterworth filter, cached because many effects share edges, therefore read-only."""
    sections = signal.butter(order, frequency, kind, fs=RATE, output="sos")
    sections.setflags(write=False)
    return sections


def _terms(frequency: float, gain: float, q: float) -> tuple[float, float, float]:
    angle = 2 * np.pi * min(frequency, 0.48 * RATE) / RATE
    return np.cos(angle), np.sin(angle) / (2 * q), 10 ** (gain / 40)


def _shelf(frequency: float, gain: float, q: float, side: float) -> np.ndarray:
    # A high shelf is a low shelf mirrored in frequency: the cosine and the odd terms change sign.
    cosine, alpha, amplitude = _terms(frequency, gain, q)
    cosine *= side
    up, down = amplitude + 1, amplitude - 1
    slope = 2 * np.sqrt(amplitude) * alpha
    return _section(
        (
            amplitude * (up - down * cosine + slope),
            side * 2 * amplitude * (down - up * cosine),
            amplitude * (up - down * cosine - slope),
        ),
        (up + down * cosine + slope, side * -2 * (down + up * cosine), up + down * cosine - slope),
    )


def _section(zeros: tuple[float, ...], poles: tuple[float, ...]) -> np.ndarray:
    return np.array([[*zeros, *poles]]) / poles[0]
