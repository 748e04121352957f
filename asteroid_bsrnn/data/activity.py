"""Source activity detection: the windows of a stem in which the source sounds.

A window of 6 s consists of 10 chunks; windows overlap by half. A chunk sounds if its RMS is above
the window's threshold: the 0.15 quantile of the RMS of the window's chunks, but at least 0.001. A
window is active if more than half of its chunks sound in every channel.

The quantile rarely matters in music, whose chunks differ in level. If all chunks are exactly
alike, none is above their quantile: a tone of constant level is not active.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch

from ..audio.reader import sound_name
from ..errors import UserError
from ..files import write_text
from .tracks import Track, relative_name, stamp

_CHUNK_SECONDS = 0.6
_CHUNKS_PER_WINDOW = 10
_CHUNKS_PER_STEP = 5
_QUANTILE = 0.15
_LEAST_RMS = 1e-3
# Sums over chunks of equal level differ by rounding, which must not put one above another.
_ROUNDING = 1e-5

# What cached results depend on besides the files; `version` counts changes of the algorithm.
PARAMETERS = {
    "version": 1,
    "chunk_seconds": _CHUNK_SECONDS,
    "chunks_per_window": _CHUNKS_PER_WINDOW,
    "chunks_per_step": _CHUNKS_PER_STEP,
    "quantile": _QUANTILE,
    "least_rms": _LEAST_RMS,
}


def active_segments(waveform: torch.Tensor | np.ndarray, sample_rate: int = 44100) -> list[int]:
    """Find the active windows of a signal.

    Args:
        waveform: `(C, L)` or `(L,)`, floating point; full scale is +-1.
        sample_rate: in hertz.

    Returns:
        The first sample of each active window, in order. Windows that extend beyond the end are
        left out; a signal shorter than a window is one window of its own length.

    Raises:
        UserError: the waveform has another shape or type, or is not finite.

    Example:
        >>> seconds = torch.arange(12 * 8000) / 8000
        >>> tone = torch.sin(2 * torch.pi * 440 * seconds) * (seconds > 6) * seconds
        >>> active_segments(tone, sample_rate=8000)
        [48000]
    """
    if isinstance(waveform, torch.Tensor):
        waveform = waveform.detach().cpu()
        waveform = (waveform.float() if waveform.is_floating_point() else waveform).numpy()
    signal = np.atleast_2d(waveform)
    if signal.ndim != 2 or not np.issubdtype(signal.dtype, np.floating):
        raise UserError(
            "waveform must be floating point of shape (channels, time) or (time,), got"
            f" {signal.dtype} of shape {tuple(signal.shape)}"
        )
    chunk = window_frames(sample_rate, signal.shape[1]) // _CHUNKS_PER_WINDOW
    if chunk == 0:
        return []
    chunks = (signal[:, i : i + chunk].T for i in range(0, signal.shape[1] - chunk + 1, chunk))
    return _active_starts(chunks, chunk, "waveform")


def active_segments_of_file(path: str | os.PathLike) -> list[int]:
    """Find the active windows of an audio file, as `active_segments`, reading it chunk by chunk.

    Raises:
        UserError: the file cannot be read, or holds NaN or infinite samples.
    """
    path = Path(path)
    try:
        with soundfile.SoundFile(sound_name(path)) as sound:
            chunk = window_frames(sound.samplerate, sound.frames) // _CHUNKS_PER_WINDOW
            if chunk == 0:
                return []
            blocks = sound.blocks(chunk, dtype="float32", always_2d=True)
            chunks = (block for block in blocks if len(block) == chunk)
            return _active_starts(chunks, chunk, str(path))
    except soundfile.LibsndfileError as error:
        raise UserError(
            f"{path}: cannot be read ({error.error_string}); get a whole copy"
        ) from None


def window_frames(sample_rate: int, frames: int) -> int:
    """Return the length in samples of the windows of a signal of `frames` samples."""
    return min(frames, _CHUNKS_PER_WINDOW * round(_CHUNK_SECONDS * sample_rate))


def detect_activity(
    root: str | os.PathLike,
    tracks: Iterable[Track],
    *,
    cache_folder: str | os.PathLike | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Path, list[int]]:
    """Find the active windows of every stem, except those that the cache has already.

    The cache is one JSON file for each data set. It identifies a stem by its path relative to the
    root, its size and its time of modification; a stem that differs in one of these is read again.
    A damaged cache is ignored and replaced. An interruption keeps the results found before it.

    Args:
        root: the data set's folder.
        tracks: as returned by `find_tracks`; calls for several subsets share the cache.
        cache_folder: folder of the cache; None writes `activity.json` in the root. In another
            folder the file's name begins with the root's, so that data sets can share the folder.
        workers: number of files to read at a time.
        progress: called with the number of stems done and in total, after each stem that is read.

    Returns:
        The first samples of the active windows of each stem, by the path of the stem.

    Raises:
        UserError: the cache cannot be written (tested before anything is read), or a stem cannot
            be read.
    """
    root = Path(os.path.abspath(os.path.expanduser(root)))
    if cache_folder is None:
        cache = root / "activity.json"
    else:
        cache = Path(cache_folder).expanduser() / f"{root.name}-activity.json"
    stems = {relative_name(root, path): path for track in tracks for path in track.stems()}
    stamps = {key: stamp(path) for key, path in stems.items()}
    known = _load(cache)
    missing = [key for key in stems if not _is_valid(known.get(key), stamps[key])]
    if missing:
        with _writing(cache.parent):
            cache.parent.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=cache.parent).close()
        try:
            with ThreadPoolExecutor(max(1, workers)) as pool:
                jobs = {pool.submit(active_segments_of_file, stems[key]): key for key in missing}
                try:
                    for done, job in enumerate(as_completed(jobs), start=1):
                        key = jobs[job]
                        known[key] = {**stamps[key], "starts": job.result()}
                        if progress is not None:
                            progress(len(stems) - len(missing) + done, len(stems))
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
        finally:
            content = {"parameters": PARAMETERS, "files": dict(sorted(known.items()))}
            with _writing(cache.parent):
                write_text(cache, json.dumps(content, indent=0))
    return {path: list(known[key]["starts"]) for key, path in stems.items()}


def _active_starts(chunks: Iterable[np.ndarray], chunk_frames: int, name: str) -> list[int]:
    """Return the first samples of the active windows of a signal, given its chunks `(L, C)`."""
    energies = [np.einsum("lc,lc->c", chunk, chunk, dtype=np.float64) for chunk in chunks]
    if len(energies) < _CHUNKS_PER_WINDOW:
        raise UserError(f"{name}: ends before the length that its header gives; get a whole copy")
    levels = np.sqrt(np.array(energies) / chunk_frames)
    if not np.isfinite(levels).all():
        raise UserError(f"{name}: NaN or infinite samples; export the audio again")
    windows = np.lib.stride_tricks.sliding_window_view(levels, _CHUNKS_PER_WINDOW, axis=0)
    windows = windows[::_CHUNKS_PER_STEP]  # (windows, channels, chunks)
    thresholds = np.quantile(windows, _QUANTILE, axis=2, keepdims=True).clip(_LEAST_RMS)
    sounding = windows > thresholds * (1 + _ROUNDING)
    active = (sounding.mean(axis=2) > 0.5).all(axis=1)
    return [int(index) * _CHUNKS_PER_STEP * chunk_frames for index in np.flatnonzero(active)]


def _is_valid(entry: object, stamp: dict[str, int]) -> bool:
    if not isinstance(entry, dict) or not stamp.items() <= entry.items():
        return False
    starts = entry.get("starts")
    return isinstance(starts, list) and all(type(start) is int for start in starts)


def _load(path: Path) -> dict[str, object]:
    """Return the cache's entries; none if it is missing, damaged or of other parameters."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("parameters") != PARAMETERS:
        return {}
    files = content.get("files")
    return files if isinstance(files, dict) else {}


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Report a failure to write the cache to a folder."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: the activity cache cannot be written here ({error.strerror}); make room, or"
            " choose another folder for it (cache_folder)"
        ) from None
