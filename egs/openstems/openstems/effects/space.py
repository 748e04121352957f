"""Effects of space: echoes, reverberation, pan and width.

Reverberation is a convolution with a synthetic impulse response: a few early reflections, then
noise that decays faster at high frequencies and differs between left and right.
"""

import functools
from collections.abc import Mapping

import numpy as np
from scipy import fft

from ..music import RATE
from ..randomness import generator
from .filters import equalize, high_pass, low_pass


def delay(
    sound: np.ndarray,
    seconds: float,
    feedback: float = 0.35,
    mix: float = 0.25,
    cutoff: float = 4500.0,
    ping_pong: bool = False,
) -> np.ndarray:
    """Add decaying echoes.

    Args:
        sound: shape (2, L).
        seconds: time between echoes.
        feedback: amplitude of each echo relative to the previous one, below 1.
        mix: amplitude of the first echo.
        cutoff: low-pass of the echoes in Hz.
        ping_pong: whether echoes alternate between left and right.

    Returns:
        Shape (2, L), float32; echoes past the end are cut off.
    """
    lag = max(int(round(seconds * RATE)), 1)
    source = np.float32(mix) * equalize(sound, high_pass(150, 1), low_pass(cutoff, 1))
    if ping_pong:
        source = np.stack([source.mean(axis=0), np.zeros_like(source[0])])
    echoed = sound.copy()
    strength, start = 1.0, lag
    while strength * mix > 1e-3 and start < sound.shape[-1]:
        echoed[:, start:] += np.float32(strength) * source[:, : sound.shape[-1] - start]
        if ping_pong:
            source = source[::-1]
        strength *= feedback
        start += lag
    return echoed


def reverberate(sound: np.ndarray, send: float, room: Mapping[str, float]) -> np.ndarray:
    """Add reverberation.

    Args:
        sound: shape (2, L).
        send: energy of the impulse response relative to the direct sound in dB.
        room: arguments of `impulse_response`.

    Returns:
        Shape (2, L), float32; the tail past the end is cut off.
    """
    length = sound.shape[-1]
    size = fft.next_fast_len(length + impulse_response(**room).shape[-1], real=True)
    # Only the mid signal is reverberated; the side signal stays in the direct sound.
    spectrum = fft.rfft(np.float32(0.5 * 10 ** (send / 20)) * (sound[0] + sound[1]), size)
    wet = fft.irfft(spectrum * _transfer_function(tuple(room.items()), size), size)
    return sound + wet[:, :length]


# Most tracks of a song are in the same room.
@functools.lru_cache(maxsize=2)
def _transfer_function(room: tuple[tuple[str, float], ...], size: int) -> np.ndarray:
    """Return the spectrum of an impulse response, read-only because it is cached."""
    spectrum = fft.rfft(impulse_response(**dict(room)), size)
    spectrum.setflags(write=False)
    return spectrum


@functools.lru_cache(maxsize=16)
def impulse_response(
    seed: int,
    decay: float,
    predelay: float = 0.01,
    damping: float = 0.5,
    early: float = 0.3,
    size: float = 0.02,
    width: float = 1.0,
    low_cut: float = 150.0,
) -> np.ndarray:
    """Return the impulse response of a room, plate or hall with unit energy per channel.

    Args:
        seed: seed of noise and reflections.
        decay: time of the decay by 60 dB below 2 kHz, in seconds.
        predelay: time before the first reflection in seconds.
        damping: additional decay at high frequencies, 0 to 1.
        early: share of the energy in early reflections; 0 for a plate.
        size: duration of the early reflections in seconds.
        width: 0 gives both channels the same noise, 1 independent noise.
        low_cut: cutoff of a high-pass in Hz, which keeps the bass dry.

    Returns:
        Shape (2, samples), float32, read-only because it is cached.
    """
    rng = generator("room", seed)
    start, samples = int(predelay * RATE), int((predelay + decay) * RATE)
    tail = np.zeros((2, samples), np.float32)
    tail[:, start:] = _tail(samples - start, decay, damping, width, rng)
    reflections = _reflections(samples, start, size, width, rng)
    response = np.sqrt(1 - early) * _unit(tail) + np.sqrt(early) * _unit(reflections)
    response = _unit(equalize(response, high_pass(low_cut, 1)))
    response.setflags(write=False)
    return response


def _tail(
    samples: int, decay: float, damping: float, width: float, rng: np.random.Generator
) -> np.ndarray:
    noise = rng.standard_normal((3, samples), dtype=np.float32)
    share = np.sqrt(width)
    noise = np.sqrt(1 - width) * noise[2] + share * noise[:2]
    time = np.arange(samples, dtype=np.float32) / RATE
    bands = (
        (equalize(noise, low_pass(2000, 2)), decay),
        (equalize(noise, high_pass(2000, 2), low_pass(9000, 1)), decay * (1 - 0.75 * damping)),
    )
    # exp(-6.9078) is -60 dB.
    tail = sum(band * np.exp(-6.9078 * time / fall) for band, fall in bands)
    # The noise rises for a few milliseconds before it decays.
    return tail * np.minimum(time / 0.004, 1)


def _reflections(
    samples: int, start: int, size: float, width: float, rng: np.random.Generator
) -> np.ndarray:
    taps = np.zeros((2, samples), np.float32)
    for _ in range(10):
        lag = rng.uniform(0, size)
        strength = rng.choice([-1.0, 1.0]) * np.exp(-2 * lag / size)
        skew = width * rng.uniform(-0.0007, 0.0007)
        for channel, side in enumerate((1, -1)):
            position = start + int((lag + side * skew + 0.0007) * RATE)
            if position < samples:
                taps[channel, position] += strength * (1 + side * width * rng.uniform(-0.5, 0.5))
    return equalize(taps, low_pass(7000, 1))


def _unit(response: np.ndarray) -> np.ndarray:
    energy = np.sqrt((response**2).sum(axis=-1, keepdims=True))
    return (response / np.maximum(energy, 1e-9)).astype(np.float32)


def pan(sound: np.ndarray, position: float) -> np.ndarray:
    """Pan a sound with constant power.

    Args:
        sound: shape (2, L).
        position: -1 is left, 0 unchanged, 1 right.

    Returns:
        Shape (2, L), float32; the sound itself at position 0.
    """
    angle = (position + 1) * np.pi / 4
    gains = np.sqrt(2) * np.array([[np.cos(angle)], [np.sin(angle)]])
    return sound * gains.astype(np.float32)


def widen(sound: np.ndarray, factor: float) -> np.ndarray:
    """Scale the difference of the channels.

    Args:
        sound: shape (2, L).
        factor: 0 gives mono, 1 the sound itself, larger values a wider one.

    Returns:
        Shape (2, L), float32.
    """
    middle = 0.5 * (sound[0] + sound[1])
    side = np.float32(factor * 0.5) * (sound[0] - sound[1])
    return np.stack([middle + side, middle - side])


def mono_below(sound: np.ndarray, frequency: float) -> np.ndarray:
    """Make a sound mono below a frequency in Hz."""
    middle = 0.5 * (sound[0] + sound[1])
    side = equalize(0.5 * (sound[:1] - sound[1:]), high_pass(frequency, 2))[0]
    return np.stack([middle + side, middle - side])


def split_pan(sound: np.ndarray, take: np.ndarray, position: float) -> np.ndarray:
    """Return two takes of a part on opposite sides, each reduced to mono.

    Args:
        sound: shape (2, L).
        take: shape (2, L).
        position: distance of the takes from the middle, 0 to 1.

    Returns:
        Shape (2, L), float32.
    """
    left, right = (np.repeat(part.mean(axis=0, keepdims=True), 2, axis=0) for part in (sound, take))
    return pan(left, -position) + pan(right, position)
