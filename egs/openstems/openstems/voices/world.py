"""Analysis and synthesis of speech by WORLD, with coded frames.

A frame of 5 ms has a pitch, a coded spectral envelope and a coded aperiodicity. Banks store coded
frames, and singing interpolates between them, which gives plausible sounds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
    import pyworld

from ..instruments.sampling import at_rate
from ..music import RATE

HOP = 0.005
"""Seconds between frames."""
COEFFICIENTS = 60
LOWEST, HIGHEST = 60.0, 700.0
"""Search range of the pitch of speech in Hz."""


@dataclass(frozen=True)
class Frames:
    """Analysed sound of T frames, one every `HOP` seconds.

    Args:
        f0: (T,) in Hz, 0 where unvoiced.
        envelope: (T, 60) coded spectral envelope.
        aperiodicity: (T, 5) coded aperiodicity.
        level: (T,) power in dB.
        sonority: (T,) power between 250 Hz and 3 kHz in dB, high for vowels and low for hisses.
    """

    f0: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray
    level: np.ndarray
    sonority: np.ndarray


def analyse(audio: np.ndarray, rate: int, aperiodicity_every: int = 1) -> Frames:
    """Analyse mono sound of any sample rate, with its level normalised.

    Args:
        audio: (L,) float64.
        rate: sample rate in Hz; frequencies above the band of the source are filled with noise.
        aperiodicity_every: interval in frames at which the aperiodicity is measured; it is
            interpolated linearly in between. Measuring it in every frame would take two thirds of
            the analysis.
    """
    audio = np.asarray(at_rate(audio, rate), np.float64)
    audio = np.ascontiguousarray(audio - audio.mean())
    # The loud tenths of a second, so that pauses do not raise the level of the voice.
    power = np.array(
        [np.mean(part**2) for part in np.array_split(audio, max(1, len(audio) // 4410))]
    )
    audio = audio * (0.1 / (np.sqrt(np.percentile(power, 80)) + 1e-9))
    f0, times = pyworld.dio(
        audio, RATE, f0_floor=LOWEST, f0_ceil=HIGHEST, frame_period=1000 * HOP, speed=4
    )
    f0 = pyworld.stonemask(audio, f0, times, RATE)
    power = pyworld.cheaptrick(audio, f0, times, RATE)
    measured = np.union1d(np.arange(0, len(f0), aperiodicity_every), len(f0) - 1)
    aperiodicity = pyworld.d4c(audio, f0[measured], times[measured], RATE)
    # The pitch tracker alone takes many sibilants for voiced; D4C gives those full aperiodicity.
    middle = aperiodicity.shape[1] * 2 // 22
    noisy = _between(aperiodicity[:, [middle]], measured)[:, 0] > 0.98
    f0 = np.where(noisy, 0.0, f0)
    frequencies = np.linspace(0, RATE / 2, power.shape[1])
    if rate < 40000:
        _extend(power, aperiodicity, f0, rate)
    coded = pyworld.code_aperiodicity(aperiodicity, RATE)
    return Frames(
        f0=f0.astype(np.float32),
        envelope=pyworld.code_spectral_envelope(power, RATE, COEFFICIENTS).astype(np.float32),
        aperiodicity=_between(coded, measured).astype(np.float32),
        level=_decibels(power),
        sonority=_decibels(power * ((frequencies > 250) & (frequencies < 3000))),
    )


def _between(values: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Interpolate values of some frames, (n, C), for all frames up to the last one."""
    every = np.arange(frames[-1] + 1)
    return np.stack([np.interp(every, frames, column) for column in values.T], axis=1)


def _decibels(power: np.ndarray) -> np.ndarray:
    return (10 * np.log10(power.mean(axis=1) + 1e-12)).astype(np.float32)


def _extend(power: np.ndarray, aperiodicity: np.ndarray, f0: np.ndarray, rate: int) -> None:
    """Extend a spectrum above the band of its source with noise, in place.

    Sibilants fall slowly towards 20 kHz, vowels fast. The aperiodicity may have fewer frames than
    the spectrum.
    """
    frequencies = np.linspace(0, RATE / 2, power.shape[1])
    edge = 0.43 * rate
    near = (frequencies > 0.8 * edge) & (frequencies < 0.97 * edge)
    above = frequencies > edge
    reference = np.log(power[:, near] + 1e-16).mean(axis=1, keepdims=True)
    octaves = np.log2(frequencies[above] / edge)[None]
    slope = np.where(f0 > 0, 12.0, 5.0)[:, None] * np.log(10) / 10
    power[:, above] = np.exp(reference - slope * octaves)
    aperiodicity[:, above] = np.maximum(aperiodicity[:, above], 0.9)


def synthesise(
    f0: np.ndarray,
    envelope: np.ndarray,
    aperiodicity: np.ndarray,
    gain: np.ndarray,
    effort: np.ndarray,
    formant: float = 1.0,
    presence: float = 0.0,
    breathiness: float = 0.0,
) -> np.ndarray:
    """Synthesise sound from coded frames.

    Args:
        f0: (T,) in Hz, 0 where unvoiced.
        envelope: (T, 60) coded.
        aperiodicity: (T, 5) coded.
        gain: (T,) in dB.
        effort: (T,) slope added to the spectrum between 500 Hz and 2 kHz in dB per octave, as in
            loud singing.
        formant: factor on formant frequencies.
        presence: height in dB of a peak near 3 kHz, as of trained voices.
        breathiness: 0 (as spoken) to 1 (whispered), growing with frequency.

    Returns:
        (L,) float64, with `HOP` seconds per frame.
    """
    voiced = f0[f0 > 0]
    # Half of the size takes half of the time; only long periods of low voices need more.
    size = 1024 if len(voiced) == 0 or voiced.min() > 115 else 2048
    power = pyworld.decode_spectral_envelope(np.ascontiguousarray(envelope, np.float64), RATE, size)
    noise = pyworld.decode_aperiodicity(np.ascontiguousarray(aperiodicity, np.float64), RATE, size)
    frequencies = np.linspace(0, RATE / 2, size // 2 + 1)
    if formant != 1.0:
        power, noise = (_stretch(array, formant) for array in (power, noise))
    octaves = np.clip(np.log2(np.maximum(frequencies, 1) / 500), 0, 2)
    bump = presence * np.exp(-0.5 * (np.log2(np.maximum(frequencies, 1) / 3000) / 0.25) ** 2)
    decibels = gain[:, None] + effort[:, None] * octaves + bump
    power *= np.exp(decibels * (np.log(10) / 10))
    if breathiness:
        amount = breathiness * np.clip(frequencies / 4000, 0.05, 1)
        noise = 1 - (1 - noise) * (1 - amount)
    return pyworld.synthesize(np.ascontiguousarray(f0, np.float64), power, noise, RATE, 1000 * HOP)


def _stretch(array: np.ndarray, factor: float) -> np.ndarray:
    """Stretch a spectrum: move bin b to bin `factor` b."""
    position = np.minimum(np.arange(array.shape[1]) / factor, array.shape[1] - 1.001)
    low = position.astype(int)
    part = position - low
    return np.ascontiguousarray(array[:, low] * (1 - part) + array[:, low + 1] * part)
