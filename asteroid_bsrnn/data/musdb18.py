"""MUSDB18, MUSDB18-HQ and data sets in its folder layout: finding, checking and decoding tracks.

The layout is `<root>/{train,test}/<track>/{mixture,vocals,bass,drums,other}.wav`. Other data sets
may have other stems, files and folders, which a `Layout` describes, and other validation tracks.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import soundfile

from ..bands import SOURCES
from ..errors import UserError
from ..files import list_files, list_folders, write_json
from .layout import Layout
from .tracks import Track, inspect_track

SPLITS = ("train", "valid")
SUFFIX = ".stem.mp4"
MUSDB18HQ_COUNTS = {"train": 100, "test": 50}
MUSDB18HQ_SAMPLE_RATE = 44100

# Decoders may drop the last frames of a file whose encoder padded it: two AAC frames of 2048.
_TOLERANCE = 4096

_PAGE = "https://sigsep.github.io/datasets/musdb.html"

# The folders of `test`; neither musdb nor museval lists them.
TEST_TRACKS = tuple(
    json.loads(Path(__file__).with_name("musdb18_test_tracks.json").read_text("utf-8"))
)


def _infos(name: str, record: int) -> dict[str, Any]:
    """Return a description as of Asteroid's data sets, which licence notices are made of."""
    notice = {
        "title": name,
        "title_link": f"https://doi.org/10.5281/zenodo.{record}",
        "author": "Z. Rafii, A. Liutkus, F.-R. Stöter, S. I. Mimilakis and R. Bittner",
        "author_link": _PAGE,
        "license": "its terms: academic use only, and a licence of its own for each track",
        "license_link": _PAGE,
        "non_commercial": True,
    }
    return {"dataset": name, "licenses": [notice]}


_MUSDB18_INFOS = MappingProxyType(_infos("MUSDB18", 1117372))
MUSDB18HQ_INFOS = MappingProxyType(_infos("MUSDB18-HQ", 3338373))


def find_tracks(
    root: str | os.PathLike,
    subset: str = "train",
    split: str | None = None,
    *,
    sources: Sequence[str] = SOURCES,
    validation_tracks: Collection[str] | None = None,
    with_mixture: bool = True,
    layout: Layout | None = None,
) -> list[Track]:
    """Return the tracks of a subset of a data set, sorted by name, after a check of all headers.

    Hidden folders, and those that operating systems leave behind, are not tracks.

    Args:
        root: the folder that holds `train` and `test`.
        subset: `"train"` or `"test"`.
        split: `"valid"` for the validation tracks of the subset train, `"train"` for its other
            tracks, None for all of them.
        sources: names of the stems, in order.
        validation_tracks: names of the validation tracks; None means musdb's 14. Ignored where
            the layout has a folder for them.
        with_mixture: whether each track must have the mixture's file.
        layout: of the data set; None means that of MUSDB18-HQ, with the stems `sources`.

    Raises:
        UserError: a folder, a validation track or a stem is missing or damaged, or the stems of a
            track differ in length, rate or channels.
    """
    layout = layout or Layout(stems=sources)
    folders = folders_of(Path(root).expanduser(), subset, split, validation_tracks, layout)
    return read_tracks(folders, layout, with_mixture)


def read_tracks(
    folders: Iterable[Path], layout: Layout, with_mixture: bool | None = True
) -> list[Track]:
    """Return the tracks in the folders; arguments are those of `tracks.inspect_track`.

    Raises:
        UserError: a stem is missing or damaged, or the stems of a track differ in format.
    """
    tracks, problems = _inspect(folders, layout, with_mixture)
    if problems:
        more = len(problems) - 1
        hint = f" ({more} more problem(s); asteroid_bsrnn.data.verify lists all)" if more else ""
        raise UserError(problems[0] + hint)
    return tracks


def track_folders(root: Path, subset: str, layout: Layout) -> list[Path]:
    """Return the folders of a subset's tracks, sorted by name.

    The subset is "train" or "test", or "valid" where the layout has a folder for it.

    Raises:
        UserError: the subset is unknown, missing or empty.
    """
    names = layout.folders
    if subset not in names:
        raise UserError(f"subset {subset!r} is unknown; the subsets are {', '.join(names)}")
    holds = f"{names['train']} and {names['test']}"
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give the one that holds {holds}")
    folder = root / names[subset]
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give as root the one that holds {holds}")
    if list_files(folder, [SUFFIX]):
        raise UserError(
            f"{folder}: holds the .stem.mp4 files of MUSDB18; decode them to wav files first, with"
            " asteroid-bsrnn evaluate --decoded DIR, asteroid_bsrnn.data.decode_musdb18, or stage 0"
            " of egs/musdb18hq/BSRNN/run.sh"
        )
    folders = list_folders(folder)
    if not folders:
        raise UserError(f"{folder}: no tracks; each must be a folder of wav files")
    return folders


def folders_of(
    root: Path,
    subset: str,
    split: str | None,
    validation_tracks: Collection[str] | None,
    layout: Layout,
) -> list[Path]:
    """Return the folders of a subset's tracks or a split of them, as for `find_tracks`."""
    if split is not None and split not in SPLITS:
        raise UserError(f"split {split!r} is unknown; the splits are {', '.join(SPLITS)}")
    if split is not None and subset != "train":
        raise UserError(f"only the subset train is split; leave out split={split!r} for {subset}")
    if "valid" not in layout.folders:
        folders = track_folders(root, subset, layout)
        return folders if split is None else _split(folders, split, validation_tracks)
    folders = track_folders(root, split or subset, layout)
    if subset == "train" and split is None:
        folders += track_folders(root, "valid", layout)
    return folders


def _inspect(
    folders: Iterable[Path], layout: Layout, with_mixture: bool | None
) -> tuple[list[Track], list[str]]:
    """Return the tracks in the folders, and one line for each problem."""
    inspected = [inspect_track(folder, layout, with_mixture) for folder in folders]
    tracks = [track for track, _ in inspected if track is not None]
    return tracks, [problem for _, found in inspected for problem in found]


def verify(
    root: str | os.PathLike,
    *,
    sources: Sequence[str] = SOURCES,
    validation_tracks: Collection[str] | None = None,
    channels: int | None = 2,
    with_mixture: bool = True,
    expect_musdb18hq: bool = False,
    layout: Layout | None = None,
) -> list[str]:
    """Check a data set by its folders and the headers of its files.

    Args:
        root: the folder that holds `train` and `test`.
        sources: names of the stems of each track.
        validation_tracks: names of the validation tracks in `train`; None means musdb's 14.
        channels: the number that every file must have; None accepts any.
        with_mixture: whether each track must have the mixture's file.
        expect_musdb18hq: whether there must be 86 tracks for training, 14 for validation and 50
            for test, at 44.1 kHz.
        layout: as for `find_tracks`.

    Returns:
        One line for each problem, naming the file or folder. Every missing file and every file
        that differs from the others has a line.
    """
    root = Path(root).expanduser()
    layout = layout or Layout(stems=sources)
    tracks: list[Track] = []
    problems: list[str] = []
    for subset in layout.folders:
        try:
            folders = track_folders(root, subset, layout)
        except UserError as error:
            problems.append(str(error))
            if not root.is_dir():
                break
            continue
        if subset == "train" and "valid" not in layout.folders:
            problems += _validation_problems(folders, validation_tracks)
        count = MUSDB18HQ_COUNTS.get(subset)
        if expect_musdb18hq and len(folders) != count:
            problems.append(
                f"{root / subset}: {len(folders)} tracks, MUSDB18-HQ has {count}; get the whole"
                " data set (Zenodo record 3338373)"
            )
        found, wrong = _inspect(folders, layout, with_mixture)
        tracks += found
        problems += wrong
    if tracks:
        problems += [
            f"{root}: no track has the stem {stem}; check its name in the layout"
            for stem in layout.stems
            if not any(track.parts(stem) for track in tracks)
        ]
    expected_rate = MUSDB18HQ_SAMPLE_RATE if expect_musdb18hq else None
    return problems + _wrong_formats(tracks, expected_rate, channels)


def _missing_validation_tracks(
    folders: Collection[Path], validation_tracks: Collection[str] | None
) -> list[str]:
    """Return the names of validation tracks that have no folder."""
    present = {folder.name for folder in folders}
    return sorted(set(_names(validation_tracks)) - present)


def _names(validation_tracks: Collection[str] | None) -> Collection[str]:
    if isinstance(validation_tracks, str):
        raise UserError(f"validation_tracks must be a list of names, got {validation_tracks!r}")
    return musdb_setup()["validation_tracks"] if validation_tracks is None else validation_tracks


def _split(
    folders: list[Path], split: str, validation_tracks: Collection[str] | None
) -> list[Path]:
    missing = _missing_validation_tracks(folders, validation_tracks)
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


def _validation_problems(folders: list[Path], names: Collection[str] | None) -> list[str]:
    parent = folders[0].parent
    missing = _missing_validation_tracks(folders, names)
    if names is None and len(missing) > 1:
        # The data set is not MUSDB18-HQ: a line for each track would not help.
        return [
            f"{parent}: {len(missing)} of musdb's own 14 validation tracks are not there"
            f" ({', '.join(missing)}); name the folders to validate on (validation_tracks)"
        ]
    return [f"{parent / name}: the validation track is missing" for name in missing]


def _wrong_formats(tracks: list[Track], rate: int | None, channels: int | None) -> list[str]:
    """Return lines about tracks that differ from most others or from the expected format."""
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


# --- MUSDB18's own files -------------------------------------------------------------------------


@functools.cache
def musdb_setup() -> Mapping[str, Any]:
    """Return musdb's description of the data set: `validation_tracks`, `stem_ids` and more.

    Raises:
        UserError: musdb is not installed.
    """
    # Importing musdb fails where the program ffmpeg is missing, which reading wav files needs not.
    found = importlib.util.find_spec("musdb")
    if found is None or found.origin is None:
        raise UserError(
            "the validation split of MUSDB18 needs the package musdb; run: pip install"
            " 'asteroid-bsrnn[train]', or name validation_tracks"
        )
    import yaml

    path = Path(found.origin).parent / "configs" / "mus.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def decode_musdb18(
    root: str | os.PathLike,
    output: str | os.PathLike,
    progress: Callable[[int, int], None] | None = None,
    subsets: Sequence[str] = ("train", "test"),
) -> int:
    """Decode MUSDB18 to 16-bit wav files in MUSDB18-HQ's layout; return the number of tracks.

    Training reads wav files only: reading a segment of 3 s from a .stem.mp4 file takes 0.5 s for
    each stem, as it starts ffmpeg; from a wav file it takes 2 ms.

    The samples are those that musdb gives. A track gets its name when it is complete, and complete
    tracks are not decoded again. `infos.json` in the output names the data and their licence.

    Args:
        root: the folder that holds `train` and `test` with their `.stem.mp4` files.
        output: folder for the wav files, 23 GB for all tracks.
        progress: called with the number of tracks done and in total, after each track.
        subsets: folders to decode, `train` or `test` or both.

    Raises:
        UserError: there are no such files or one is damaged, ffmpeg or musdb is missing, or the
            output cannot be written.
    """
    root, output = Path(root).expanduser(), Path(output).expanduser()
    found = [
        (file, output / subset / file.name.removesuffix(SUFFIX))
        for subset in subsets
        if (root / subset).is_dir()
        for file in list_files(root / subset, [SUFFIX])
    ]
    if not found:
        raise UserError(
            f"{root}: no {SUFFIX} files in {' and '.join(subsets)}; give the folder of MUSDB18"
        )
    try:
        for done, (file, folder) in enumerate(found, start=1):
            if not folder.is_dir():
                _write_track(folder, *_decode(file))
            if progress is not None:
                progress(done, len(found))
        write_json(output / "infos.json", dict(_MUSDB18_INFOS))
    except (OSError, soundfile.LibsndfileError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{output}: cannot be written ({reason}); make room, or choose another folder"
        ) from None
    return len(found)


def _decode(file: Path) -> tuple[dict[str, np.ndarray], int]:
    """Return the stems and the mixture of a file by name, int16 `(L, C)`, and the sample rate."""
    try:
        import musdb
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"decoding {SUFFIX} files needs musdb and the programs ffmpeg and ffprobe ({error});"
            " run: pip install 'asteroid-bsrnn[train]', and install ffmpeg"
        ) from None
    stems = {}
    try:
        track = musdb.MultiTrack(path=str(file), name=file.name, stem_id=0)
        for name, stem_id in musdb_setup()["stem_ids"].items():
            # musdb decodes to 16 bits and scales the result to +-1.
            samples = track.load_audio(str(file), stem_id)
            stems[name] = np.rint(samples * 2**15).astype(np.int16)
    except Exception as error:  # stempeg and ffmpeg-python raise many types for damaged files
        raise UserError(f"{file}: cannot be decoded ({_line(error)}); get a whole copy") from None
    lengths = [len(samples) for samples in stems.values()]
    if min(lengths) < track.samples - _TOLERANCE or min(lengths) == 0:
        raise UserError(f"{file}: shorter than its header says; get a whole copy")
    return {name: samples[: min(lengths)] for name, samples in stems.items()}, int(track.rate)


def _line(error: Exception) -> str:
    """Return the last line of ffmpeg's messages, or the error's own."""
    text = getattr(error, "stderr", None) or str(error)
    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    return text.strip().splitlines()[-1] if text.strip() else type(error).__name__


def _write_track(folder: Path, stems: Mapping[str, np.ndarray], sample_rate: int) -> None:
    unfinished = folder.with_name(f".{folder.name[:48]}.{secrets.token_hex(4)}")
    unfinished.mkdir(parents=True)
    try:
        for name, samples in stems.items():
            soundfile.write(unfinished / f"{name}.wav", samples, sample_rate, subtype="PCM_16")
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
