"""Mastering: exact sums, the ceiling, silence."""

import numpy as np
import pytest

from openstems import mastering
from openstems.effects import dynamics
from openstems.effects.dynamics import active_level
from openstems.music import RATE
from openstems.randomness import generator

STEMS = ("vocals", "drums", "bass", "other")


def stems_of(seed, seconds=1.0):
    """Return stems of random spectrum, level and pauses, some in opposite phase to others."""
    rng = generator("stems", seed)
    length = int(seconds * RATE)
    stems = {}
    for name in STEMS:
        sound = rng.standard_normal((2, length), dtype=np.float32)
        sound *= np.float32(10 ** rng.uniform(-3, 1))
        begin, end = np.sort(rng.integers(0, length, 2))
        sound[:, begin:end] *= np.float32(rng.choice([0, 1, 20]))
        stems[name] = sound
    if rng.random() < 0.5:
        stems["other"] = (-0.98 * stems["drums"]).astype(np.float32)
    return stems


@pytest.mark.parametrize("seed", range(10))
def test_the_mixture_is_the_exact_sum_and_nothing_clips(seed):
    choice = mastering.draw(generator("master", seed))
    written = mastering.master(stems_of(seed), **choice)
    mixture = mastering.sum_of(written)
    exact = sum(stem.astype(np.int64) for stem in written.values())
    np.testing.assert_array_equal(mixture, exact)
    ceiling = 10 ** (choice["ceiling"] / 20) * mastering.FULL_SCALE
    for sound in (mixture, *written.values()):
        assert sound.dtype == np.int16
        assert np.abs(sound.astype(np.int64)).max() <= min(ceiling + 2, mastering.FULL_SCALE)


def test_a_limiter_changes_peaks_only():
    rng = np.random.default_rng(0)
    peaks = np.full(500, 0.3)
    peaks[rng.integers(0, 500, 12)] = rng.uniform(1, 30, 12)
    gain = mastering.limiter_gain(peaks, 0.9)
    following = np.append(gain[1:], gain[-1])
    assert (np.maximum(gain, following) * peaks <= 0.9 + 1e-12).all()
    assert gain.max() == 1
    quiet = mastering.limiter_gain(np.full(100, 0.5), 0.9)
    np.testing.assert_array_equal(quiet, 1)


def test_a_limiter_looks_ahead():
    peaks = np.full(100, 0.1)
    peaks[50] = 2.0
    gain = mastering.limiter_gain(peaks, 1.0)
    # The gain falls before the peak and rises after it, gradually.
    assert gain[40] == 1 and gain[61] == 1
    assert gain[50] == gain[51] == 0.5
    assert np.all(np.diff(gain[40:51]) <= 0) and len(np.unique(gain)) > 4


def test_the_bus_compressor_has_its_ratio():
    levels = np.array([-2.0, -8.0])
    gains = [
        dynamics.compressor_gain(np.full(4000, 10 ** (level / 20)), -10, 4, 0.01, 0.1)[-1]
        for level in levels
    ]
    out = levels + 20 * np.log10(gains)
    assert out[0] - out[1] == pytest.approx(6 / 4, abs=0.01)


def test_loudness_without_limiting():
    tone = 0.01 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)
    stems = {name: np.stack([tone, tone]).astype(np.float32) for name in STEMS}
    written = mastering.master(stems, loudness=-18.0)
    mixture = mastering.sum_of(written).astype(np.float32) / 32768
    assert active_level(mixture) == pytest.approx(-18, abs=0.05)


def test_silence_stays_digital_silence():
    stems = stems_of(3)
    stems["vocals"] = np.zeros_like(stems["vocals"])
    half = RATE // 2
    stems["bass"][:, :half] = 0
    chain = [
        {"effect": "low_shelf", "frequency": 100.0, "gain": 2.0},
        {"effect": "steep_low_pass", "frequency": 16000.0},
    ]
    written = mastering.master(stems, -15.0, chain=chain)
    assert not written["vocals"].any()
    assert not written["bass"][:, :half].any()
    nothing = {name: np.zeros((2, RATE), np.float32) for name in STEMS}
    assert not any(stem.any() for stem in mastering.master(nothing, -15.0).values())


def test_a_codec_removes_the_top_of_every_stem():
    chain = [{"effect": "steep_low_pass", "frequency": 15000.0}]
    stems = {name: np.random.default_rng(i).normal(size=(2, RATE)) for i, name in enumerate(STEMS)}
    stems = {name: sound.astype(np.float32) for name, sound in stems.items()}
    for stem in mastering.master(stems, -25.0, chain=chain).values():
        spectrum = np.abs(np.fft.rfft(stem[0].astype(np.float64))) ** 2
        assert spectrum[17000:].mean() < 1e-4 * spectrum[5000:14000].mean()
