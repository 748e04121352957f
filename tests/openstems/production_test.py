"""Mixing: settings are plain types and take effect; pauses are silent."""

import functools
import json

import numpy as np
import pytest

from openstems import production
from openstems.effects.dynamics import active_level
from openstems.music import RATE, STEMS, Note, Part, Score, Section
from openstems.production import bass, draws, drums, form, other, vocals
from openstems.randomness import generator

SECONDS = 4.0
LENGTH = int(SECONDS * RATE)
ROLES = ("drums", "bass", "guitar", "keys", "pad", "strings", "lead", "brass", "vocals")


def streams_of(seed):
    return functools.partial(generator, seed)


def notes_of(pitch=36, step=0.5, seconds=SECONDS):
    count = int(seconds / step)
    return tuple(Note(i * step, i * step + 0.8 * step, pitch, 100) for i in range(count))


def score_of(seconds=SECONDS, sections=None):
    sections = sections or (Section("verse", 0, seconds, 0.7),)
    parts = tuple(Part(role, 30, notes_of(seconds=seconds)) for role in ROLES)
    bars = tuple(np.arange(0, seconds, 2.0).tolist())
    return Score(seconds, 120.0, 4, 0, "major", bars, (), sections, parts)


def tracks_of(score):
    samples = int(score.seconds * RATE)
    rng = np.random.default_rng(0)
    tracks = []
    for part in score.parts:
        mono = 0.1 * rng.standard_normal(samples, dtype=np.float32)
        tracks.append(production.Track(part.role, np.stack([mono, mono]), part.notes, part.program))
    return tracks


def test_stems_are_at_their_levels_and_the_record_is_plain():
    score = score_of()
    stems, record = production.mix_stems(tracks_of(score), score, LENGTH, streams_of(1))
    assert tuple(stems) == STEMS
    for stem, sound in stems.items():
        assert sound.shape == (2, int(SECONDS * RATE)) and sound.dtype == np.float32
        assert np.isfinite(sound).all()
        assert active_level(sound) == pytest.approx(record["levels"][stem], abs=0.05)
    assert json.loads(json.dumps(record)) == record


def test_the_same_streams_give_the_same_bits_and_others_do_not():
    score = score_of()
    first, second, third = (
        production.mix_stems(tracks_of(score), score, LENGTH, streams_of(seed))[0]
        for seed in (5, 5, 6)
    )
    for stem in STEMS:
        np.testing.assert_array_equal(first[stem], second[stem])
        assert not np.array_equal(first[stem], third[stem])


def test_a_stem_does_not_depend_on_the_tracks_of_others():
    score = score_of()
    tracks = tracks_of(score)
    whole, _ = production.mix_stems(tracks, score, LENGTH, streams_of(2))
    alone = [track for track in tracks if track.role == "bass"]
    few, _ = production.mix_stems(alone, score, LENGTH, streams_of(2))
    np.testing.assert_array_equal(whole["bass"], few["bass"])
    assert not few["vocals"].any() and not few["other"].any()


def test_pauses_last_2_to_8_bars_and_silence_their_stems():
    score = score_of(60.0)
    kinds = set()
    for seed in range(40):
        thinned, record = form.arrange(score, generator(seed, "form"))
        for pause in record["pauses"]:
            kinds.add(pause["name"])
            assert 2 * 2.0 <= pause["end"] - pause["start"] <= 8 * 2.0
            for part in thinned.parts:
                if form.stem_of(part.role) in pause["silent"]:
                    assert not any(
                        pause["start"] <= n.start < pause["end"]
                        or n.start < pause["start"] < n.end - 1e-3
                        for n in part.notes
                    )
        for stem in record["absent"]:
            assert not thinned.part(stem)
        assert thinned.part("keys")
    assert len(kinds) >= 6


def test_vocals_are_absent_in_about_as_many_songs_as_intended():
    score = score_of(8.0)
    absent = [form.arrange(score, generator(seed))[1]["absent"] for seed in range(400)]
    share = np.mean(["vocals" in stems for stems in absent])
    assert share == pytest.approx(form.ABSENT["vocals"], abs=0.05)
    assert any("bass" in stems for stems in absent) and any("drums" in stems for stems in absent)


def test_notes_end_at_a_pause():
    part = Part("bass", 33, (Note(0, 3, 40, 90), Note(3, 5, 41, 90), Note(5, 6, 42, 90)))
    assert form.without(part, 2, 5).notes == (Note(0, 2, 40, 90), Note(5, 6, 42, 90))


def test_recordings_pause_with_their_stem():
    sound = np.ones((2, 4 * RATE), np.float32)
    pauses = [
        {"start": 1.0, "end": 2.0, "silent": ["other"]},
        {"start": 3.0, "end": 4.0, "silent": ["vocals"]},
    ]
    silenced = form.silence(sound, "other", pauses)
    assert not silenced[:, int(1.02 * RATE) : int(1.98 * RATE)].any()
    assert (silenced[:, int(2.02 * RATE) :] == 1).all() and silenced[0, RATE // 2] == 1
    assert np.abs(np.diff(silenced[0])).max() < 0.01


def test_sections_differ_by_their_energy():
    score = score_of(8.0, (Section("verse", 0, 4, 0.5), Section("chorus", 4, 8, 1.0)))
    gain = 20 * np.log10(form.section_gain(score, depth=6.0))
    hops = RATE / 64
    assert gain[int(2 * hops)] == pytest.approx(-3, abs=0.01)
    assert gain[int(6 * hops)] == pytest.approx(0, abs=0.01)
    assert np.abs(np.diff(gain)).max() < 0.2
    flat = form.section_gain(score, depth=0.0)
    np.testing.assert_allclose(flat, 1)


def test_a_sub_follows_the_kicks_only():
    notes = (Note(0.5, 0.6, 36, 127), Note(1.0, 1.1, 38, 127))
    layer = drums.sub_kick(notes, 2 * RATE, frequency=50.0, decay=0.08)
    assert not layer[:, : RATE // 2].any()
    assert np.abs(layer[0, RATE // 2 : RATE]).max() > 0.5
    assert not layer[:, int(0.99 * RATE) :].any()
    spectrum = np.abs(np.fft.rfft(layer[0]))
    assert np.argmax(spectrum) / 2 == pytest.approx(52, abs=6)


def test_pads_are_ducked_by_the_kicks():
    sound = np.full((2, 2 * RATE), 0.1, np.float32)
    pumped = other.mix(sound, [], 0.0, {"depth": 12.0, "recovery": 0.2}, [1.0])
    assert pumped[0, int(1.003 * RATE)] < 0.4 * pumped[0, int(0.9 * RATE)]


@pytest.mark.parametrize("role", sorted(other.BALANCE))
def test_every_instrument_has_a_chain(role):
    rng = generator("chain", role)
    room = draws.room(rng, (0.3, 0.5), early=0.3)
    sound = tracks_of(score_of())[0].sound
    for _ in range(3):
        choice = other.draw(production.Track(role, sound, program=30), rng, room, 120.0)
        mixed = other.mix(sound, **choice, kicks=[])
        assert active_level(mixed) == pytest.approx(other.LEVEL + choice["level"], abs=0.1)


def test_bass_is_mono_below_and_gains_grit():
    rng = generator("bass")
    room = draws.room(rng, (0.3, 0.5), early=0.3)
    time = np.arange(2 * RATE) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 55 * time)).astype(np.float32)
    treble = []
    for _ in range(12):
        mixed = bass.mix(np.stack([tone, tone]), bass.draw(rng, room))
        side = np.abs(np.fft.rfft(mixed[0] - mixed[1]))[:200] ** 2
        middle = np.abs(np.fft.rfft(mixed[0] + mixed[1])) ** 2
        assert side.sum() < 0.05 * middle[:200].sum()
        treble.append(middle[2000:].sum() / middle.sum())
    assert np.median(treble) > 1e-5


def test_throws_at_the_ends_of_phrases_only():
    notes = (Note(0.0, 0.5, 60, 90), Note(0.5, 1.0, 62, 90), Note(2.0, 2.4, 60, 90))
    gate = vocals._phrase_ends(notes, 4 * RATE)
    assert gate[int(0.25 * RATE)] == 0 and gate[int(0.8 * RATE)] == pytest.approx(1)
    assert gate[int(1.6 * RATE)] == 0 and gate[int(2.2 * RATE)] == pytest.approx(1)
