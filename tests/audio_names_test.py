"""Names of stems: patterns, tracks of one name, and names that are too long."""

import os
from pathlib import Path

import pytest

from asteroid_bsrnn.audio.names import check_pattern, stem_paths, track_name, unique_names

from .sounds import refused

SOURCES = ["vocals", "bass"]


def paths(pattern, track="song", names=("vocals", "no_vocals"), format="wav"):
    return [p.as_posix() for p in stem_paths(pattern, track, names, SOURCES, format).values()]


def test_patterns():
    assert paths("{track}/{stem}.{ext}") == ["song/vocals.wav", "song/no_vocals.wav"]
    assert paths("{track}-{stem}.{ext}") == ["song-vocals.wav", "song-no_vocals.wav"]
    assert paths("{stem}/{track}.flac", format="flac") == [
        "vocals/song.flac",
        "no_vocals/song.flac",
    ]
    assert paths("a/{index:02d} {stem}.{format}") == ["a/01 vocals.wav", "a/00 no_vocals.wav"]
    assert paths("{index}.{ext}", names=SOURCES) == ["1.wav", "2.wav"]
    assert paths("{track}.{ext}", names=["vocals"]) == ["song.wav"]
    assert paths("{{{stem}}}.{ext}", names=["bass"]) == ["{bass}.wav"]


@pytest.mark.parametrize(
    "pattern, words",
    [
        ("{track}.{ext}", ["replace each other", "{stem}"]),
        ("{track}/{stem}", ["must end with .{ext}"]),
        ("{stem}.mp3", ["must end with .{ext}"]),
        ("../{stem}.{ext}", ["below the output folder"]),
        ("{track}/../../{stem}.{ext}", ["below the output folder"]),
        ("/tmp/{stem}.{ext}", ["below the output folder"]),
        ("{track}//{stem}.{ext}", ["below the output folder"]),
        ("./{stem}.{ext}", ["below the output folder"]),
        ("{artist}/{stem}.{ext}", ["{track}, {stem}, {ext}, {index} only"]),
        ("{}{stem}.{ext}", ["only"]),
        ("{stem.__class__}.{ext}", ["only"]),
        ("{stem}.{ext", ["only"]),
        ("{stem:d}.{ext}", ["only"]),
    ],
)
def test_patterns_that_are_refused(pattern, words):
    with refused("name pattern", pattern, *words):
        stem_paths(pattern, "song", ["vocals", "no_vocals"], SOURCES, "wav")


def test_tracks_that_would_leave_the_folder():
    for track in ("..", "a/../../b"):
        with refused("below the output folder"):
            paths("{track}/{stem}.{ext}", track)


def test_several_songs_need_the_track():
    check_pattern("{stem}.{ext}", "wav")
    with refused("several songs", "{track}"):
        check_pattern("{stem}.{ext}", "wav", several=True)
    check_pattern("{track}.{ext}", "wav", several=True)


def test_equal_names_are_numbered():
    given = ["a/Song.wav", "b/song.flac", "c/song (2).wav", "d/other.stem.mp4", "e/..wav"]
    assert unique_names(given) == ["Song", "song (2)", "song (2) (2)", "other", "..wav"]
    assert unique_names(["a.wav", "b/A (2).wav", "c/A.wav", "d/a.wav"]) == [
        "a", "A (2)", "A (3)", "a (4)",
    ]  # fmt: skip
    assert track_name(Path("x.stem.mp4")) == "x"


def test_many_songs_of_one_name_take_no_time():
    names = unique_names([f"{number}/track.mp3" for number in range(50000)])
    assert names[-1] == "track (50000)" and len(set(names)) == 50000


def test_long_names_are_cut_to_what_file_systems_take():
    track = "é" * 126
    for pattern in ("{track}-{stem}.{ext}", "{track}/{track} {stem}.{ext}", "{stem}.{ext}"):
        for path in stem_paths(pattern, track, SOURCES, SOURCES, "wav").values():
            assert max(len(os.fsencode(part)) for part in path.parts) <= 255
            assert path.name.endswith(".wav") and "�" not in str(path)
    names = unique_names([f"{folder}/{'x' * 251}.wav" for folder in "abc"])
    assert len(set(names)) == 3
    cut = [stem_paths("{track}/{stem}.{ext}", name, ["bass"], SOURCES, "wav") for name in names]
    assert len({str(path["bass"]) for path in cut}) == 3
    undecodable = os.fsdecode(b"caf\xe9")
    assert paths("{track}.{ext}", undecodable, ["bass"]) == [f"{undecodable}.wav"]
