"""Sampled instruments: SoundFonts, drum kits, recordings."""

import numpy as np
import pytest
import soundfile

from openstems.errors import UserError
from openstems.instruments import banks, kits, recordings
from openstems.instruments.soundfont import BROKEN_PROGRAMS, DRUM_PROGRAMS, Bank, open_bank
from openstems.instruments.soundfont_file import DRUM_BANK
from openstems.materials import CATALOGUE, Materials
from openstems.materials.fetch import fetch
from openstems.music import RATE, Note
from openstems.randomness import generator
from tests.openstems.instruments_own_test import cents_off, check_sound, level, power_between

CLEAN_FONTS = ("FluidR3Mono", "MuseScoreGeneral", "GMbank", "sonivox")


def bank_of(name, materials):
    return open_bank(banks.path_of(banks.SOURCES[name], materials))


def play(bank, program, *notes, samples=2 * RATE, **options):
    return bank.render(notes, samples, program, **options)


@pytest.mark.parametrize("name", CLEAN_FONTS)
@pytest.mark.parametrize("program, pitches", [(33, (28, 40)), (73, (62, 76)), (48, (55, 67))])
def test_soundfont_plays_its_pitch(materials, name, program, pitches):
    bank = bank_of(name, materials)
    for pitch in pitches:
        sound = play(bank, program, Note(0.0, 1.4, pitch, 100))
        check_sound(sound, 2 * RATE)
        assert abs(cents_off(sound, pitch)) < 20


@pytest.mark.parametrize("name", CLEAN_FONTS)
def test_soundfont_velocity_end_and_determinism(materials, name):
    bank = bank_of(name, materials)
    soft, loud, again = (
        play(bank, 16, Note(0.1, 0.6, 64, velocity), samples=5 * RATE)
        for velocity in (40, 120, 120)
    )
    assert level(loud) > level(soft) + 3
    assert level(loud[:, 4 * RATE :]) < -80
    assert np.array_equal(loud, again)
    # What the bank has rendered before has no effect either.
    fresh = Bank(bank.file.path)
    assert np.array_equal(loud, play(fresh, 16, Note(0.1, 0.6, 64, 120), samples=5 * RATE))


@pytest.mark.parametrize("name", CLEAN_FONTS)
def test_no_program_in_use_is_silent(materials, name):
    bank = bank_of(name, materials)
    for program in set(range(96)) - set(BROKEN_PROGRAMS[name]):
        pitches = (30, 42) if 32 <= program < 40 else (55, 72)
        for pitch in pitches:
            sound = play(bank, program, Note(0.0, 0.4, pitch, 100), samples=RATE // 2)
            assert np.isfinite(sound).all()
            assert level(sound) > -60, (program, pitch)


@pytest.mark.parametrize("name", CLEAN_FONTS)
def test_drum_kits_of_the_table_exist_and_sound(materials, name):
    bank = bank_of(name, materials)
    for program in DRUM_PROGRAMS[banks.SOURCES[name].family]:
        assert (DRUM_BANK, program) in bank.file.presets
        for pitch in (36, 38, 42, 46, 49, 51):
            sound = play(
                bank, program, Note(0.0, 0.1, pitch, 110), drum_bank=DRUM_BANK, samples=RATE
            )
            assert level(sound) > -50, (program, pitch)


def test_soundfont_tuning_moves_the_pitch(materials):
    bank = bank_of("MuseScoreGeneral", materials)
    low, high = (play(bank, 73, Note(0.0, 1.4, 69, 100), cents=cents) for cents in (0.0, 30.0))
    assert cents_off(high, 69) - cents_off(low, 69) == pytest.approx(30, abs=4)


def test_a_file_that_is_no_soundfont_is_named(tmp_path):
    path = tmp_path / "noise.sf2"
    path.write_bytes(b"RIFF1234WAVEfmt ")
    with pytest.raises(UserError, match=r"noise\.sf2: cannot be read as a SoundFont"):
        Bank(path)


LAYERED = """<?xml version="1.0" encoding="UTF-8"?>
<drumkit_info xmlns="http://www.hydrogen-music.org/drumkit"><name>Layered</name><instrumentList>
{instruments}</instrumentList></drumkit_info>"""
LAYER = "<layer><filename>{}</filename><min>{}</min><max>{}</max><gain>1</gain></layer>"


def write_tone(path, frequency, seconds=0.6, rate=RATE, gain=0.5):
    time = np.arange(int(seconds * rate)) / rate
    tone = gain * np.sin(2 * np.pi * frequency * time) * np.exp(-3 * time)
    soundfile.write(path, tone, rate)


def layered_kit(folder):
    """Write a kit with a kick of two layers, in a namespace, and a panned open hi-hat."""
    write_tone(folder / "soft.wav", 60, gain=0.2)
    write_tone(folder / "hard.wav", 90)
    write_tone(folder / "snare.flac", 200, rate=48000)
    write_tone(folder / "hat.wav", 8000)
    layers = LAYER.format("soft.wav", 0, 0.5) + LAYER.format("hard.wav", 0.5, 1)
    instruments = [f"<instrument><name>Big Kick</name>{layers}</instrument>"]
    for name, file, pan in (("Snare 1", "snare.flac", 0), ("Closed HH", "hat.wav", 1.0)):
        instruments.append(
            f"<instrument><name>{name}</name><pan>{pan}</pan>"
            f"{LAYER.format(file, 0, 1)}</instrument>"
        )
    (folder / "drumkit.xml").write_text(LAYERED.format(instruments="".join(instruments)))
    return kits.open_hydrogen(folder)


def test_layers_by_velocity_and_pan_of_new_kits(tmp_path):
    kit = layered_kit(tmp_path)
    soft, hard, snare, hat = (
        kit.render((Note(0.0, 0.1, pitch, velocity),), RATE, generator(0))
        for pitch, velocity in ((36, 50), (36, 120), (38, 100), (42, 100))
    )
    for sound in (soft, hard, snare, hat):
        assert sound.shape == (2, RATE)
    assert power_between(soft, 45, 75) > 0.7
    assert power_between(hard, 75, 110) > 0.7
    assert level(hard) > level(soft) + 6
    # Recordings at 48 kHz keep their pitch.
    assert power_between(snare, 180, 225) > 0.7
    assert level(hat[1]) > level(hat[0]) + 40


def test_old_kits_name_one_recording_and_gains_by_side(tmp_path):
    for name, frequency in (("k.wav", 60), ("s.wav", 200), ("h.wav", 7000)):
        write_tone(tmp_path / name, frequency)
    entry = (
        "<instrument><name>{}</name><filename>{}</filename><volume>0.5</volume>"
        "<pan_L>0.25</pan_L><pan_R>1</pan_R></instrument>"
    )
    names = {"c3 - bass drum 1": "k.wav", "d3 - snare 1": "s.wav", "f#3 - hi-hat closed": "h.wav"}
    text = "".join(entry.format(*pair) for pair in names.items())
    root = f"<drumkit_info><instrumentList>{text}</instrumentList></drumkit_info>"
    (tmp_path / "drumkit.xml").write_text(root)
    kit = kits.open_hydrogen(tmp_path)
    assert set(kit.drums) == {"kick", "snare", "closed_hat"}
    sound = kit.render((Note(0.0, 0.1, 36, 127), Note(0.5, 0.6, 57, 100)), RATE, generator(0))
    assert level(sound[1]) > level(sound[0]) + 3
    assert level(sound) > -40


def test_a_kit_without_snare_is_refused(tmp_path):
    write_tone(tmp_path / "k.wav", 60)
    instrument = "<instrument><name>Kick</name><filename>k.wav</filename></instrument>"
    (tmp_path / "drumkit.xml").write_text(LAYERED.format(instruments=instrument))
    with pytest.raises(UserError, match="no snare, closed_hat in this kit"):
        kits.open_hydrogen(tmp_path)


def test_roles_by_name():
    roles = {
        "Kick (Tama Superstar 22)": "kick", "BassDrum": "kick", "Pearl Side Stick": "stick",
        "Rim Click (Pearl)": "stick", "Snare Rimshot": "snare", "Snare Roll": None,
        "VariBreaks Hat 1 Cl": "closed_hat", "VariBreaks Hat 1 Op": "open_hat",
        "Sabian Hat Pedal": "pedal_hat", "Hi-Hat Semiopen (Paiste)": "open_hat",
        "Floor Tom": "low_tom", "tomhi2": "high_tom", "Tom": "mid_tom", "Ride Bell": "ride_bell",
        "ride-crash20inch": "crash", "Cowbell": "cowbell", "17": None,
    }  # fmt: skip
    assert {name: kits.role_of(name) for name in roles} == roles


def test_only_samples_named_as_public_domain_are_used(tmp_path):
    (tmp_path / "copyright").write_text(
        "Files: *\nCopyright: somebody\nLicense: MIT\n\n"
        "Files: etc/samples/bd_one.flac\nSource: http://example.org/\nLicense: CC0\n\n"
        "Files:\n etc/samples/sn_one.flac\n etc/samples/sn_two.flac\nLicense: CC0\n\n"
        "Files: etc/samples/loop_x.flac\nLicense: CC-BY-SA-4.0\n"
    )
    names = kits.public_domain_names(tmp_path / "copyright")
    assert names == ("bd_one.flac", "sn_one.flac", "sn_two.flac")


@pytest.fixture(scope="module")
def kit_materials():
    """Return a build with a small package of drum kits and all present materials."""
    others = tuple(name for name in CATALOGUE if name != "hydrogen-data")
    try:
        fetch(Materials(profile="full", without=others), report=lambda line: None)
    except UserError as error:
        pytest.skip(str(error))
    return Materials(profile="full")


def test_downloaded_kits_have_kick_snare_and_hat(kit_materials):
    materials = kit_materials
    missing = {material.name for material in materials.missing()}
    found = [source for source in banks.KITS if source.material not in missing]
    assert {source.name for source in found} >= {"GMRock", "TR808"}
    notes = tuple(Note(i * 0.25, i * 0.25 + 0.1, p, 110) for i, p in enumerate((36, 38, 42, 46)))
    for source in found:
        path = banks.path_of(source, materials)
        if source.kind == "drum_soundfont":
            sound = open_bank(path).render(notes, RATE, 0, drum_bank=0)
        elif source.kind == "one_shots":
            folder, text = path / "sonic-pi/samples", path / f"doc/{source.material}/copyright"
            sound = kits.open_one_shots(folder, text).render(notes, RATE, generator(0))
        else:
            kit = kits.open_hydrogen(path)
            assert {"kick", "snare", "closed_hat"} <= set(kit.drums)
            sound = kit.render(notes, RATE, generator(0))
        check_sound(sound, RATE)


class FolderMaterials:
    """Build whose materials are in one folder."""

    names = ("fretsonfire-songs-sectoid",)

    def __init__(self, folder):
        self.folder = folder

    def path(self, name):
        return self.folder / name


def test_excerpts_of_recordings_are_active(tmp_path):
    materials = FolderMaterials(tmp_path)
    noise = 0.2 * np.random.default_rng(0).standard_normal((RATE * 8, 2))
    noise[: 5 * RATE] = 0
    folder = tmp_path / "fretsonfire-songs-sectoid/usr/share/games/fretsonfire/data/songs/sectoid"
    for song in ("Metal madness", "Feelings", "Escape from chaosland", "War of freedom"):
        (folder / song).mkdir(parents=True)
        soundfile.write(folder / song / "guitar.ogg", noise.astype(np.float32), RATE)
    sound, record = recordings.excerpt(2.0, generator(4), "valid", materials)
    assert sound.shape == (2, 2 * RATE)
    assert record["activity"] > 0.4
    assert record["uses"] == {"recording": ["sectoid/Metal madness"]}
    again, _ = recordings.excerpt(2.0, generator(4), "valid", materials)
    assert np.array_equal(sound, again)
    longer, _ = recordings.excerpt(10.0, generator(4), "test", materials)
    assert longer.shape == (2, 10 * RATE)
    materials.names = ()
    assert recordings.excerpt(2.0, generator(4), "train", materials) is None
