"""Singing follows the notes: pitch, time, consonants and silence, for every kind of voice."""

import json
import warnings

import numpy as np
import pytest
from scipy import signal

from openstems.music import RATE, Chord, Note, Section, chord_at
from openstems.randomness import generator
from openstems.voices import arrangement, character, harmony, melody
from openstems.voices.arrangement import performer
from openstems.voices.choice import record
from openstems.voices.singer import BankPerformer
from openstems.voices.sinsy import SinsyPerformer
from openstems.voices.speakers import CATALOGUE
from openstems.voices.studio import add

with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    import pyworld

from .voices_bank_test import PHRASES, Pip

SECONDS = 10
SHORT = 7  # where a tune of few phrases tells as much; ten seconds take two to sing and measure


class Quick(Pip):
    """Voices whose banks are quickly built."""

    names = ("pysinsy", "hibari-tts")


HOP = 0.005


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("voices")


def tune(centre, name="tune", seconds=SECONDS):
    """Return phrases of two to five notes around `centre`, with rests of half a second or more."""
    rng = generator(name, centre)
    notes, time, pitch = [], 0.8, centre
    while time < seconds - 2.5:
        for _ in range(int(rng.integers(2, 6))):
            length = float(rng.choice([0.25, 0.4, 0.6, 0.9]))
            pitch = int(np.clip(pitch + rng.integers(-4, 5), centre - 6, centre + 6))
            notes.append(Note(time, time + 0.97 * length, pitch, 90))
            time += length
        time += float(rng.choice([0.6, 0.9]))
    return notes


def track(audio):
    """Return the pitch as MIDI numbers every 5 ms; NaN without a pitch."""
    audio = np.ascontiguousarray(audio, np.float64)
    f0, times = pyworld.dio(audio, RATE, f0_floor=60, f0_ceil=1300, frame_period=1000 * HOP)
    f0 = pyworld.stonemask(audio, f0, times, RATE)
    return 69 + 12 * np.log2(np.where(f0 > 0, f0, np.nan) / 440)


def off_key(audio, notes):
    """Return errors in cents in the steady parts of notes, and their share with a pitch."""
    pitch, errors, expected = track(audio), [], 0
    for note in notes:
        if note.duration > 0.22:
            inside = pitch[int((note.start + 0.12) / HOP) : int((note.end - 0.08) / HOP)]
            errors.append(100 * (inside[np.isfinite(inside)] - note.pitch))
            expected += len(inside)
    errors = np.concatenate(errors)
    return np.abs(errors), len(errors) / expected


def lead(who, notes, seed=0, seconds=SECONDS):
    """Return a take of a melody by a random singer, without arrangement."""
    rng = generator("lead", seed)
    manner = character.draw(rng, 0.0)
    phrases = melody.phrases(notes)
    mix = np.zeros((2, seconds * RATE))
    for learnt, phrase in zip(who.learn(phrases, manner, rng), phrases, strict=True):
        add(mix, who.sing(learnt, phrase, manner, rng), 0.0, 0.0)
    return mix[0]


# A phrase of kokoro takes a second to say.
@pytest.mark.parametrize(("name", "phrases"), [("hibari-heart", PHRASES), ("kokoro-blend-1", 2)])
def test_banks_sing_in_tune(name, phrases, cache):
    who = performer({"kind": "bank", "speaker": name}, Pip(), phrases, cache)
    assert isinstance(who, BankPerformer)
    notes = tune(round(who.bank.pitch + 7), seconds=SHORT)
    for seed in range(2):
        errors, heard = off_key(lead(who, notes, seed, SHORT), notes)
        assert np.median(errors) < 15
        assert np.mean(errors < 50) >= 0.95
        assert heard > 0.75


@pytest.mark.parametrize("centre", [50, 76])
def test_sinsy_is_in_tune_far_outside_its_range(centre):
    notes = tune(centre, seconds=SHORT)
    errors, heard = off_key(lead(SinsyPerformer(0.55), notes, centre, SHORT), notes)
    assert np.median(errors) < 15
    assert np.mean(errors < 50) >= 0.95
    assert heard > 0.75


def test_notes_change_on_the_beat(cache):
    notes = [Note(1 + 0.5 * n, 1.5 + 0.5 * n, (60, 67)[n % 2], 90) for n in range(10)]
    banks = performer({"kind": "bank", "speaker": "hibari-heart"}, Pip(), PHRASES, cache)
    for who in (banks, SinsyPerformer(0.55)):
        pitch = track(lead(who, notes, 3, SHORT))
        delays = []
        for before, note in zip(notes, notes[1:], strict=False):
            frames = np.arange(int((note.start - 0.15) / HOP), int((note.start + 0.2) / HOP))
            near = np.abs(pitch[frames] - note.pitch) < np.abs(pitch[frames] - before.pitch)
            delays.append(HOP * frames[np.argmax(near)] - note.start)
        assert abs(np.median(delays)) < 0.03


def sibilance(audio):
    """Return the power above 4 kHz in dB every 5 ms."""
    high = signal.sosfilt(signal.butter(4, 4000, "high", fs=RATE, output="sos"), audio)
    step = round(HOP * RATE)
    return 10 * np.log10((high[: len(high) // step * step].reshape(-1, step) ** 2).mean(1) + 1e-12)


def test_consonants_sound_before_the_notes_and_rests_are_silent(cache):
    who = performer({"kind": "bank", "speaker": "hibari-heart"}, Pip(), PHRASES, cache)
    notes = tune(64)
    audio = lead(who, notes, 1)
    hiss = sibilance(audio)
    onsets = [hiss[int((n.start - 0.1) / HOP) : int((n.start + 0.02) / HOP)].max() for n in notes]
    vowels = [np.median(hiss[int((n.start + 0.08) / HOP) : int(n.end / HOP)]) for n in notes]
    assert np.mean(np.array(onsets) - vowels > 6) > 0.4
    loud = np.sqrt(np.mean(audio[np.abs(audio) > 1e-3] ** 2))
    phrases = melody.phrases(notes)
    for before, after in zip(phrases, phrases[1:], strict=False):
        rest = audio[round((before[-1].end + 0.12) * RATE) : round((after[0].start - 0.55) * RATE)]
        assert len(rest) == 0 or np.abs(rest).max() < 0.01 * loud
    assert not audio[: int(0.2 * RATE)].any()


CHORDS = tuple(
    Chord(2 * n, 2 * n + 2, root, quality)
    for n, (root, quality) in enumerate([(0, "maj"), (9, "min"), (5, "maj"), (7, "7"), (0, "maj")])
)
SECTIONS = (Section("verse", 0, 4, 0.5), Section("chorus", 4, SECONDS, 0.9))


def song(name, seed, cache, seconds=SECONDS, **options):
    rng = generator("song", seed)
    voice = record(CATALOGUE[name], rng)
    voice["character"]["spoken"] = False
    return arrangement.sing(
        tune(64, seconds=seconds),
        voice,
        seconds * RATE,
        rng,
        materials=Quick(),
        phrases=PHRASES,
        cache=cache,
        **options,
    )


@pytest.mark.parametrize("name", ["hibari-heart", "sinsy-f001"])
def test_songs_are_the_same_bits_each_time(name, cache):
    options = {"chords": CHORDS, "sections": SECTIONS, "seconds": SHORT}
    audio, notes = song(name, 0, cache, **options)
    again, notes_again = song(name, 0, cache, **options)
    assert audio.shape == (2, SHORT * RATE) and audio.dtype == np.float32
    assert np.array_equal(audio, again)
    assert json.loads(json.dumps(notes)) == json.loads(json.dumps(notes_again)) == notes
    assert not np.array_equal(audio, song(name, 1, cache, **options)[0])


def test_arrangements_differ_and_are_as_loud_as_promised(cache):
    kinds, widths = set(), []
    for seed in range(12):
        audio, chosen = song("hibari-heart", seed, cache, chords=CHORDS, sections=SECTIONS)
        kinds.update(addition["kind"] for addition in chosen["additions"])
        middle, side = audio.sum(axis=0) / 2, (audio[0] - audio[1]) / 2
        widths.append(10 * np.log10(np.mean(side**2) / np.mean(middle**2) + 1e-6))
        assert np.isfinite(audio).all()
        assert 0.03 < np.sqrt(np.mean(audio**2)) < 0.12
        assert chosen["octave"] == round(chosen["octave"])
    assert kinds >= {"doubles", "stacks"}
    # Some are in the middle, others wide.
    assert min(widths) < -20 and max(widths) > -12


def test_a_song_without_notes_is_silent(cache):
    audio, _ = arrangement.sing(
        (), record(CATALOGUE["hibari-heart"], generator("x")), 1000, generator("y"),
        materials=Pip(), phrases=PHRASES,
    )  # fmt: skip
    assert audio.shape == (2, 1000) and not audio.any()


def test_stacks_keep_to_the_chords():
    notes = [Note(0.5, 1, 64, 90), Note(2.5, 3, 69, 90), Note(4.5, 5, 65, 90)]
    for interval in (4, -4):
        for note, other in zip(notes, harmony.stack(notes, CHORDS, interval), strict=True):
            chord = chord_at(CHORDS, note.start)
            assert other.pitch % 12 in chord.pitch_classes
            assert 3 <= (other.pitch - note.pitch) * np.sign(interval) <= 9


def test_pads_hold_chord_tones_without_gaps_between_chords():
    for phrases in harmony.pads(CHORDS, 0, SECONDS, 62, 3):
        for note in (note for phrase in phrases for note in phrase):
            middle = chord_at(CHORDS, note.start + 0.01)
            assert note.pitch % 12 in middle.pitch_classes
        assert sum(note.duration for phrase in phrases for note in phrase) > 0.9 * SECONDS
