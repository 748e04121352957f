"""Recorded notes and phrases: small synthetic recordings in the layout of the real ones."""

import json

import numpy as np
import pytest
import soundfile

from openstems import performance, splits
from openstems.errors import UserError
from openstems.instruments import note_libraries, palette
from openstems.materials import CATALOGUE, Materials
from openstems.music import RATE, Note, Part, Score
from openstems.randomness import generator
from openstems.song import render_song
from openstems.splits import SongSettings
from openstems.voices import phrases
from tests.openstems.instruments_own_test import cents_off, check_sound, level

BASS = {"e2": 28, "gb3": 42}  # pitches in file names of basses, and sounding pitches
GUITAR = {"e2": 40, "eb4": 63}
PHRASES = {
    "shv_f_124": ("SHV - F minor - 124 BPM - Baby", "SHV - F minor - 124 BPM - You"),
    "shv_e_128": ("SHV - E Major - 128 BPM - Together",),
    "etv_ebj_136_adlib": ("ETV Adlib - 019 - 136 BPM - Eb Major",),
    "dvs1": ("DVS - Yo 1",),
    "computer": ("CW - Access Denied",),
}


def tone(path, pitch, seconds=1.5, loudness=0.5, channels=1):
    """Return a decaying tone with some harmonics."""
    time = np.arange(round(seconds * RATE)) / RATE
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    sound = sum(np.sin(2 * np.pi * frequency * n * time) / n for n in (1, 2, 3))
    sound = loudness / 2 * sound * np.exp(-time)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.repeat(sound[:, None], channels, axis=1), RATE)


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Make copies of all recorded materials, with a few short sounds."""
    root = tmp_path_factory.mktemp("recordings")
    for material, folder, names in (
        ("karoryfer.growlybass", "sustain", BASS),
        ("karoryfer.swagbass", "notes", BASS),
        ("karoryfer.emilyguitar", "notes", GUITAR),
    ):
        for name, pitch in names.items():
            for number, dynamics in enumerate(("p", "mf", "ff")):
                for take in (1, 2):
                    loudness = 0.1 * 3**number
                    file = root / material / folder / f"{name}_{dynamics}_rr{take}.wav"
                    tone(file, pitch + 0.02 * take, loudness=loudness)
        tone(root / material / folder / "a3_open_f_rr1.wav", 60)  # not used
    tone(root / "karoryfer.growlybass" / "staccato" / "e2_staccato_rr1.wav", 28, 0.4)
    for folder, names in PHRASES.items():
        for name in names:
            tone(root / "producer-space-vocals" / folder / f"{name}.wav", 65, 0.8, channels=2)
    return root


@pytest.fixture
def recorded(recordings):
    """Return a build with recordings only."""
    return Materials(clients=("git",), recordings=recordings)


def test_the_real_layout_is_declared(recorded):
    assert recorded.missing() == ()
    for library in note_libraries.LIBRARIES.values():
        assert library.material in CATALOGUE
    assert phrases.MATERIAL in CATALOGUE


# --- notes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pitches"), [("growlybass", (28, 30, 40)), ("emilyguitar", (40, 52, 64))]
)
def test_notes_have_their_pitch_and_end(recorded, name, pitches):
    library = note_libraries.LIBRARIES[name]
    notes = note_libraries.open_library(library, recorded)
    assert set(notes.takes) == set((BASS if library.role == "bass" else GUITAR).values())
    for pitch in pitches:
        sound = notes.render([Note(0.0, 1.0, pitch, 100)], 2 * RATE, generator(0))
        check_sound(sound, 2 * RATE)
        assert abs(cents_off(sound, pitch)) < 10
        assert not sound[:, round(1.1 * RATE) :].any()


def test_velocities_choose_layers_and_levels(recorded):
    notes = note_libraries.open_library(note_libraries.LIBRARIES["growlybass"], recorded)
    levels = [
        level(notes.render([Note(0.0, 1.0, 28, velocity)], RATE, generator(0)))
        for velocity in (10, 40, 50, 80, 90, 127)
    ]
    assert np.all(np.diff(levels) > 0)
    assert levels[-1] - levels[0] > 15
    # Equal notes are different takes.
    many = [Note(i * 1.0, i + 0.9, 28, 100) for i in range(8)]
    sound = notes.render(many, 8 * RATE, generator(0)).reshape(2, 8, RATE)[0]
    assert len(np.unique(sound, axis=0)) == 2
    tuned = notes.render(many[:1], RATE, generator(0), cents=50)
    assert abs(cents_off(tuned, 28.5)) < 10


def test_each_split_has_instruments_of_its_own(recorded):
    found = {}
    for split in splits.SPLITS:
        for role in ("bass", "guitar"):
            for seed in range(30):
                choice = palette.choose(role, split, recorded, generator(seed, role))
                if choice["kind"] == "recorded_notes":
                    found.setdefault(split, set()).update(choice["uses"]["recording"])
                    assert choice["material"] == f"karoryfer.{choice['source']}"
                    assert json.loads(json.dumps(choice)) == choice
                    notes = (Note(0.0, 0.5, 40, 90),)
                    sound = palette.render(choice, notes, RATE, generator(1), recorded)
                    check_sound(sound, RATE)
    assert found == {"train": {"growlybass", "emilyguitar"}, "valid": {"swagbass"}}


def test_recorded_notes_need_recordings(pip_materials, recorded):
    kinds = {
        palette.choose("bass", "train", pip_materials, generator(seed))["kind"]
        for seed in range(30)
    }
    assert "recorded_notes" not in kinds
    assert "recorded_notes" in {
        palette.choose("bass", "train", recorded, generator(seed))["kind"] for seed in range(30)
    }


def test_folders_without_notes_and_damaged_notes_are_named(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(UserError, match="contains no notes, such as"):
        note_libraries.RecordedNotes(tmp_path, 0)
    (tmp_path / "a3_f_rr1.wav").write_text("x")
    notes = note_libraries.RecordedNotes(tmp_path, 0)
    with pytest.raises(UserError, match="a3_f_rr1.wav: cannot be read"):
        notes.render([Note(0.0, 1.0, 57, 100)], RATE, generator(0))


# --- phrases -------------------------------------------------------------------------------------


def score_in(key, mode, starts=(0.0, 0.5, 1.0, 1.5, 4.0)):
    notes = tuple(Note(start, start + 0.4, 60, 100) for start in starts)
    parts = (Part("vocals", 52, notes),)
    return Score(6.0, 120.0, 4, key, mode, (0.0, 2.0, 4.0), (), (), parts)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("SHV - Fsharp minor - 122 BPM - Ah", 9),
        ("SHV - F# minor - 122 BPM - Ah", 9),
        ("SHV - Ab minor - 124 BPM - Baby", 11),
        ("ETV Phrase - 031 - Tonight - 136 BPM - A minor", 0),
        ("ETV Adlib - 019 - 136 BPM - Eb Major", 3),
        ("DVSV2 - Are You Ready for This 1", None),
    ],
)
def test_keys_are_read_from_names(name, key):
    assert phrases.key_of(name) == key


def test_singers_belong_to_one_split(recorded, pip_materials):
    found = {
        split: {phrase_set.singer for phrase_set in phrases.sets(split, recorded)}
        for split in splits.SPLITS
    }
    assert found == {"train": {"shv", "dvs"}, "valid": {"etv"}, "test": set()}
    assert phrases.sets("train", pip_materials) == []


def test_phrases_come_with_notes_in_the_songs_key(recorded):
    # F sharp minor is a semitone above F minor; E major is too far away.
    score = score_in(6, "minor")
    seen = set()
    for seed in range(8):
        sound, record = phrases.sing(score, 6 * RATE, generator(seed), "train", recorded)
        check_sound(sound, 6 * RATE)
        voice = record["voice"]
        seen.add((voice["set"], record["semitones"]))
        starts = [start for _, start in record["phrases"]]
        # The phrase has 0.8 s, so the note at 0.5 s is skipped.
        assert starts == [0.0, 1.0, 4.0]
        assert not sound[:, round(1.9 * RATE) : 4 * RATE].any()
        if voice["set"] == "shv_f_124":
            assert abs(cents_off(sound[:, : round(0.7 * RATE)], 66)) < 20
        assert json.loads(json.dumps(record)) == record
    assert seen == {("shv_f_124", 1), ("dvs1", 0)}
    assert phrases.sing(score, 6 * RATE, generator(0), "test", recorded) is None
    # The relative major.
    assert phrases.sing(score_in(8, "major"), 6 * RATE, generator(0), "train", recorded)
    assert phrases.sing(score_in(9, "major"), 6 * RATE, generator(0), "valid", recorded) is None


def test_a_damaged_phrase_is_named(tmp_path):
    for folder in ("shv_f_124", "etv_x", "dvs1"):
        path = tmp_path / phrases.MATERIAL / folder / "SHV - F minor - 124 BPM - Baby.wav"
        path.parent.mkdir(parents=True)
        path.write_text("x")
    others = [name for name in CATALOGUE if name != phrases.MATERIAL]
    materials = Materials(clients=("git",), recordings=tmp_path, without=tuple(others))
    with pytest.raises(UserError, match="Baby.wav: cannot be read"):
        phrases.sing(score_in(5, "minor"), RATE, generator(0), "train", materials)


def test_pauses_silence_phrases(recorded, monkeypatch):
    monkeypatch.setattr(performance, "PHRASES_SHARE", 1.0)
    pauses = [{"start": 0.9, "end": 2.0, "silent": ["vocals"]}]
    tracks, record = performance.sing(
        score_in(5, "minor"), 6 * RATE, "train", recorded, generator, 3, pauses
    )
    sound = tracks[0].sound
    assert record["voice"]["kind"] == "phrases"
    assert sound[:, : RATE // 2].any() and not sound[:, RATE : round(1.9 * RATE)].any()


def test_songs_are_made_of_recordings(recordings, monkeypatch):
    monkeypatch.setattr(performance, "PHRASES_SHARE", 1.0)
    materials = Materials(clients=("pip", "git"), recordings=recordings)
    entries = []
    for split in ("train", "valid"):
        for index in range(4):
            song = render_song(index, SongSettings(split, 6.0, 1, materials, 3))
            entries.append({**song.entry, "split": split, "name": f"{split} {index}"})
    assert splits.check(entries) == []
    used = {name for entry in entries for name in entry["materials"]}
    assert {"producer-space-vocals", "karoryfer.growlybass", "karoryfer.swagbass"} <= used
    assert any("producer-space-vocals shv" in e["uses"].get("speaker", ()) for e in entries)
    found = {}
    for entry in entries:
        found.update(entry["licences"])
    licences = {found[name][0] for name in found if name.startswith("karoryfer")}
    assert licences == {"CC0-1.0"}
