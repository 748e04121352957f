"""MUSDB18-HQ and every data set in its folder layout.

`<root>/{train,test}/<track>/{mixture,vocals,bass,drums,other}.wav`. Other data sets may have other
sources and, for validation, other tracks of their train folder.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from types import MappingProxyType

from ..errors import UserError
from ..files import list_files, list_folders
from .tracks import Track, inspect_track

SOURCES = ("vocals", "bass", "drums", "other")
SUBSETS = ("train", "test")
SPLITS = ("train", "valid")

# `validation_tracks` in configs/mus.yaml of the Python package musdb (0.4.3), whose import would
# need ffmpeg.
VALIDATION_TRACKS = (
    "ANiMAL - Rockshow",
    "Actions - One Minute Smile",
    "Alexander Ross - Goodbye Bolero",
    "Clara Berry And Wooldog - Waltz For My Victims",
    "Fergessen - Nos Palpitants",
    "James May - On The Line",
    "Johnny Lokke - Promises & Lies",
    "Leaf - Summerghost",
    "Meaxic - Take A Step",
    "Patrick Talbot - A Reason To Leave",
    "Skelpolu - Human Mistakes",
    "Traffic Experiment - Sirens",
    "Triviul - Angelsaint",
    "Young Griffo - Pennies",
)

# The folders of `test`; neither musdb nor museval lists them.
TEST_TRACKS = (
    "AM Contra - Heart Peripheral",
    "Al James - Schoolboy Facination",
    "Angels In Amplifiers - I'm Alright",
    "Arise - Run Run Run",
    "BKS - Bulldozer",
    "BKS - Too Much",
    "Ben Carrigan - We'll Talk About It All Tonight",
    "Bobby Nobody - Stitch Up",
    "Buitraker - Revo X",
    "Carlos Gonzalez - A Place For Us",
    "Cristina Vane - So Easy",
    "Detsky Sad - Walkie Talkie",
    "Enda Reilly - Cur An Long Ag Seol",
    "Forkupines - Semantics",
    "Georgia Wonder - Siren",
    "Girls Under Glass - We Feel Alright",
    "Hollow Ground - Ill Fate",
    "James Elder & Mark M Thompson - The English Actor",
    "Juliet's Rescue - Heartbeats",
    "Little Chicago's Finest - My Own",
    "Louis Cressy Band - Good Time",
    "Lyndsey Ollard - Catching Up",
    "M.E.R.C. Music - Knockout",
    "Moosmusic - Big Dummy Shake",
    "Motor Tapes - Shore",
    "Mu - Too Bright",
    "Nerve 9 - Pray For The Rain",
    "PR - Happy Daze",
    "PR - Oh No",
    "Punkdisco - Oral Hygiene",
    "Raft Monk - Tiring",
    "Sambasevam Shanmugam - Kaathaadi",
    "Secretariat - Borderline",
    "Secretariat - Over The Top",
    "Side Effects Project - Sing With Me",
    "Signe Jakobsen - What Have You Done To Me",
    "Skelpolu - Resurrection",
    "Speak Softly - Broken Man",
    "Speak Softly - Like Horses",
    "The Doppler Shift - Atrophy",
    "The Easton Ellises (Baumi) - SDRNR",
    "The Easton Ellises - Falcon 69",
    "The Long Wait - Dark Horses",
    "The Mountaineering Club - Mallory",
    "The Sunshine Garcia Band - For I Am The Moon",
    "Timboz - Pony",
    "Tom McKenzie - Directions",
    "Triviul feat. The Fiend - Widow",
    "We Fell From The Sky - Not You",
    "Zeno - Signs",
)

_DATASET_PAGE = "https://sigsep.github.io/datasets/musdb.html"

# What Asteroid's data sets tell about themselves; its licence notices are made of it.
MUSDB18HQ_INFOS = MappingProxyType(
    {
        "dataset": "MUSDB18-HQ",
        "licenses": [
            {
                "title": "MUSDB18-HQ",
                "title_link": "https://doi.org/10.5281/zenodo.3338373",
                "author": "Z. Rafii, A. Liutkus, F.-R. Stöter, S. I. Mimilakis and R. Bittner",
                "author_link": _DATASET_PAGE,
                "license": "its terms: academic use only, and a licence of its own for each track",
                "license_link": _DATASET_PAGE,
                "non_commercial": True,
            }
        ],
    }
)


def find_tracks(
    root: str | os.PathLike,
    subset: str = "train",
    split: str | None = None,
    *,
    sources: Sequence[str] = SOURCES,
    validation_tracks: Collection[str] | None = None,
    with_mixture: bool = True,
) -> list[Track]:
    """Finds the tracks of a part of a data set and checks the headers of all their files.

    Args:
        root: the folder that holds `train` and `test`.
        subset: which of the two.
        split: `"valid"` for the validation tracks of the train folder, `"train"` for its other
            tracks, None for the whole folder.
        sources: names of the stems, in the order wanted.
        validation_tracks: names of the validation tracks, None for musdb's own 14.
        with_mixture: whether each track must have a `mixture.wav`.

    Returns:
        The tracks, sorted by name.

    Raises:
        UserError: a folder, a validation track or a stem is missing or damaged, or the stems of a
            track differ in length, rate or channels.
    """
    folders = track_folders(Path(root).expanduser(), subset)
    if split is not None:
        folders = _split(folders, subset, split, validation_tracks)
    tracks, problems = [], []
    for folder in folders:
        track, wrong = inspect_track(folder, sources, with_mixture)
        problems += wrong
        if track is not None:
            tracks.append(track)
    if problems:
        more = len(problems) - 1
        hint = f" ({more} more problem(s); asteroid_bsrnn.data.verify lists all)" if more else ""
        raise UserError(problems[0] + hint)
    return tracks


def track_folders(root: Path, subset: str) -> list[Path]:
    """The folders of a subset's tracks, sorted by name.

    Raises:
        UserError: the subset is unknown, not there or empty.
    """
    if subset not in SUBSETS:
        raise UserError(f"subset {subset!r} is unknown; the subsets are {', '.join(SUBSETS)}")
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the one that holds train and test")
    folder = root / subset
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give as root the one that holds train and test")
    if list_files(folder, [".stem.mp4"]):
        raise UserError(
            f"{folder}: holds the .stem.mp4 files of MUSDB18; get the wav files of MUSDB18-HQ"
            " (Zenodo record 3338373)"
        )
    folders = list_folders(folder)
    if not folders:
        raise UserError(f"{folder}: no tracks; each must be a folder of wav files")
    return folders


def missing_validation_tracks(
    folders: Collection[Path], validation_tracks: Collection[str] | None
) -> list[str]:
    """The names among the validation tracks that have no folder."""
    present = {folder.name for folder in folders}
    return sorted(set(_names(validation_tracks)) - present)


def _names(validation_tracks: Collection[str] | None) -> Collection[str]:
    if isinstance(validation_tracks, str):
        raise UserError(f"validation_tracks must be a list of names, got {validation_tracks!r}")
    return VALIDATION_TRACKS if validation_tracks is None else validation_tracks


def _split(
    folders: list[Path], subset: str, split: str, validation_tracks: Collection[str] | None
) -> list[Path]:
    if split not in SPLITS:
        raise UserError(f"split {split!r} is unknown; the splits are {', '.join(SPLITS)}")
    if subset != "train":
        raise UserError(f"only the subset train is split; leave out split={split!r} for {subset}")
    missing = missing_validation_tracks(folders, validation_tracks)
    if missing:
        whose = "musdb's own" if validation_tracks is None else "the given"
        raise UserError(
            f"{folders[0].parent}: {len(missing)} of {whose} validation tracks are not there, such"
            f" as {missing[0]!r}; name the folders to validate on (validation_tracks)"
        )
    names = set(_names(validation_tracks))
    chosen = [folder for folder in folders if (folder.name in names) == (split == "valid")]
    if not chosen:
        raise UserError(
            f"{folders[0].parent}: no tracks in the split {split}; change validation_tracks, which"
            f" names {len(names)} of the folder's {len(folders)}"
        )
    return chosen
