"""Finding and checking data sets in the layout of MUSDB18-HQ, and their fingerprints."""

import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from asteroid_bsrnn.data import (
    SOURCES,
    VALIDATION_TRACKS,
    find_tracks,
    fingerprint,
    verify,
)
from asteroid_bsrnn.errors import UserError

from .tiny_musdb import make_tiny_musdb, validation_names, write_tiny_track
from .warm_python import python

RATE = 8000
VALID = validation_names(2)


@pytest.fixture
def tiny(tmp_path):
    return make_tiny_musdb(tmp_path / "tiny", train=3, valid=2, seconds=1, sample_rate=RATE)


def names(*args, **options):
    return [track.name for track in find_tracks(*args, **options)]


def refused(*words):
    pattern = ".*".join(map(str, words))
    return pytest.raises(UserError, match=rf"\A(?!.*\n).*{pattern}")


def test_importing_needs_no_extra():
    code = (
        "import sys; sys.modules.update(musdb=None, torch_audiomentations=None)\n"
        "from asteroid_bsrnn import data\n"
        "try: data.augmentation('gain_db')\n"
        "except data.augmentations.UserError as error: sys.exit(str(error))\n"
    )
    ran = subprocess.run([python(), "-W", "ignore", "-c", code], capture_output=True)
    assert ran.stderr.decode().rstrip().endswith("run: pip install 'asteroid-bsrnn[train]'")
    assert ran.stderr.decode().count("\n") == 1


def test_the_validation_split_needs_musdb_only_where_it_is_used(tiny):
    code = (
        "import sys; sys.modules['musdb'] = None\n"
        "from asteroid_bsrnn.data import find_tracks\n"
        "assert len(find_tracks(sys.argv[1])) == 5\n"
        "try: find_tracks(sys.argv[1], split='valid')\n"
        "except ValueError as error: sys.exit(str(error))\n"
    )
    ran = subprocess.run([python(), "-W", "ignore", "-c", code, tiny], capture_output=True)
    assert "pip install 'asteroid-bsrnn[train]', or name validation" in ran.stderr.decode()
    assert ran.stderr.decode().count("\n") == 1


def test_subsets_and_splits(tiny):
    (tiny / "train" / "notes.txt").write_text("")
    train = ["Train 1", "Train 2", "Train 3"]
    assert names(tiny) == train + VALID
    assert names(tiny, "train", "train", validation_tracks=VALID) == train
    assert names(tiny, "train", "valid", validation_tracks=VALID) == VALID
    assert names(tiny, "test") == ["Test 1"]


def test_what_systems_leave_is_not_a_track(tiny):
    valid = {"validation_tracks": VALID}
    for folder in ("train/.Trash-0", "train/@eaDir", "train/__MACOSX", "test/lost+found"):
        shutil.copytree(tiny / "test" / "Test 1", tiny / folder)
    for subset in ("train", "test"):
        (tiny / subset / "._Song.stem.mp4").write_bytes(b"")
        (tiny / subset / ".DS_Store").write_bytes(b"")
    (tiny / "train" / "Train 1" / "._vocals.wav").write_bytes(b"\0\5\x16\7")
    assert names(tiny) == ["Train 1", "Train 2", "Train 3", *VALID]
    assert names(tiny, "test") == ["Test 1"]
    assert verify(tiny, **valid) == []


def test_linked_tracks_are_tracks(tiny, tmp_path):
    for track in ("Train 2", "Valid 1"):
        (tiny / "train" / track).rename(tmp_path / track)
        (tiny / "train" / track).symlink_to(tmp_path / track)
    (tiny / "train" / "Gone").symlink_to(tmp_path / "nowhere")
    assert names(tiny) == ["Train 1", "Train 2", "Train 3", *VALID]
    (tiny / "test").rename(tmp_path / "other")
    (tiny / "test").symlink_to(tmp_path / "other")
    assert names(tiny, "test") == ["Test 1"]


def test_stems_of_another_format_or_spelling(tiny):
    track = tiny / "train" / "Train 1"
    (track / "vocals.wav").rename(track / "vocals.mp3")
    (track / "bass.wav").rename(track / "Bass.WAV")
    assert verify(tiny, validation_tracks=VALID) == [
        f"{track / 'vocals.wav'}: missing; convert vocals.mp3 beside it to vocals.wav",
        f"{track / 'bass.wav'}: missing; rename Bass.WAV beside it to bass.wav",
    ]


def test_the_default_validation_tracks(tmp_path):
    root = make_tiny_musdb(
        tmp_path, train=1, valid=VALIDATION_TRACKS, test=0, seconds=0.1, sample_rate=RATE
    )
    assert names(root, "train", "valid") == sorted(VALIDATION_TRACKS)
    assert names(root, "train", "train") == ["Train 1"]
    shutil.rmtree(root / "train" / VALIDATION_TRACKS[3])
    with refused("1 of musdb's own", VALIDATION_TRACKS[3]):
        find_tracks(root, "train", "train")


def test_what_a_track_tells(tiny):
    [track] = find_tracks(tiny, "test", sources=["drums", "vocals"])
    assert (track.frames, track.sample_rate, track.channels) == (RATE, RATE, 2)
    assert track.stems() == [tiny / "test" / "Test 1" / f"{s}.wav" for s in ("drums", "vocals")]
    assert track.path("mixture").is_file()


def test_wrong_choices_are_refused(tiny):
    with refused("14 of musdb's own validation tracks", "validation_tracks"):
        find_tracks(tiny, split="train")
    with refused("1 of the given", "Nobody"):
        find_tracks(tiny, split="valid", validation_tracks=["Nobody", *VALID])
    with refused("subset 'dev'", "train, test"):
        find_tracks(tiny, "dev")
    with refused("split 'val'", "train, valid"):
        find_tracks(tiny, split="val", validation_tracks=VALID)
    with refused("only the subset train"):
        find_tracks(tiny, "test", "valid", validation_tracks=VALID)
    with refused("must be a list of names, got 'Valid 1'"):
        find_tracks(tiny, split="valid", validation_tracks="Valid 1")
    with refused("no tracks in the split train"):
        find_tracks(tiny, split="train", validation_tracks=names(tiny))


def test_wrong_folders_are_refused(tiny, tmp_path):
    with refused(tmp_path / "nowhere", "no such folder"):
        find_tracks(tmp_path / "nowhere")
    with refused(tiny / "train" / "train", "no such folder"):
        find_tracks(tiny / "train")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with refused("train: no tracks"):
        find_tracks(tmp_path / "empty")
    (tmp_path / "empty" / "train" / "A.stem.mp4").write_text("")
    with refused("MUSDB18;", "decode_musdb18"):
        find_tracks(tmp_path / "empty")


def test_damaged_tracks_are_refused_at_the_start(tiny):
    (tiny / "train" / "Train 2" / "bass.wav").unlink()
    with refused("Train 2/bass.wav: missing"):
        find_tracks(tiny)
    (tiny / "train" / "Train 1" / "vocals.wav").write_bytes(b"RIFF")
    with refused("Train 1/vocals.wav: not an audio file", r"\(1 more problem"):
        find_tracks(tiny)


def test_a_mixture_is_needed_only_where_wanted(tiny):
    (tiny / "test" / "Test 1" / "mixture.wav").unlink()
    with refused("mixture.wav: missing"):
        find_tracks(tiny, "test")
    assert names(tiny, "test", with_mixture=False) == ["Test 1"]


def test_a_sound_data_set_has_no_problems(tiny):
    assert verify(tiny, validation_tracks=VALID) == []


def test_every_problem_is_reported(tiny):
    train, test = tiny / "train", tiny / "test"
    (train / "Train 1" / "bass.wav").unlink()
    (train / "Train 1" / "mixture.wav").unlink()
    (train / "Train 2" / "drums.wav").write_bytes(b"")
    whole = (train / "Train 3" / "other.wav").read_bytes()
    (train / "Train 3" / "other.wav").write_bytes(whole[: len(whole) // 2])
    shutil.rmtree(train / "Valid 1")
    soundfile.write(train / "Valid 2" / "vocals.wav", np.zeros((RATE - 1, 2)), RATE)
    rng = np.random.default_rng(0)
    write_tiny_track(test / "Fast", rng, 1, 2 * RATE)
    write_tiny_track(test / "Mono", rng, 1, RATE, channels=1)
    write_tiny_track(test / "Two rates", rng, 1, RATE)
    soundfile.write(test / "Two rates" / "bass.wav", np.zeros((RATE, 2)), RATE + 1)
    write_tiny_track(test / "Zero", rng, 1, RATE)
    soundfile.write(test / "Zero" / "other.wav", np.zeros((0, 2)), RATE)

    problems = verify(tiny, validation_tracks=VALID)
    assert all("\n" not in problem for problem in problems)
    expected = [
        (train / "Valid 1", "validation track is missing"),
        (train / "Train 1" / "bass.wav", "missing"),
        (train / "Train 1" / "mixture.wav", "missing"),
        (train / "Train 2" / "drums.wav", "not an audio file"),
        (train / "Train 3" / "other.wav", "shorter than its header says"),
        # All others of its track are longer than the first.
        *[
            (train / "Valid 2" / f"{stem}.wav", "8000 samples long, but vocals.wav beside it 7999")
            for stem in ("bass", "drums", "other", "mixture")
        ],
        (test / "Two rates" / "bass.wav", "8001 Hz, but vocals.wav beside it 8000"),
        (test / "Zero" / "other.wav", "holds no samples"),
        (test / "Fast", "16000 Hz instead of 8000 Hz"),
        (test / "Mono", "1 channel(s) instead of 2"),
    ]
    assert len(problems) == len(expected)
    for problem, (path, words) in zip(problems, expected, strict=True):
        assert problem.startswith(f"{path}: ") and words in problem


def test_mono_data_are_fine_where_wanted(tmp_path):
    root = make_tiny_musdb(tmp_path, valid=1, seconds=0.2, sample_rate=RATE, channels=1)
    assert verify(root, validation_tracks=["Valid 1"], channels=None) == []
    assert len(verify(root, validation_tracks=["Valid 1"])) == 4


def test_missing_folders_are_problems(tiny, tmp_path):
    [problem] = verify(tmp_path / "nowhere")
    assert "no such folder" in problem
    shutil.rmtree(tiny / "test")
    [problem] = verify(tiny, validation_tracks=VALID)
    assert problem.startswith(f"{tiny / 'test'}: no such folder")


def test_what_is_not_musdb18hq(tiny):
    problems = verify(tiny, validation_tracks=VALID, expect_musdb18hq=True)
    assert "5 tracks, MUSDB18-HQ has 100" in problems[0]
    assert "1 tracks, MUSDB18-HQ has 50" in problems[1]
    assert [p.endswith("8000 Hz instead of 44100 Hz") for p in problems[2:]] == [True] * 6
    [problem] = verify(tiny)
    assert "14 of musdb's own 14" in problem
    assert all(name in problem for name in VALIDATION_TRACKS)


def test_the_counts_of_musdb18hq(tmp_path):
    folder = make_tiny_musdb(tmp_path / "one", train=1, valid=0, test=0, seconds=0.01, channels=2)
    track = folder / "train" / "Train 1"
    others = [f"Train {i}" for i in range(86)]
    for name in [*others, *VALIDATION_TRACKS]:
        link(track, tmp_path / "whole" / "train" / name)
    for i in range(50):
        link(track, tmp_path / "whole" / "test" / f"Test {i}")
    assert verify(tmp_path / "whole", expect_musdb18hq=True) == []
    assert len(find_tracks(tmp_path / "whole", "train", "train")) == 86
    shutil.rmtree(tmp_path / "whole" / "train" / others[0])
    [problem] = verify(tmp_path / "whole", expect_musdb18hq=True)
    assert "99 tracks" in problem


def link(track, target):
    target.mkdir(parents=True)
    for stem in (*SOURCES, "mixture"):
        (target / f"{stem}.wav").hardlink_to(track / f"{stem}.wav")


def test_the_fingerprint_is_of_names_and_sizes(tiny, tmp_path):
    tracks = find_tracks(tiny)
    first = fingerprint(tiny, tracks)
    assert len(first) == 64
    assert fingerprint(tiny, reversed(tracks)) == first
    assert fingerprint(tiny, tracks[1:]) != first
    copy = shutil.copytree(tiny, tmp_path / "copy")
    assert fingerprint(copy, find_tracks(copy)) == first
    (copy / "train" / "Train 1" / "mixture.wav").unlink()
    assert fingerprint(copy, find_tracks(copy, with_mixture=False)) != first
    (tiny / "train" / "Train 1").rename(tiny / "train" / "Train 0")
    assert fingerprint(tiny, find_tracks(tiny)) != first
    with refused("Train 1", "vocals.wav"):
        fingerprint(tiny, tracks)


def test_the_fingerprint_sees_a_longer_file(tiny):
    tracks = find_tracks(tiny, "test")
    first = fingerprint(tiny, tracks)
    with open(tracks[0].path("bass"), "ab") as file:
        file.write(b"0")
    assert fingerprint(tiny, tracks) != first
