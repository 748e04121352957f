"""Synthetic instruments: synthesiser, strings, drums."""

import numpy as np
import pytest
from scipy import signal

from openstems.instruments import drum_synthesizer, patches, strings, synthesizer
from openstems.music import RATE, Note
from openstems.randomness import generator

WAVES = sum(patches.SPLIT_WAVES.values(), ())
BODIES = sum(strings.SPLIT_BODIES.values(), ())
MODES = sum(drum_synthesizer.SPLIT_MODES.values(), ())
SECOND = (Note(0.0, 1.0, 0, 100),)


def cents_off(sound, pitch):
    """Return the error of the pitch in cents, measured by autocorrelation."""
    mono = sound.mean(axis=0)[RATE // 5 : RATE]
    spectrum = np.fft.rfft(mono * np.hanning(len(mono)), 4 * len(mono))
    window = np.fft.rfft(np.hanning(len(mono)), 4 * len(mono))
    wave = np.fft.irfft(np.abs(spectrum) ** 2) / np.fft.irfft(np.abs(window) ** 2).clip(1e-6)
    period = RATE / (440 * 2 ** ((pitch - 69) / 12))
    first, last = int(period * 0.75), int(period * 1.3) + 2
    place = first + int(np.argmax(wave[first:last]))
    before, at, after = wave[place - 1 : place + 2]
    exact = place + 0.5 * (before - after) / (before - 2 * at + after)
    return 1200 * np.log2(period / exact)


def power_between(sound, low, high):
    """Return the share of the power from `low` to `high` Hz."""
    frequency, power = signal.welch(sound, RATE, nperseg=8192)
    power = power.mean(axis=0)
    return power[(frequency >= low) & (frequency < high)].sum() / power.sum()


def level(sound):
    """Return the root mean square in dB."""
    return 20 * np.log10(np.sqrt((sound.astype(np.float64) ** 2).mean()) + 1e-12)


def check_sound(sound, samples):
    """Check the type, shape and level of an instrument's result."""
    assert sound.shape == (2, samples)
    assert sound.dtype == np.float32
    assert np.isfinite(sound).all()
    assert level(sound) > -60
    assert abs(sound.mean()) < 0.02 * np.sqrt((sound**2).mean())


def play_synthesizer(shape, wave, notes, samples, seed=0):
    patch = patches.parameters(shape, wave, generator(seed, shape, wave))
    return synthesizer.render(notes, samples, patch, generator(seed))


def play_strings(manner, body, notes, samples, seed=0, **changes):
    choice = strings.parameters(manner, body, generator(seed, manner, body)) | changes
    return strings.render(notes, samples, choice, generator(seed))


def play_drums(mode, notes, samples, seed=0):
    kit = drum_synthesizer.parameters(mode, generator(seed, mode))
    return drum_synthesizer.render(notes, samples, kit, generator(seed))


@pytest.mark.parametrize("wave", WAVES)
def test_synthesizer_plays_its_pitch(wave):
    for shape, pitch in (("bass", 33), ("lead", 69), ("pad", 60)):
        sound = play_synthesizer(shape, wave, (Note(0.0, 1.4, pitch, 100),), 2 * RATE)
        check_sound(sound, 2 * RATE)
        assert abs(cents_off(sound, pitch)) < 20, shape


@pytest.mark.parametrize("body", BODIES)
def test_strings_play_their_pitch(body):
    for manner, pitch in (("picked", 28), ("fingered", 40), ("strummed", 64)):
        notes = (Note(0.0, 1.4, pitch, 100),)
        sound = play_strings(manner, body, notes, 2 * RATE, takes=1, mute=False)
        check_sound(sound, 2 * RATE)
        assert abs(cents_off(sound, pitch)) < 5, manner


@pytest.mark.parametrize(
    "play, first, second", [(play_synthesizer, "lead", "saw"), (play_strings, "clean", "solid")]
)
def test_velocity_raises_the_level_and_note_off_ends_the_sound(play, first, second):
    soft, loud = (play(first, second, (Note(0.1, 0.6, 64, v),), 3 * RATE) for v in (40, 120))
    assert level(loud) > level(soft) + 3
    assert level(loud[:, : RATE // 10 - 100]) < -100
    assert level(loud[:, 2 * RATE :]) < -80


@pytest.mark.parametrize(
    "play, first, second",
    [(play_synthesizer, "pad", "pulse"), (play_strings, "high_gain", "steel")],
)
def test_the_same_stream_gives_the_same_bits(play, first, second):
    notes = tuple(Note(i * 0.2, i * 0.2 + 0.4, 50 + i % 5, 80 + i) for i in range(8))
    one, two, other = (play(first, second, notes, 2 * RATE, seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_glide_starts_at_the_note_before():
    patch = patches.parameters("lead", "saw", generator("glide"))
    patch |= {"glide": 0.3, "vibrato": 0.0, "voices": 1, "filter": "fixed", "cutoff": 5000.0}
    notes = (Note(0.0, 0.5, 57, 100), Note(0.5, 2.5, 69, 100))
    sound = synthesizer.render(notes, 3 * RATE, patch, generator(0))[:, RATE // 2 :]
    early = cents_off(sound[:, : RATE // 2], 66)
    late = cents_off(sound[:, RATE : 2 * RATE], 69)
    assert abs(late) < 25
    # During the glide the pitch is above the previous note and below the new one.
    assert early < 280


@pytest.mark.parametrize("wave", WAVES)
def test_bass_has_grit_above_one_kilohertz_but_is_mono_below(wave):
    notes = tuple(Note(i * 0.3, i * 0.3 + 0.28, 31 + i % 4, 110) for i in range(10))
    patch = patches.parameters("bass", wave, generator(3, wave))
    patch |= {"grit": 0.3, "width": 0.9, "voices": 3}
    sound = synthesizer.render(notes, 3 * RATE, patch, generator(0))
    assert power_between(sound, 1000, 4000) > 10**-4
    side = sound[0] - sound[1]
    assert level(side) > level(sound) - 45
    assert power_between(np.stack([side, side]), 0, 80) < 0.15


def test_doubled_guitars_are_wide():
    notes = tuple(Note(i * 0.5, i * 0.5 + 0.45, pitch, 100) for i in range(6) for pitch in (40, 47))
    wide, narrow = (
        play_strings("high_gain", "solid", notes, 3 * RATE, takes=takes, pan=0.0, width=1.0)
        for takes in (2, 1)
    )
    assert level(wide[0] - wide[1]) > level(wide[0] + wide[1]) - 6
    assert level(narrow[0] - narrow[1]) < -100


@pytest.mark.parametrize("mode", MODES)
def test_spectra_of_drums(mode):
    kick, snare, hat, crash = (
        play_drums(mode, (Note(0.0, 0.1, pitch, 110),), 3 * RATE) for pitch in (36, 38, 42, 49)
    )
    for sound in (kick, snare, hat, crash):
        check_sound(sound, 3 * RATE)
    assert power_between(kick, 20, 130) > 0.7
    assert power_between(hat, 4000, 20000) > 0.8
    assert power_between(snare, 120, 8000) > 0.7
    assert level(crash[:, RATE // 2 : RATE]) > level(hat[:, RATE // 2 : RATE]) + 10


def test_drum_hits_differ_and_follow_velocity():
    notes = tuple(Note(i * 0.5, i * 0.5 + 0.1, 38, 100) for i in range(6))
    hits = play_drums("acoustic", notes, 3 * RATE).reshape(2, 6, -1).swapaxes(0, 1)
    assert len({hit.tobytes() for hit in hits}) > 2
    soft, loud = (play_drums("deep", (Note(0, 0.1, 36, v),), RATE) for v in (40, 120))
    assert level(loud) > level(soft) + 6
    assert np.array_equal(loud, play_drums("deep", (Note(0, 0.1, 36, 120),), RATE))


def test_a_closed_hat_chokes_the_open_one():
    kit = drum_synthesizer.parameters("punchy", generator(5)) | {"hat_decay": 0.09}
    notes = (Note(0.0, 0.1, 46, 110), Note(0.2, 0.3, 42, 30))
    ringing = drum_synthesizer.render(notes[:1], RATE, kit, generator(0))
    choked = drum_synthesizer.render(notes, RATE, kit, generator(0))
    after = slice(int(0.45 * RATE), int(0.6 * RATE))
    assert level(choked[:, after]) < level(ringing[:, after]) - 10


def test_every_role_has_a_shape_and_splits_share_no_mode():
    assert set(patches.SHAPES) >= {"bass", "guitar", "keys", "pad", "strings", "lead", "brass"}
    for names, modes in (
        (WAVES, patches.SPLIT_WAVES),
        (BODIES, strings.SPLIT_BODIES),
        (MODES, drum_synthesizer.SPLIT_MODES),
    ):
        assert len(names) == len(set(names))
        assert set(modes) == {"train", "valid", "test"}
        assert all(modes.values())
