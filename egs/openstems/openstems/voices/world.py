"""Speech as WORLD sees it, in few numbers, and back to sound.

A frame, every 5 ms, is a pitch, a coded spectral envelope and a coded aperiodicity. Coded frames
are what banks hold and what singing interpolates: a blend of two is a plausible mouth in between.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
    import pyworld

from ..music import RATE
from .speech import at_rate

HOP = 0.005
"""Seconds between frames."""
COEFFICIENTS = 60
LOWEST, HIGHEST = 60.0, 700.0
"""Range in Hz in which the pitch of speech is looked for."""


@dataclass(frozen=True)
class Frames:
    """Analysed sound; T frames, one every `HOP` seconds.

    Args:
        f0: (T,) in Hz, 0 where unvoiced.
        envelope: (T, 60) coded spectral envelope.
        aperiodicity: (T, 5) coded aperiodicity.
        level: (T,) power in dB.
        sonority: (T,) power between 250 Hz and 3 kHz in dB: vowels have it, hisses do not.
    """

    f0: np.ndarray
    envelope: np.ndarray
    aperiodicity: np.ndarray
    level: np.ndarray
    sonority: np.ndarray


def analyse(audio: np.ndarray, rate: int, aperiodicity_every: int = 1) -> Frames:
    """Code mono sound of any sample rate, its level normalised.

    Args:
        audio: (L,) float64.
        rate: in Hz; what lies above the band of a narrow source is made up as noise.
        aperiodicity_every: frames from one whose aperiodicity is measured to the next, with
            straight lines in between: it changes slowly, and measuring it in every frame takes two
            thirds of the analysis.
    """
    audio = at_rate(audio, rate, RATE) if rate != RATE else np.asarray(audio, np.float64)
    audio = np.ascontiguousarray(audio - audio.mean())
    # The loud tenths of a second: pauses in a phrase must not make its voice louder.
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
    # Where D4C finds no voice it leaves noise all over the spectrum; the pitch tracker alone
    # calls many a sibilant voiced.
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
    """Return values of some frames, (n, C), for all frames up to the last of them."""
    every = np.arange(frames[-1] + 1)
    return np.stack([np.interp(every, frames, column) for column in values.T], axis=1)


def _decibels(power: np.ndarray) -> np.ndarray:
    return (10 * np.log10(power.mean(axis=1) + 1e-12)).astype(np.float32)


def _extend(power: np.ndarray, aperiodicity: np.ndarray, f0: np.ndarray, rate: int) -> None:
    """Continue a spectrum above the band of its source as noise, in place.

    Sibilants fall slowly towards 20 kHz, vowels fast: what is left of these is breath. The
    aperiodicity may have fewer frames than the spectrum.
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
    """Return sound of coded frames.

    Args:
        f0: (T,) in Hz, 0 where unvoiced.
        envelope: (T, 60) coded.
        aperiodicity: (T, 5) coded.
        gain: (T,) in dB.
        effort: (T,) slope added to the spectrum between 500 Hz and 2 kHz, in dB an octave: who
            sings loudly has more there than who speaks.
        formant: factor on all formant frequencies.
        presence: height in dB of a bump near 3 kHz, the ring of a trained voice.
        breathiness: 0 (as spoken) to 1 (whispered), growing with frequency.

    Returns:
        (L,) float64 with `HOP` seconds a frame.
    """
    voiced = f0[f0 > 0]
    # Half the size costs half; only the long periods of low voices need more.
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
    """Move what is at bin b to bin `factor` b."""
    position = np.minimum(np.arange(array.shape[1]) / factor, array.shape[1] - 1.001)
    low = position.astype(int)
    part = position - low
    return np.ascontiguousarray(array[:, low] * (1 - part) + array[:, low + 1] * part)
