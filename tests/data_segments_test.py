"""Training segments and whole tracks: what is read, from where, and what is refused."""

import json
from collections import Counter

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from asteroid_bsrnn.data import (
    MUSDB18HQ_INFOS,
    EpochSampler,
    RandomSegments,
    WholeTracks,
    detect_activity,
    find_tracks,
)
from asteroid_bsrnn.errors import UserError

from .tiny_musdb import make_tiny_musdb

RATE = 8000
SECONDS = 10


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "tiny"
    return make_tiny_musdb(folder, train=4, valid=0, seconds=SECONDS, sample_rate=RATE)


@pytest.fixture(scope="module")
def tracks(root):
    return find_tracks(root)


def read(path, start, frames):
    samples, _ = soundfile.read(path, frames, start, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy())


def places(dataset, count):
    """The track and first sample of each source, for many examples."""
    for index in range(count):
        sources = dataset.describe(index)["sources"]
        yield {name: (place["track"], place["start"]) for name, place in sources.items()}


def test_an_example_is_what_its_description_says(tracks):
    dataset = RandomSegments(tracks, segment=0.5, seed=3)
    assert len(dataset) == 20000
    for index in (0, 7, 20001):
        example, description = dataset[index], dataset.describe(index)
        assert example["index"] == description["index"] == index
        assert example["sources"].shape == (4, 2, RATE // 2)
        assert example["sources"].dtype == torch.float32
        assert list(description["sources"]) == ["vocals", "bass", "drums", "other"]
        for stem, (source, place) in zip(
            example["sources"], description["sources"].items(), strict=True
        ):
            assert place["file"].endswith(f"{place['track']}/{source}.wav")
            assert torch.equal(stem, read(place["file"], place["start"], RATE // 2))
    assert json.loads(json.dumps(description)) == description
    assert (description["seed"], description["frames"]) == (3, RATE // 2)


def test_stems_are_played_at_speeds_of_their_own(tmp_path):
    root = make_tiny_musdb(tmp_path / "data", train=1, valid=0, seconds=4, sample_rate=RATE)
    tone = np.sin(2 * np.pi * 400 / RATE * np.arange(4 * RATE))
    for path in root.glob("train/*/*.wav"):
        soundfile.write(path, np.stack([tone, -tone], axis=1) / 2, RATE)
    dataset = RandomSegments(find_tracks(root), segment=1.0, speed=(0.8, 1.25))
    speeds = []
    for index in range(40):
        example, places = dataset[index]["sources"], dataset.describe(index)["sources"]
        assert example.shape == (4, 2, RATE)
        for stem, place in zip(example, places.values(), strict=True):
            assert 0 <= place["start"] <= 4 * RATE - np.floor(RATE * place["speed"])
            spectrum = torch.fft.rfft(stem * torch.hann_window(RATE)).abs()
            assert abs(spectrum[0].argmax() - 400 * place["speed"]) <= 1  # bins of 1 Hz
            torch.testing.assert_close(stem[0], -stem[1], atol=1e-3, rtol=0)
            assert 0.45 < stem[0, RATE // 4 : -RATE // 4].abs().max() < 0.55
            speeds.append(place["speed"])
    assert 0.8 <= min(speeds) < 0.82 and 1.22 < max(speeds) <= 1.25
    together = RandomSegments(find_tracks(root), speed=(0.8, 1.25), mix_tracks=False)
    assert len({place["speed"] for place in together.describe(0)["sources"].values()}) == 1


@pytest.mark.parametrize("speed", [(1.2, 0.9), (0.1, 1.0), (1.0,), 1.1, "ab"])
def test_wrong_speeds_are_refused(tracks, speed):
    with pytest.raises(UserError, match="speed must be a lowest and a highest factor"):
        RandomSegments(tracks, speed=speed)


def test_the_order_of_sources_is_the_one_wanted(root):
    dataset = RandomSegments(find_tracks(root, sources=["other", "vocals"]), segment=0.1)
    assert dataset.sources == ("other", "vocals")
    description = dataset.describe(0)["sources"]
    assert dataset[0]["sources"].shape[0] == 2
    assert torch.equal(
        dataset[0]["sources"][0],
        read(description["other"]["file"], description["other"]["start"], RATE // 10),
    )


def epoch(dataset, sampler, workers):
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=workers)
    return list(loader)


def test_the_same_examples_for_any_number_of_workers(tracks):
    dataset = RandomSegments(tracks, segment=0.1, samples_per_epoch=12, seed=5)
    sampler = EpochSampler(12)
    sampler.set_epoch(2)
    alone, helped = epoch(dataset, sampler, 0), epoch(dataset, sampler, 2)
    assert torch.cat([batch["index"] for batch in alone]).tolist() == list(range(24, 36))
    for one, other in zip(alone, helped, strict=True):
        assert torch.equal(one["index"], other["index"])
        assert torch.equal(one["sources"], other["sources"])


def test_examples_differ_by_index_and_seed(tracks):
    first = [list(places(RandomSegments(tracks, seed=seed), 50)) for seed in (0, 1)]
    again = list(places(RandomSegments(tracks, seed=0), 50))
    assert first[0] == again
    assert len({str(place) for place in first[0] + first[1]}) == 100


def test_the_global_generators_do_not_matter(tracks):
    dataset = RandomSegments(tracks, segment=0.1)
    torch.manual_seed(0)
    np.random.seed(0)
    one, state = dataset[3]["sources"], torch.get_rng_state()
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(dataset[3]["sources"], one)
    assert not torch.equal(torch.get_rng_state(), state)


def test_sources_are_drawn_apart(tracks):
    dataset = RandomSegments(tracks, segment=1.0)
    drawn = list(places(dataset, 2000))
    for source in dataset.sources:
        counts = Counter(place[source][0] for place in drawn)
        assert len(counts) == 4
        assert all(abs(count - 500) < 100 for count in counts.values())
    pairs = Counter((place["vocals"][0], place["drums"][0]) for place in drawn)
    assert len(pairs) == 16
    assert all(abs(count - 125) < 60 for count in pairs.values())
    starts = [place["vocals"][1] for place in drawn]
    assert min(starts) < 0.1 * RATE and 8.9 * RATE < max(starts) <= 9 * RATE
    assert abs(np.mean(starts) - 4.5 * RATE) < 0.3 * RATE


def test_coherent_sources_come_from_one_place(tracks):
    dataset = RandomSegments(tracks, segment=1.0, mix_tracks=False)
    drawn = [set(place.values()) for place in places(dataset, 100)]
    assert all(len(place) == 1 for place in drawn)
    assert len({next(iter(place)) for place in drawn}) > 90
    mixture = read(tracks[0].path("mixture"), 0, SECONDS * RATE)
    tried = [next(iter(place)) for place in drawn]
    index = [track for track, _ in tried].index(tracks[0].name)
    start = tried[index][1]
    total = dataset[index]["sources"].sum(dim=0)
    torch.testing.assert_close(total, mixture[:, start : start + RATE], rtol=0, atol=1e-6)


def all_active(tracks, starts):
    return {path: list(starts) for track in tracks for path in track.stems()}


def test_segments_lie_in_active_windows(tracks):
    activity = all_active(tracks, [0])
    activity[tracks[1].path("bass")] = [3 * RATE, 4 * RATE]
    dataset = RandomSegments(tracks, segment=2.0, activity=activity)
    drawn = list(places(dataset, 2000))
    for source in dataset.sources:
        for track in tracks:
            starts = [p[source][1] for p in drawn if p[source][0] == track.name]
            low, high = (3, 8) if (source, track) == ("bass", tracks[1]) else (0, 4)
            assert low * RATE <= min(starts) < (low + 0.2) * RATE
            assert (high - 0.2) * RATE < max(starts) <= high * RATE


def test_coherent_segments_lie_where_any_source_is_active(tracks):
    activity = all_active(tracks, [])
    activity[tracks[0].path("bass")] = [0]
    activity[tracks[0].path("vocals")] = [4 * RATE]
    dataset = RandomSegments(tracks, segment=6.0, activity=activity, mix_tracks=False)
    drawn = Counter(place["drums"] for place in places(dataset, 100))
    assert sorted(drawn) == [("Train 1", 0), ("Train 1", 4 * RATE)]


def test_tracks_without_the_source_are_not_drawn_for_it(tracks):
    activity = all_active(tracks, [0])
    for track in tracks[1:]:
        activity[track.path("vocals")] = []
    for track in tracks:
        activity[track.path("drums")] = []
    dataset = RandomSegments(tracks, segment=1.0, activity=activity)
    drawn = list(places(dataset, 300))
    assert {place["vocals"][0] for place in drawn} == {"Train 1"}
    assert {place["bass"][0] for place in drawn} == {t.name for t in tracks}
    # Never active anywhere: any segment of any track.
    assert {place["drums"][0] for place in drawn} == {t.name for t in tracks}
    assert max(place["drums"][1] for place in drawn) > 8 * RATE


def test_detected_activity_is_taken_as_it_is(root, tracks, tmp_path):
    activity = detect_activity(root, tracks, cache_folder=tmp_path)
    dataset = RandomSegments(tracks, segment=3.0, activity=activity)
    assert dataset[0]["sources"].shape == (4, 2, 3 * RATE)
    activity.pop(tracks[2].path("bass"))
    with pytest.raises(UserError, match="Train 3/bass.wav: its activity is not known"):
        RandomSegments(tracks, activity=activity)


def test_segments_longer_than_a_window_cover_it(tracks):
    dataset = RandomSegments(tracks, segment=8.0, activity=all_active(tracks, [3 * RATE]))
    starts = [place["bass"][1] for place in places(dataset, 300)]
    assert 1 * RATE <= min(starts) < 1.1 * RATE and 1.9 * RATE < max(starts) <= 2 * RATE


def test_segments_longer_than_the_track_end_in_silence(tracks):
    for activity in (None, all_active(tracks, [0])):
        dataset = RandomSegments(tracks, segment=12.0, activity=activity)
        sources = dataset[0]["sources"]
        path = dataset.describe(0)["sources"]["vocals"]["file"]
        assert sources.shape == (4, 2, 12 * RATE)
        assert torch.equal(sources[0, :, : 10 * RATE], read(path, 0, 10 * RATE))
        assert not sources[..., 10 * RATE :].any()


def test_tracks_and_segments_of_one_sample(tmp_path):
    make_tiny_musdb(tmp_path, train=1, valid=0, seconds=1 / RATE, sample_rate=RATE)
    tracks = find_tracks(tmp_path)
    activity = detect_activity(tmp_path, tracks)
    for dataset in (
        RandomSegments(tracks, segment=1 / RATE, activity=activity),
        WholeTracks(tracks),
    ):
        # The silence that follows keeps networks from taking the channels for samples.
        sources = dataset[0]["sources"]
        assert sources.shape == (4, 2, 2)
        path = tmp_path / "train" / "Train 1" / "vocals.wav"
        assert torch.equal(sources[0, :, :1], read(path, 0, 1))
        assert not sources[..., 1:].any()


def test_iteration_ends(tracks):
    dataset = RandomSegments(tracks, segment=0.1, samples_per_epoch=3)
    assert [example["index"] for example in dataset] == [0, 1, 2]
    with pytest.raises(IndexError):
        dataset[-1]


@pytest.fixture
def broken(tmp_path):
    """Two tracks, one stem of which was cut after they had been found."""
    root = make_tiny_musdb(tmp_path / "tiny", train=1, valid=0, seconds=2, sample_rate=RATE)
    found = find_tracks(root)
    path = found[0].path("drums")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return found


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_broken_during_training_is_named(broken, workers):
    dataset = RandomSegments(broken, segment=1.5)
    with pytest.raises(UserError, match="Train 1/drums.wav"):
        next(iter(DataLoader(dataset, num_workers=workers)))
    with pytest.raises(UserError, match="Train 1/drums.wav"):
        WholeTracks(broken)[0]


def test_a_file_that_went_or_holds_nan_is_named(broken):
    dataset = RandomSegments(broken, segment=1.5)
    path = broken[0].path("vocals")
    soundfile.write(path, np.full((2 * RATE, 2), np.nan), RATE, subtype="FLOAT")
    with pytest.raises(UserError, match="vocals.wav: NaN"):
        dataset[0]
    path.unlink()
    with pytest.raises(UserError, match="vocals.wav: cannot be read"):
        dataset[0]


def test_tracks_that_do_not_fit_are_refused(tracks, tmp_path):
    with pytest.raises(UserError, match="8000 Hz instead of 44100 Hz"):
        RandomSegments(tracks, sample_rate=44100)
    with pytest.raises(UserError, match="no tracks"):
        WholeTracks([])
    mono = find_tracks(
        make_tiny_musdb(tmp_path, valid=0, seconds=0.1, sample_rate=RATE, channels=1)
    )
    with pytest.raises(UserError, match=r"Train 1: 1 channel"):
        RandomSegments([*tracks, *mono])


@pytest.mark.parametrize(
    "options", [{"segment": 0}, {"segment": float("inf")}, {"samples_per_epoch": 0}, {"seed": -1}]
)
def test_values_out_of_range_are_refused(tracks, options):
    with pytest.raises(UserError, match="segment and samples_per_epoch"):
        RandomSegments(tracks, **options)


def test_whole_tracks(root, tracks):
    dataset = WholeTracks(tracks)
    assert len(dataset) == 4
    item = dataset[1]
    assert item["name"] == "Train 2"
    assert torch.equal(item["mixture"], read(tracks[1].path("mixture"), 0, SECONDS * RATE))
    assert torch.equal(item["sources"][2], read(tracks[1].path("drums"), 0, SECONDS * RATE))
    assert item["sources"].shape == (4, 2, SECONDS * RATE)
    assert item["sources"].dtype == item["mixture"].dtype == torch.float32
    with pytest.raises(IndexError):
        dataset[4]


def test_the_mixture_is_the_file_or_the_sum(tmp_path):
    root = make_tiny_musdb(tmp_path, train=1, valid=0, seconds=1, sample_rate=RATE)
    [track] = find_tracks(root)
    soundfile.write(track.path("mixture"), np.zeros((RATE, 2)), RATE)
    assert not WholeTracks([track])[0]["mixture"].any()
    summed = WholeTracks([track], mixture="sum")[0]
    assert torch.equal(summed["mixture"], summed["sources"].sum(dim=0))
    track.path("mixture").unlink()
    with pytest.raises(UserError, match="mixture.wav: missing"):
        WholeTracks([track])
    assert torch.equal(WholeTracks([track], mixture="sum")[0]["mixture"], summed["mixture"])
    with pytest.raises(UserError, match="file or sum"):
        WholeTracks([track], mixture="both")


def test_infos_are_as_asteroid_wants_them(tracks):
    from asteroid.models.publisher import make_license_notice

    for dataset in (RandomSegments, WholeTracks):
        assert dataset(tracks).get_infos() == {
            "dataset": "tiny",
            "task": "separation",
            "licenses": [],
        }
        infos = dataset(tracks, infos=MUSDB18HQ_INFOS).get_infos()
        assert (infos["dataset"], infos["task"]) == ("MUSDB18-HQ", "separation")
        notice = make_license_notice("model", infos["licenses"], uploader="someone")
        assert "10.5281/zenodo.3338373" in notice and "(Research only)" in notice
        infos["licenses"][0]["title"] = "changed"
        assert MUSDB18HQ_INFOS["licenses"][0]["title"] == "MUSDB18-HQ"
