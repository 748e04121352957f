"""Everything that is wrong with a data set's folder, found before training begins."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from ..errors import UserError
from .musdb18hq import SOURCES, SUBSETS, missing_validation_tracks, track_folders
from .tracks import Track, inspect_track

MUSDB18HQ_COUNTS = {"train": 100, "test": 50}
MUSDB18HQ_SAMPLE_RATE = 44100


def verify(
    root: str | os.PathLike,
    *,
    sources: Sequence[str] = SOURCES,
    validation_tracks: Collection[str] | None = None,
    channels: int | None = 2,
    with_mixture: bool = True,
    expect_musdb18hq: bool = False,
) -> list[str]:
    """Checks a data set by its folders and the headers of its files.

    Args:
        root: the folder that holds `train` and `test`.
        sources: names of the stems of each track.
        validation_tracks: names of the tracks of `train` for validation, None for musdb's own 14.
        channels: the number that every file must have, None for any.
        with_mixture: whether each track must have a `mixture.wav`.
        expect_musdb18hq: whether there must be 86 tracks for training, 14 for validation and 50
            for test, at 44.1 kHz.

    Returns:
        One line for each problem, naming the file or folder; none where all is well. Every missing
        file and every file that differs from the others is named.
    """
    root = Path(root).expanduser()
    tracks: list[Track] = []
    problems: list[str] = []
    for subset in SUBSETS:
        try:
            folders = track_folders(root, subset)
        except UserError as error:
            problems.append(str(error))
            if not root.is_dir():
                break
            continue
        if subset == "train":
            problems += _missing_validation(folders, validation_tracks)
        count = MUSDB18HQ_COUNTS[subset]
        if expect_musdb18hq and len(folders) != count:
            problems.append(
                f"{root / subset}: {len(folders)} tracks, MUSDB18-HQ has {count}; get the whole"
                " data set (Zenodo record 3338373)"
            )
        for folder in folders:
            track, wrong = inspect_track(folder, sources, with_mixture)
            problems += wrong
            if track is not None:
                tracks.append(track)
    expected_rate = MUSDB18HQ_SAMPLE_RATE if expect_musdb18hq else None
    return problems + _wrong_formats(tracks, expected_rate, channels)


def _missing_validation(folders: list[Path], names: Collection[str] | None) -> list[str]:
    parent = folders[0].parent
    missing = missing_validation_tracks(folders, names)
    if names is None and len(missing) > 1:
        # Another data set than MUSDB18-HQ, or little of it: a line for each would tell no more.
        return [
            f"{parent}: {len(missing)} of musdb's own 14 validation tracks are not there"
            f" ({', '.join(missing)}); name the folders to validate on (validation_tracks)"
        ]
    return [f"{parent / name}: the validation track is missing" for name in missing]


def _wrong_formats(tracks: list[Track], rate: int | None, channels: int | None) -> list[str]:
    """Tracks, sound in themselves, that differ from most others or from what is expected."""
    problems = []
    rates = Counter(track.sample_rate for track in tracks)
    if rate is None and rates:
        rate = rates.most_common(1)[0][0]
    for track in tracks:
        if track.sample_rate != rate:
            problems.append(f"{track.folder}: {track.sample_rate} Hz instead of {rate} Hz")
        if channels is not None and track.channels != channels:
            problems.append(f"{track.folder}: {track.channels} channel(s) instead of {channels}")
    return problems
