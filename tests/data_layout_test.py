"""The description of a data set, and the tracks that it finds and reads."""

import numpy as np
import pytest
import soundfile
import soxr
import torch

from asteroid_bsrnn import BSRNN, presets
from asteroid_bsrnn.data import (
    Layout,
    RandomSegments,
    WholeTracks,
    detect_activity,
    find_tracks,
    fingerprint,
    read_layout,
    verify,
)
from asteroid_bsrnn.data.tracks import read_stem
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.models import PerSourceSeparator
from asteroid_bsrnn.weights.start import start_from

from . import tiny_stems
from .tiny_musdb import make_tiny_musdb, validation_names

RATE = 8000
SIX = Layout(
    stems={
        **{stem: stem for stem in ("vocals", "bass", "drums", "guitar", "piano")},
        "other": ["other", "wind"],
    },
    mixture=None,
    sample_rate=44100,
    channels=2,
    missing="silent",
)


def write(path, seconds=1.0, rate=RATE, channels=1, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate)
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def track_of(root, layout, with_mixture=False):
    [track] = find_tracks(root, layout=layout, with_mixture=with_mixture)
    return track


def test_the_default_is_musdb18hq(tmp_path):
    assert tuple(Layout().stems) == presets.SOURCES and Layout().sums == {}
    assert Layout.from_settings(dict.fromkeys(("stems", "sums", "folders"))) == Layout()
    assert Layout.from_settings(Layout().settings()) == Layout()
    root = make_tiny_musdb(tmp_path, train=1, valid=0, test=1, seconds=1, sample_rate=RATE)
    plain, described = find_tracks(root), find_tracks(root, layout=Layout())
    assert plain == described and fingerprint(root, plain) == fingerprint(root, described)
    settings = EvaluationTracks(root).settings
    assert set(settings) == {"data_fingerprint", "part", "data_sources"}


def test_flac_and_ogg_need_no_description(tmp_path):
    made = {
        name: write(tmp_path / "train" / "A" / name, seed=seed)
        for seed, name in enumerate(["vocals.wav", "bass.flac", "drums.ogg", "other.wav"])
    }
    write(tmp_path / "train" / "A" / "vocals.flac", seed=9)  # the wav file takes precedence
    track = track_of(tmp_path, None)
    for name, samples in made.items():
        stem = name.partition(".")[0]
        assert track.path(stem).name == name
        np.testing.assert_array_equal(read_stem(track, stem), samples)
        np.testing.assert_array_equal(read_stem(track, stem, 100, 50), samples[:, 100:150])
    write(tmp_path / "test" / "A" / "vocals.flac", seed=9)
    assert EvaluationTracks(tmp_path / "test").sources == ("vocals",)


def test_a_stem_may_be_a_sum_of_files_and_of_files_in_a_folder(tmp_path):
    folder = tmp_path / "train" / "A"
    a, b, c = (write(folder / "guitar" / f"{n}.flac", seed=n) for n in range(3))
    d = write(folder / "lead.wav", seed=4)
    layout = Layout(stems={"guitars": ["guitar", "lead"], "lead": None}, mixture=None)
    track = track_of(tmp_path, layout)
    np.testing.assert_allclose(read_stem(track, "guitars"), a + b + c + d, rtol=1e-6, atol=1e-7)
    data = RandomSegments([track], segment=0.5, samples_per_epoch=2)
    assert data.sources == ("guitars", "lead")
    described = data.describe(0)["sources"]
    assert len(described["guitars"]["files"]) == 4
    assert described["lead"]["file"] == str(folder / "lead.wav")
    start = described["guitars"]["start"]
    expected = (a + b + c + d)[:, start : start + RATE // 2]
    np.testing.assert_allclose(data[0]["sources"][0], expected, rtol=1e-6, atol=1e-7)
    # All files of a stem count in the fingerprint.
    before = fingerprint(tmp_path, [track])
    write(folder / "guitar" / "1.flac", seed=8)
    assert fingerprint(tmp_path, [track]) != before


def test_what_tracks_lack_is_an_error_unless_it_is_silent(tmp_path):
    vocals = write(tmp_path / "train" / "A" / "vocals.wav", seconds=1.0)
    piano = write(tmp_path / "train" / "B" / "piano.wav", seconds=0.8)
    write(tmp_path / "train" / "B" / "vocals.wav", seconds=1.0)
    strict = Layout(stems=["vocals", "piano"], mixture=None)
    with pytest.raises(UserError, match=r"A/piano.wav: missing; .*1 more problem"):
        find_tracks(tmp_path, layout=strict)
    layout = Layout(stems=["vocals", "piano"], mixture=None, missing="silent")
    first, second = find_tracks(tmp_path, layout=layout)
    assert not read_stem(first, "piano").any() and read_stem(first, "piano").shape == (1, RATE)
    np.testing.assert_array_equal(read_stem(first, "vocals"), vocals)
    padded = read_stem(second, "piano")
    np.testing.assert_array_equal(padded[:, : piano.shape[1]], piano)
    assert padded.shape == (1, RATE) and not padded[:, piano.shape[1] :].any()
    assert not read_stem(second, "piano", 7000, 500).any()
    # A track is not drawn for a stem that it lacks.
    data = RandomSegments([first, second], segment=0.1, samples_per_epoch=20)
    drawn = [data.describe(index)["sources"] for index in range(20)]
    assert {example["piano"]["track"] for example in drawn} == {"B"}
    assert {example["vocals"]["track"] for example in drawn} == {"A", "B"}
    with pytest.raises(UserError, match="none of the 1 tracks has the stem piano"):
        RandomSegments([first])
    item = WholeTracks([first, second], mixture="sum")[1]
    assert torch.equal(item["mixture"], item["sources"].sum(dim=0))
    problems = verify(
        tmp_path, layout=Layout(stems=["vocals", "pianoo"], mixture=None, missing="silent"),
        validation_tracks=(), channels=None, with_mixture=False,
    )  # fmt: skip
    assert any("no track has the stem pianoo" in problem for problem in problems)


def test_rates_and_channels_are_converted_if_the_layout_says_so(tmp_path):
    folder = tmp_path / "train" / "A"
    speech = write(folder / "speech.wav", rate=RATE, channels=1)
    music = write(folder / "music.flac", rate=2 * RATE, channels=2, seed=1)
    with pytest.raises(UserError, match=r"music.flac: 16000 samples long, but speech.wav beside"):
        find_tracks(tmp_path, layout=Layout(stems=["speech", "music"]), with_mixture=False)
    stereo = Layout(stems=["speech", "music"], mixture=None, sample_rate=2 * RATE, channels=2)
    track = track_of(tmp_path, stereo)
    assert (track.frames, track.sample_rate, track.channels) == (2 * RATE, 2 * RATE, 2)
    np.testing.assert_array_equal(read_stem(track, "music"), music)
    expected = soxr.resample(speech.T, 1, 2).T
    for channel in read_stem(track, "speech"):
        np.testing.assert_allclose(channel, expected[0], atol=1e-5)
    # A segment of a resampled file is the same as that of the whole, but for its ends.
    part = read_stem(track, "speech", 5000, 4000)
    np.testing.assert_allclose(part[0, 500:-500], expected[0, 5500:8500], atol=2e-3)
    mono = track_of(tmp_path, Layout(stems=["speech", "music"], mixture=None,
                                     sample_rate=RATE, channels=1))  # fmt: skip
    expected = soxr.resample(music.mean(axis=0), 2, 1)
    np.testing.assert_allclose(read_stem(mono, "music")[0], expected, atol=1e-5)


def test_activity_of_resampled_files_is_at_the_same_times(tmp_path):
    root = tiny_stems.make_six_stems(tmp_path / "six", seconds=13)
    names = validation_names(1)
    tracks = find_tracks(root, split="train", validation_tracks=names, layout=SIX,
                         with_mixture=False)  # fmt: skip
    activity = detect_activity(root, tracks)
    data = RandomSegments(tracks, segment=1.0, samples_per_epoch=10, activity=activity)
    for index in range(10):
        sources = data.describe(index)["sources"]
        assert all(place["start"] + 44100 <= 13 * 44100 for place in sources.values())
    assert data[0]["sources"].shape == (6, 2, 44100)
    assert data[0]["sources"].abs().amax(dim=(1, 2)).min() > 0, "all stems sound"


def test_folders_and_validation_tracks_of_their_own(tmp_path):
    root = tiny_stems.make_speech_music_effects(tmp_path / "dnr", seconds=1, rate=RATE)
    layout = Layout(
        stems={"speech": "speech", "music": "music", "effects": "sfx"},
        mixture="mix",
        folders={"train": "tr", "valid": "cv", "test": "tt"},
    )
    found = {
        split: [track.name for track in find_tracks(root, "train", split, layout=layout)]
        for split in ("train", "valid", None)
    }
    assert found == {
        "train": ["1000", "1001"],
        "valid": ["1002"],
        None: ["1000", "1001", "1002"],
    }
    assert verify(root, layout=layout, channels=1) == []
    data = EvaluationTracks(root, "valid", layout=layout)
    assert data.sources == ("speech", "music", "effects") and not data.without_mixture
    torch.testing.assert_close(data[0]["mixture"], data[0]["sources"].sum(dim=0))
    with pytest.raises(UserError, match="give the one that holds tr and tt|that holds tr and tt"):
        find_tracks(tmp_path, layout=layout)


def test_sums_are_scored_beside_stems(tmp_path):
    root = make_tiny_musdb(tmp_path, train=0, valid=0, test=1, seconds=1, sample_rate=RATE)
    layout = Layout(sums={"accompaniment": ["bass", "drums", "other"]})
    data = EvaluationTracks(root, layout=layout)
    assert data.sources == (*presets.SOURCES, "accompaniment") and data.stems == presets.SOURCES
    item = data[0]
    torch.testing.assert_close(item["sources"][4], item["sources"][1:4].sum(dim=0))
    assert torch.equal(item["stems"], item["sources"][:4])
    two = EvaluationTracks(root, sources=["vocals", "accompaniment"], layout=layout)
    assert torch.equal(two[0]["sources"], item["sources"][[0, 4]])
    assert two.settings["data_layout"] == layout.settings()
    with pytest.raises(UserError, match="no stem 'piano'; valid: vocals"):
        EvaluationTracks(root, sources=["piano"], layout=layout)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stem": ["a"]}, "unknown key 'stem'; valid: stems, sums"),
        ({"stems": []}, "stems must be names"),
        ({"stems": ["a", "a"]}, "names that differ"),
        ({"stems": ["mixture"]}, "names other than 'mixture'"),
        ({"stems": {"a": ["../b"]}}, "in the track's folder"),
        ({"stems": {"a": 3}}, "stems.a must be one or more names"),
        ({"sums": ["a"]}, "sums must be stems by name"),
        ({"sums": {"vocals": ["bass"]}}, "names that no stem has"),
        ({"sums": {"rest": ["bass", "piano"]}}, "rest has the stem 'piano'"),
        ({"folders": {"dev": "x"}}, "folders must be names of folders"),
        ({"sample_rate": "48k"}, "sample_rate must be a number of hertz"),
        ({"channels": 3}, "channels must be 1, 2 or null"),
        ({"missing": "zeros"}, "missing must be error or silent"),
        ({"mixture": "/mix"}, "mixture must be names of files"),
    ],
)
def test_what_is_no_description_is_refused(tmp_path, settings, words):
    import yaml

    with pytest.raises(UserError, match=words):
        Layout.from_settings(settings)
    path = tmp_path / "mine.yml"
    path.write_text(yaml.safe_dump({"layout": settings}))
    with pytest.raises(UserError, match=rf"mine\.yml: layout.*{words.partition(' ')[2]}"):
        read_layout(path)


def test_a_file_without_a_description_is_refused(tmp_path):
    for text, words in {
        "data: {}": "has no group 'layout'",
        "- 1": "has no group",
        "a: [": "not YAML",
    }.items():
        (tmp_path / "a.yml").write_text(text)
        with pytest.raises(UserError, match=words.replace("not YAML", "not valid YAML")):
            read_layout(tmp_path / "a.yml")
    with pytest.raises(UserError, match=r"b\.yml: cannot be read"):
        read_layout(tmp_path / "b.yml")


# --- weights to start from ------------------------------------------------------------------------


def network(*sources, **arguments):
    small = {"feature_dim": 8, "n_repeats": 1, "attention_heads": 1, "attention_dim": 4}
    return BSRNN(sources=sources, **{**small, **arguments})


def same(one, other, prefix):
    own, given = one.state_dict(), other.state_dict()
    names = [name for name in own if name.startswith(prefix)]
    return all(torch.equal(own[name], given[name]) for name in names)


def test_blocks_bands_and_masks_are_kept_as_far_as_they_fit():
    published = network(*presets.SOURCES)
    two = network("accompaniment", "drums")
    said = start_from(two, published)
    assert "kept; new: the mask of accompaniment" in said and "the mask of drums" in said
    assert same(two, published, "masker.band_split") and same(two, published, "masker.separator")
    for name, value in two.state_dict().items():
        if name.startswith("masker.mask_estimator"):
            assert torch.equal(value[:, 1], published.state_dict()[name][:, 2])
    # Bands at another rate differ: only the blocks fit, without what attention has for each band.
    other = network("speech", "music", sample_rate=48000)
    said = start_from(other, published)
    assert "the dual-path blocks are kept; new: what depends on the bands" in said
    assert same(other, published, "masker.separator.blocks.0.time_layer")
    # One source takes the network of such bands among several.
    separate = PerSourceSeparator.of([network("bass"), network("vocals")])
    speech = network("speech")
    assert start_from(speech, separate) == "all weights of vocals are kept"
    assert same(speech, separate.networks[1], "masker")
    residual = network("music", "effects", last_source_as_residual=True)
    assert start_from(residual, published).endswith("new: the mask of music")


@pytest.mark.parametrize("arguments", [{"feature_dim": 4}, {"n_repeats": 2}, {"time_layer": "gru"}])
def test_blocks_of_another_network_do_not_fit(arguments):
    with pytest.raises(UserError, match="weights of another network"):
        start_from(network("speech", "music", **arguments), network(*presets.SOURCES))
    with pytest.raises(UserError, match="weights of another network"):
        start_from(network("speech", "music"), network(*presets.SOURCES, **arguments))
