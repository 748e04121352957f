"""Effects compared with theory."""

import numpy as np
import pytest
from scipy import signal

from openstems import effects
from openstems.effects import dynamics, filters, modulation, saturation, space
from openstems.music import RATE


def sine(frequency, seconds=1.0, level=0.5):
    wave = level * np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)
    return np.repeat(wave[None], 2, axis=0).astype(np.float32)


def noise(seconds=1.0, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((channels, int(seconds * RATE)), dtype=np.float32)


def impulse(seconds=1.0):
    sound = np.zeros((2, int(seconds * RATE)), np.float32)
    sound[:, 0] = 1
    return sound


def gain_at(sections, frequencies):
    """Return the gain of a cascade in dB at frequencies in Hz."""
    _, response = signal.sosfreqz(np.concatenate(sections), worN=frequencies, fs=RATE)
    return 20 * np.log10(np.abs(response) + 1e-12)


def decibels_of(sound):
    return 10 * np.log10(np.mean(sound.astype(np.float64) ** 2))


@pytest.mark.parametrize(
    ("section", "frequencies", "gains"),
    [
        (filters.peak(1000, 6, 2), (20, 1000, 18000), (0, 6, 0)),
        (filters.peak(300, -9, 1), (20, 300, 18000), (0, -9, 0)),
        (filters.low_shelf(200, 8), (5, 200, 10000), (8, 4, 0)),
        (filters.high_shelf(3000, -6), (20, 3000, 21000), (0, -3, -6)),
        (filters.high_pass(100), (10, 100, 10000), (-40, -3.01, 0)),
        (filters.low_pass(1000, 1), (10, 1000), (0, -3.01)),
        (filters.steep_low_pass(16000), (15900, 17500), (0, -60)),
    ],
)
def test_gain_of_filters(section, frequencies, gains):
    if gains[-1] == -60:
        measured = gain_at([section], frequencies)
        assert measured[0] > -0.2 and measured[1] < -59
    else:
        np.testing.assert_allclose(gain_at([section], frequencies), gains, atol=0.15)


def test_gain_of_a_cascade():
    sections = filters.peak(1000, 6), filters.low_shelf(150, -4), filters.high_shelf(5000, 3)
    for frequency in (60, 1000, 9000):
        sound = sine(frequency)
        changed = filters.equalize(sound, *sections)
        measured = decibels_of(changed[:, RATE // 2 :]) - decibels_of(sound[:, RATE // 2 :])
        assert measured == pytest.approx(gain_at(sections, [frequency])[0], abs=0.02)


def test_equal_channels_are_filtered_like_others():
    sound = sine(440)
    other = np.stack([sound[0], 0.5 * sound[1]])
    section = filters.peak(500, 5)
    np.testing.assert_array_equal(
        filters.equalize(sound, section)[0], filters.equalize(other, section)[0]
    )


def test_consecutive_filters_are_one_cascade():
    links = [
        {"effect": "peak", "frequency": 500.0, "gain": 4.0},
        {"effect": "high_pass", "frequency": 90.0},
    ]
    sound = noise()
    direct = filters.equalize(sound, filters.peak(500, 4), filters.high_pass(90))
    np.testing.assert_array_equal(effects.process(sound, links), direct)


def test_an_unknown_effect_is_named():
    with pytest.raises(ValueError, match="'flanger'.*chorus"):
        effects.process(noise(), [{"effect": "flanger"}])


@pytest.mark.parametrize(("ratio", "threshold"), [(2.0, -20.0), (4.0, -12.0)])
def test_ratio_of_a_compressor(ratio, threshold):
    loud, louder = (sine(1000, level=10 ** (level / 20)) for level in (-6, -2))
    settle = slice(RATE // 2, None)
    out = [dynamics.compress(s, threshold, ratio)[:, settle] for s in (loud, louder)]
    assert decibels_of(out[1]) - decibels_of(out[0]) == pytest.approx(4 / ratio, abs=0.1)
    assert decibels_of(out[0]) - decibels_of(loud[:, settle]) == pytest.approx(
        (-6 - threshold) * (1 / ratio - 1), abs=0.1
    )


def test_a_compressor_keeps_levels_below_its_threshold():
    sound = sine(1000, level=0.05)
    np.testing.assert_allclose(dynamics.compress(sound, -20, 4), sound, atol=1e-6)


def test_parallel_compression_is_a_mix():
    sound = noise()
    wet = dynamics.compress(sound, -30, 8, makeup=6)
    half = dynamics.compress(sound, -30, 8, makeup=6, mix=0.5)
    np.testing.assert_allclose(half, 0.5 * (sound + wet), atol=1e-5)


def test_attack_and_release_times():
    values = np.concatenate([np.zeros(200), np.full(2000, -10.0), np.zeros(2000)])
    followed = dynamics.follow(values, fall=0.02, rise=0.2)
    constant = int(0.02 * RATE / dynamics.HOP)
    assert followed[200 + constant] == pytest.approx(-10 * (1 - np.exp(-1)), abs=0.5)
    constant = int(0.2 * RATE / dynamics.HOP)
    assert followed[2200 + constant] == pytest.approx(-10 * np.exp(-1), abs=0.2)


def test_deesser_lowers_sibilants_alone():
    low, high = sine(400), sine(9000)
    assert decibels_of(dynamics.deess(low, 6000, -30, 4)) == pytest.approx(
        decibels_of(low), abs=0.3
    )
    assert decibels_of(dynamics.deess(high, 6000, -30, 4)) < decibels_of(high) - 4


def test_transients_are_raised_relative_to_the_tail():
    time = np.arange(RATE) / RATE
    hit = np.repeat((noise(1.0, 1)[0] * np.exp(-time / 0.15))[None], 2, axis=0).astype(np.float32)
    sound = np.concatenate([np.zeros((2, RATE // 2), np.float32), hit], axis=1)
    ratio = dynamics.shape_transients(sound, 6) / np.where(sound == 0, 1, sound)
    start = RATE // 2
    assert ratio[0, start + 300 : start + 1000].max() > 1.5
    assert ratio[0, start + 30000 : start + 40000].max() == pytest.approx(1, abs=0.05)


def test_ducking_drops_and_recovers():
    sound = np.ones((2, 2 * RATE), np.float32)
    ducked = dynamics.duck(sound, [0.5], depth=12, recovery=0.3)
    assert ducked[0, int(0.45 * RATE)] == 1
    assert ducked[0, int(0.502 * RATE)] == pytest.approx(10 ** (-12 / 20), abs=0.05)
    assert ducked[0, int(0.9 * RATE)] == 1


def test_saturation_keeps_full_scale_and_adds_odd_harmonics():
    driven = saturation.saturate(sine(1000, level=1.0), drive=12)
    assert np.abs(driven).max() == pytest.approx(1, abs=1e-3)
    spectrum = np.abs(np.fft.rfft(driven[0])) / (RATE / 2)
    assert spectrum[3000] > 0.05
    assert spectrum[2000] < 1e-4


def test_asymmetry_adds_even_harmonics():
    driven = saturation.saturate(sine(1000, level=1.0), drive=12, asymmetry=0.3)
    assert np.abs(np.fft.rfft(driven[0]))[2000] / (RATE / 2) > 0.01
    assert abs(driven[0, RATE // 2 :].mean()) < 0.01


def test_upper_edge_of_an_amplifier():
    driven = saturation.amplify(noise(2.0), drive=20, cabinet=4000)
    spectrum = np.abs(np.fft.rfft(driven[0])) ** 2
    # Bins of half a hertz: the second octave above the edge relative to the first below it.
    assert spectrum[24000:32000].mean() < 1e-3 * spectrum[4000:8000].mean()


def test_time_and_strength_of_echoes():
    echoed = space.delay(impulse(), 0.25, feedback=0.5, mix=0.4)
    energy = [np.abs(echoed[0, int(t * RATE) :][:400]).sum() for t in (0.25, 0.5, 0.75)]
    assert energy[1] / energy[0] == pytest.approx(0.5, abs=1e-3)
    assert energy[2] / energy[1] == pytest.approx(0.5, abs=1e-3)
    assert not echoed[:, 1 : RATE // 4].any()


def test_ping_pong_echoes_change_sides():
    echoed = space.delay(impulse(), 0.2, feedback=0.5, mix=0.4, ping_pong=True)
    first, second = (echoed[:, int(t * RATE) : int(t * RATE) + 400] for t in (0.2, 0.4))
    assert np.abs(first[0]).max() > 0.05 and np.abs(first[1]).max() < 1e-6
    assert np.abs(second[1]).max() > 0.02 and np.abs(second[0]).max() < 1e-6


def test_a_room_has_unit_energy_and_its_decay():
    room = space.impulse_response(seed=3, decay=1.0, damping=0.0, early=0.0, predelay=0.0)
    np.testing.assert_allclose((room.astype(np.float64) ** 2).sum(axis=1), 1, rtol=1e-5)
    # The remaining energy falls linearly in dB from -5 to -35 dB.
    left = np.cumsum(room[0, ::-1].astype(np.float64) ** 2)[::-1]
    level = 10 * np.log10(left / left[0])
    start, end = (np.argmax(level < -depth) for depth in (5, 35))
    assert 2 * (end - start) / RATE == pytest.approx(1.0, rel=0.1)


def test_treble_decays_faster_and_channels_differ():
    room = space.impulse_response(seed=3, decay=1.0, damping=0.9, early=0.0, width=1.0)
    half = room.shape[-1] // 2
    treble = filters.equalize(room, filters.high_pass(6000, 4))
    late = [(sound[:, half:] ** 2).sum() / (sound**2).sum() for sound in (treble, room)]
    assert late[0] < 0.1 * late[1]
    assert abs(np.corrcoef(room)[0, 1]) < 0.05
    narrow = space.impulse_response(seed=3, decay=1.0, early=0.0, width=0.0)
    assert np.corrcoef(narrow)[0, 1] > 0.999


def test_a_send_sets_the_energy_of_the_room():
    sound = np.zeros((2, 3 * RATE), np.float32)
    sound[:, 10] = 1
    room = {"seed": 1, "decay": 0.8}
    wet = space.reverberate(sound, -12, room) - sound
    energy = 10 * np.log10((wet.astype(np.float64) ** 2).sum(axis=1))
    np.testing.assert_allclose(energy, -12, atol=0.05)
    assert np.abs(wet[:, :10]).max() < 1e-6


def test_pan_keeps_power():
    sound = noise()
    for position in (-1, -0.4, 0, 0.7, 1):
        moved = space.pan(np.repeat(sound[:1], 2, axis=0), position)
        assert (moved**2).sum() == pytest.approx(2 * (sound[0] ** 2).sum(), rel=1e-4)
    np.testing.assert_allclose(space.pan(sound, 0), sound, rtol=1e-6)
    assert np.abs(space.pan(sound, -1)[1]).max() < 1e-6


def test_width_scales_the_side():
    sound = noise()
    wide = space.widen(sound, 1.5)
    np.testing.assert_allclose(wide[0] - wide[1], 1.5 * (sound[0] - sound[1]), atol=1e-6)
    np.testing.assert_allclose(wide.sum(axis=0), sound.sum(axis=0), atol=1e-6)


def test_bass_becomes_mono_and_treble_stays_wide():
    for frequency, share in ((40, 0.1), (2000, 0.9)):
        one = sine(frequency)
        sound = space.mono_below(np.stack([one[0], -one[0]]), 200)
        side = 0.5 * (sound[0] - sound[1])
        kept = np.abs(side[RATE // 2 :]).max() / 0.5
        assert kept < 0.35 if share < 0.5 else kept > share


def test_doubling_widens_and_chorus_swings_oppositely():
    sound = np.repeat(noise(channels=1), 2, axis=0)
    doubled = modulation.double(sound, seed=1, amount=0.5)
    side = doubled[0] - doubled[1]
    assert decibels_of(side[None]) - decibels_of(doubled.sum(axis=0)[None]) > -15
    np.testing.assert_array_equal(doubled, modulation.double(sound, seed=1, amount=0.5))
    assert np.corrcoef(modulation.chorus(sound))[0, 1] < 0.98


def test_wow_bends_the_pitch_a_little():
    steady = sine(1000, 2.0)
    bent = modulation.wow(steady, seed=2, depth=0.001)
    assert bent.shape == steady.shape
    assert np.abs(bent - steady).max() > 1e-3
    spectrum = np.abs(np.fft.rfft(bent[0])) ** 2
    assert spectrum[1980:2021].sum() > 0.98 * spectrum.sum()


def test_active_level_ignores_pauses():
    sound = np.concatenate([sine(1000), np.zeros((2, 3 * RATE), np.float32)], axis=1)
    expected = 20 * np.log10(0.5 / np.sqrt(2))
    assert dynamics.active_level(sound) == pytest.approx(expected, abs=0.1)
    assert dynamics.active_level(dynamics.set_active_level(sound, -30)) == pytest.approx(
        -30, abs=0.01
    )
    silence = np.zeros((2, RATE), np.float32)
    assert not dynamics.set_active_level(silence, -20).any()


def test_every_effect_keeps_shape_type_and_silence():
    needed = {
        "peak": {"frequency": 900.0, "gain": 3.0},
        "low_shelf": {"frequency": 90.0, "gain": 3.0},
        "high_shelf": {"frequency": 9000.0, "gain": 3.0},
        "high_pass": {"frequency": 50.0},
        "low_pass": {"frequency": 5000.0},
        "steep_low_pass": {"frequency": 16000.0},
        "compress": {"threshold": -20.0, "ratio": 3.0},
        "deess": {"frequency": 6000.0, "threshold": -30.0, "ratio": 3.0},
        "shape_transients": {"gain": 3.0},
        "saturate": {"drive": 9.0, "asymmetry": 0.2, "emphasis": 4.0},
        "amplify": {"drive": 9.0},
        "double": {"seed": 1},
        "wow": {"seed": 1},
        "delay": {"seconds": 0.3},
        "reverberate": {"send": -10.0, "room": {"seed": 1, "decay": 0.4}},
        "pan": {"position": 0.3},
        "widen": {"factor": 1.2},
        "mono_below": {"frequency": 150.0},
    }
    for name in effects.NAMES:
        link = {"effect": name, **needed.get(name, {})}
        for sound in (noise(0.7), np.zeros((2, 30001), np.float32)):
            changed = effects.process(sound, [link])
            assert changed.shape == sound.shape and changed.dtype == np.float32, name
            assert np.isfinite(changed).all(), name
            # Far below half a quantisation step of 16 bits.
            assert sound.any() or np.abs(changed).max() < 1e-9, name
