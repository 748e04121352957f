"""Examples of labelled stems and of the parts of songs: what they hold and where it comes from."""

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
    SemiSupervisedSegments,
    find_tracks,
)
from asteroid_bsrnn.errors import UserError

from .tiny_musdb import make_tiny_musdb
from .tiny_songs import RATE, SOURCES, make_selection, noise, teacher, write_parts, write_song

ACCOMPANIMENT = "bass+drums+other"
SEGMENT = 0.5
FRAMES = RATE // 2


@pytest.fixture(scope="module")
def tracks(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "tiny"
    return find_tracks(make_tiny_musdb(root, train=2, valid=0, seconds=4, sample_rate=RATE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Songs: two by a teacher of four stems, an instrumental, one in two parts, and a phrase."""
    folder = tmp_path_factory.mktemp("songs")
    recordings = folder / "songs"
    songs = []
    for number in range(2):
        song = write_song(recordings, f"song{number}", noise(0.1, number), licence="CC-BY-3.0")
        parts = {name: noise(4, number, n) for n, name in enumerate(SOURCES)}
        write_parts(folder / "teacher", song, parts, teacher(licenses=[{"title": "notice"}]))
        songs.append(song)
    instrumental = write_song(recordings, "instrumental", noise(0.1, 2), silent=("vocals",))
    write_parts(folder / "known", instrumental, {ACCOMPANIMENT: noise(4, 3, channels=1)})
    two = write_song(recordings, "two", noise(0.1, 3))
    two = type(two)("two", stems={"vocals": two.path, ACCOMPANIMENT: recordings / "song0.flac"})
    write_parts(folder / "known", two, {"vocals": noise(4, 4, 1), ACCOMPANIMENT: noise(4, 4, 2)})
    phrase = write_song(recordings, "phrase", noise(0.1, 4))
    phrase = type(phrase)("phrase", stems={"vocals": phrase.path})
    write_parts(folder / "known", phrase, {"vocals": noise(2, 5)})
    songs += [instrumental, two, phrase]
    (folder / "selection.json").write_text(json.dumps(make_selection(folder, songs)))
    return folder


def make(tracks, folder, labelled=None, **settings):
    selection = json.loads((folder / "selection.json").read_text())
    labelled = {"segment": SEGMENT, "seed": 1, "samples_per_epoch": 100, **(labelled or {})}
    return SemiSupervisedSegments(RandomSegments(tracks, **labelled), selection, folder, **settings)


def read(piece):
    files = [
        soundfile.read(file, FRAMES, piece["start"], dtype="float32", always_2d=True)[0]
        for file in piece["files"]
    ]
    return torch.from_numpy(sum(files).T if files else np.zeros((2, FRAMES), np.float32))


def kinds(dataset, count=200):
    """Descriptions of examples by their kind."""
    found = {"labelled": [], "song": [], "remixed": []}
    for index in range(count):
        description = dataset.describe(index)
        pieces = description["sources"].values()
        if any("file" in piece for piece in pieces):
            found["labelled"].append(description)
        elif len({(piece["track"], piece["start"]) for piece in pieces if piece["files"]}) == 1:
            found["song"].append(description)
        else:
            found["remixed"].append(description)
    return found


def test_an_example_is_what_its_description_says(tracks, folder):
    dataset = make(tracks, folder)
    seen = Counter()
    for index in range(60):
        example, description = dataset[index], dataset.describe(index)
        assert json.loads(json.dumps(description)) == description
        assert example["index"] == description["index"] == index
        assert example["sources"].shape == (4, 2, FRAMES)
        assert example["sources"].dtype == example["known"].dtype == torch.float32
        if any("file" in piece for piece in description["sources"].values()):
            assert torch.equal(example["sources"], dataset.labelled[index]["sources"])
            assert torch.equal(example["known"], torch.eye(4))
            continue
        covered = torch.zeros(4)
        for name, piece in description["sources"].items():
            columns = [SOURCES.index(source) for source in name.split("+")]
            row = torch.zeros(4)
            row[columns] = 1
            assert torch.equal(example["known"][columns[0]], row)
            signal = read(piece).expand(2, -1)
            torch.testing.assert_close(example["sources"][columns[0]], signal)
            covered += row
            seen[name] += 1
        # All sources are there, each once; other signals are empty.
        assert torch.equal(covered, torch.ones(4))
        empty = ~example["known"].any(dim=1)
        assert not example["sources"][empty].any()
    assert set(seen) == {*SOURCES, ACCOMPANIMENT}


def test_shares_of_labelled_examples_songs_and_remixes(tracks, folder):
    found = kinds(make(tracks, folder, ratio=0.6, as_songs=0.25), 400)
    counts = {kind: len(examples) for kind, examples in found.items()}
    assert counts["labelled"] == pytest.approx(160, abs=30)
    assert counts["song"] == pytest.approx(60, abs=20)
    assert counts["remixed"] == pytest.approx(180, abs=30)
    assert {p["track"] for e in found["song"] for p in e["sources"].values()} == {
        "song0", "song1", "instrumental", "two"
    }  # fmt: skip
    stems = [piece for example in found["remixed"] for piece in example["sources"].items()]
    titles = {piece["track"] for _, piece in stems}
    assert titles == {"song0", "song1", "instrumental", "two", "phrase", "Train 1", "Train 2"}
    # At least one is a song's.
    assert all(
        any("Train" not in piece["track"] for piece in example["sources"].values())
        for example in found["remixed"]
    )
    assert not kinds(make(tracks, folder, ratio=0), 50)["song"]
    only = kinds(make(tracks, folder, ratio=1, as_songs=0, labelled_stems=0), 50)["remixed"]
    assert not any("Train" in p["track"] for e in only for p in e["sources"].values())
    most = kinds(make(tracks, folder, ratio=1, as_songs=0, labelled_stems=1), 50)["remixed"]
    of_songs = [sum("Train" not in p["track"] for p in e["sources"].values()) for e in most]
    assert set(of_songs) == {1}


def test_a_song_without_vocals_is_a_known_silent_stem(tracks, folder):
    dataset = make(tracks, folder, ratio=1, as_songs=1)
    index = next(
        index
        for index in range(100)
        if dataset.describe(index)["sources"]["vocals"]["track"] == "instrumental"
    )
    example = dataset[index]
    assert example["known"].tolist() == [[1, 0, 0, 0], [0, 1, 1, 1], [0] * 4, [0] * 4]
    assert not example["sources"][0].any()
    # The mono recording is in both channels.
    assert example["sources"][1].any() and torch.equal(*example["sources"][1])


def test_what_teachers_disagree_on_is_added_up(tracks, tmp_path):
    song = write_song(tmp_path / "songs", "song", noise(0.1, 1))
    parts = {name: noise(4, n) for n, name in enumerate(SOURCES)}
    write_parts(tmp_path / "teacher", song, parts, teacher())
    bass, drums = parts["drums"], parts["bass"]
    write_parts(tmp_path / "other", song, {**parts, "bass": bass, "drums": drums}, teacher("other"))
    selection = make_selection(tmp_path, [song], ["teacher", "other"])
    (tmp_path / "selection.json").write_text(json.dumps(selection))
    dataset = make(tracks, tmp_path, ratio=1, as_songs=1)
    example, [piece] = dataset[0], [dataset.describe(0)["sources"]["bass+drums"]]
    assert example["known"].tolist() == [[1, 0, 0, 0], [0, 1, 1, 0], [0] * 4, [0, 0, 0, 1]]
    assert [file.split("/")[-1] for file in piece["files"]] == ["bass.flac", "drums.flac"]
    torch.testing.assert_close(example["sources"][1], read(piece))
    # Neither is remixed.
    remixed = kinds(make(tracks, tmp_path, ratio=1, as_songs=0), 50)["remixed"]
    of_song = {n for e in remixed for n, p in e["sources"].items() if p["track"] == "song"}
    assert of_song == {"vocals", "other"}


def test_examples_depend_on_seed_and_index_alone(tracks, folder):
    dataset, again = make(tracks, folder), make(tracks, folder)
    loaders = [
        DataLoader(d, batch_size=4, sampler=EpochSampler(100), num_workers=workers)
        for d, workers in ((dataset, 0), (again, 2))
    ]
    for one, two in zip(*loaders, strict=True):
        assert all(torch.equal(one[key], two[key]) for key in ("sources", "known", "index"))
    # Going on in the midst of an epoch.
    sampler = EpochSampler(100)
    sampler.resume(0, 40)
    rest = next(iter(DataLoader(again, batch_size=4, sampler=sampler)))
    assert torch.equal(rest["sources"], torch.stack([dataset[k]["sources"] for k in range(40, 44)]))
    other = make(tracks, folder, {"seed": 2})
    assert [other.describe(k)["sources"] for k in range(9)] != [
        dataset.describe(k)["sources"] for k in range(9)
    ]
    with pytest.raises(IndexError):
        dataset[-1]


def test_a_network_of_one_source_learns_from_parts_that_it_can_be_compared_with(tracks, folder):
    bass = make(tracks, folder, ratio=1, targets=["bass"])
    found = kinds(bass, 300)
    names = {name for e in found["remixed"] for name in e["sources"]}
    assert names == set(SOURCES), "no sum that holds the target"
    songs = {p["track"] for e in found["song"] for p in e["sources"].values()}
    assert songs == {"song0", "song1"}
    # Sums of other sources are fine, and so is the target's known silence.
    vocals = kinds(make(tracks, folder, ratio=1, targets=["vocals"]), 300)
    assert ACCOMPANIMENT in {name for e in vocals["remixed"] for name in e["sources"]}
    assert "instrumental" in {p["track"] for e in vocals["song"] for p in e["sources"].values()}


def test_a_selection_of_one_kind_gives_this_kind_alone(tracks, tmp_path):
    phrase = write_song(tmp_path / "songs", "phrase", noise(0.1, 4))
    phrase = type(phrase)("phrase", stems={"vocals": phrase.path})
    write_parts(tmp_path / "known", phrase, {"vocals": noise(2, 5)})
    (tmp_path / "selection.json").write_text(json.dumps(make_selection(tmp_path, [phrase])))
    found = kinds(make(tracks, tmp_path, ratio=1, as_songs=1), 20)
    assert len(found["remixed"]) == 20
    assert all(e["sources"]["vocals"]["track"] == "phrase" for e in found["remixed"])


def test_songs_of_another_sample_rate_and_speed(tracks, tmp_path):
    seconds = np.arange(4 * 3 * RATE // 2) / (3 * RATE / 2)
    tone = 0.3 * np.sin(2 * np.pi * 500 * seconds)[:, None].repeat(2, axis=1)
    song = write_song(tmp_path / "songs", "song", noise(0.1, 1))
    parts = {"vocals": tone, ACCOMPANIMENT: tone / 2}
    write_parts(tmp_path / "teacher", song, parts, teacher(), rate=3 * RATE // 2)
    (tmp_path / "selection.json").write_text(json.dumps(make_selection(tmp_path, [song])))
    dataset = make(tracks, tmp_path, ratio=1, as_songs=1)
    spectrum = torch.fft.rfft(dataset[0]["sources"][0, 0] * torch.hann_window(FRAMES)).abs()
    assert spectrum.argmax() * RATE / FRAMES == 500
    dataset = make(tracks, tmp_path, {"speed": (1.2, 1.2)}, ratio=1, as_songs=1)
    spectrum = torch.fft.rfft(dataset[0]["sources"][0, 0] * torch.hann_window(FRAMES)).abs()
    assert spectrum.argmax() * RATE / FRAMES == 600
    # All within the song, also where a segment is longer than a window, or than the song.
    for segment in (1.5, 5.0):
        dataset = make(tracks, tmp_path, {"segment": segment}, ratio=1)
        assert all(dataset[k]["sources"].shape[-1] == segment * RATE for k in range(10))


def test_segments_stay_within_windows(tracks, folder):
    dataset = make(tracks, folder, ratio=1)
    selection = json.loads((folder / "selection.json").read_text())
    assert {song["window"] for song in selection["songs"]} == {RATE}
    for index in range(100):
        for piece in dataset.describe(index)["sources"].values():
            if piece["track"].startswith("song"):
                assert piece["start"] % RATE <= RATE - FRAMES


def test_infos_name_songs_and_what_the_teacher_learnt_from(tracks, folder):
    dataset = make(tracks, folder, {"infos": MUSDB18HQ_INFOS})
    infos = dataset.get_infos()
    assert infos["dataset"] == "MUSDB18-HQ and songs without stems"
    titles = [notice["title"] for notice in infos["licenses"]]
    assert titles == [
        "MUSDB18-HQ",
        "song0, song1",
        "instrumental, two, phrase",
        "estimates of the model teacher",
        "notice",
    ]
    infos["licenses"].clear()
    assert dataset.get_infos()["licenses"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ratio": 1.5}, "unlabelled.ratio must be from 0 to 1"),
        ({"as_songs": -0.1}, "unlabelled.as_songs must be"),
        ({"labelled_stems": 2}, "unlabelled.labelled_stems must be"),
    ],
)
def test_shares_out_of_range_are_refused(tracks, folder, settings, words):
    with pytest.raises(UserError, match=words):
        make(tracks, folder, **settings)


def test_what_does_not_fit_is_named(tracks, tmp_path):
    song = write_song(tmp_path / "songs", "song", noise(0.1, 1))
    parts = {"vocals": noise(2, 1), ACCOMPANIMENT: noise(2, 2)}
    place = write_parts(tmp_path / "teacher", song, parts, teacher())
    path = tmp_path / "selection.json"
    path.write_text(json.dumps(make_selection(tmp_path, [song])))
    selection = json.loads(path.read_text())
    selection["songs"][0]["parts"].pop("vocals")
    selection["songs"][0]["complete"] = False
    path.write_text(json.dumps(selection))
    with pytest.raises(UserError, match="nothing that a network of drums can learn"):
        make(tracks, tmp_path, targets=["drums"])
    mono = make_tiny_musdb(
        tmp_path / "mono", train=1, valid=0, seconds=1, sample_rate=RATE, channels=1
    )
    with pytest.raises(UserError, match="song: 2 channels, but the labelled data have 1"):
        make(find_tracks(mono), tmp_path)
    path.write_text(json.dumps({**selection, "sources": ["vocals", "other"]}))
    with pytest.raises(UserError, match="the selection is of vocals, other"):
        make(tracks, tmp_path)
    path.write_text(json.dumps(selection))
    (place / f"{ACCOMPANIMENT}.flac").unlink()
    with pytest.raises(UserError, match="other.flac: missing"):
        make(tracks, tmp_path)
