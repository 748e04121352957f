"""MUSDB18 through the package musdb: its validation split, and its .stem.mp4 files as wav files.

Training reads wav files only: reading a segment of 3 s from a .stem.mp4 file takes 0.5 s for each
stem, as it starts ffmpeg; from a wav file it takes 2 ms.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import soundfile

from ..errors import UserError
from ..files import list_files, write_json

_SUBSETS = ("train", "test")
SUFFIX = ".stem.mp4"

# Decoders may drop the last frames of a file whose encoder padded it: two AAC frames of 2048.
_TOLERANCE = 4096

_PAGE = "https://sigsep.github.io/datasets/musdb.html"


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
    subsets: Sequence[str] = _SUBSETS,
) -> int:
    """Decode MUSDB18 to 16-bit wav files in the layout of MUSDB18-HQ.

    The samples are those that musdb gives. A track gets its name when it is complete, and complete
    tracks are not decoded again. `infos.json` in the output names the data and their licence.

    Args:
        root: the folder that holds `train` and `test` with their `.stem.mp4` files.
        output: folder for the wav files, 23 GB for all tracks.
        progress: called with the number of tracks done and in total, after each track.
        subsets: folders to decode, `train` or `test` or both.

    Returns:
        The number of tracks.

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
