"""Activity of a whole data set, found once and kept in a file until the data change."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from ..errors import UserError
from . import activity
from .activity import active_segments_of_file
from .tracks import Track, relative_name

# What the kept results depend on besides the files; `version` counts changes of the algorithm.
PARAMETERS = {
    "version": 1,
    "chunk_seconds": activity.CHUNK_SECONDS,
    "chunks_per_window": activity.CHUNKS_PER_WINDOW,
    "chunks_per_step": activity.CHUNKS_PER_STEP,
    "quantile": activity.QUANTILE,
    "least_rms": activity.LEAST_RMS,
}


def detect_activity(
    root: str | os.PathLike,
    tracks: Iterable[Track],
    *,
    cache_folder: str | os.PathLike | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[Path, list[int]]:
    """Finds the active windows of every stem, taking from the cache what is known already.

    The cache is one JSON file a data set. It knows a stem by its path relative to the root, its
    size and its time of change: what differs in one of these is read again. A damaged cache is
    made anew. What was found before an interruption is kept.

    Args:
        root: the data set's folder.
        tracks: as `find_tracks` returns them; several calls for several parts share the cache.
        cache_folder: where to keep the cache, None for `activity.json` in the root. In another
            folder its name begins with the root's, so that data sets can share the folder.
        workers: number of files to read at a time.
        progress: called with the numbers of stems done and in all, after each stem that is read.

    Returns:
        From the path of each stem to the first samples of its active windows.

    Raises:
        UserError: the cache cannot be written (said before anything is read), or a stem not read.
    """
    root = Path(os.path.abspath(os.path.expanduser(root)))
    cache = _cache_path(root, cache_folder)
    stems = {relative_name(root, path): path for track in tracks for path in track.stems()}
    stamps = {key: _stamp(path) for key, path in stems.items()}
    known = _load(cache)
    missing = [key for key in stems if not _is_valid(known.get(key), stamps[key])]
    if missing:
        _check_writable(cache.parent)
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
            _save(cache, known)
    return {path: list(known[key]["starts"]) for key, path in stems.items()}


def _cache_path(root: Path, folder: str | os.PathLike | None) -> Path:
    if folder is None:
        return root / "activity.json"
    return Path(folder).expanduser() / f"{root.name}-activity.json"


def _stamp(path: Path) -> dict[str, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the data set's folder") from None
    return {"size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _is_valid(entry: object, stamp: dict[str, int]) -> bool:
    if not isinstance(entry, dict) or not stamp.items() <= entry.items():
        return False
    starts = entry.get("starts")
    return isinstance(starts, list) and all(type(start) is int for start in starts)


def _load(path: Path) -> dict[str, object]:
    """What the cache knows; nothing where it is missing, damaged or made with other settings."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("parameters") != PARAMETERS:
        return {}
    files = content.get("files")
    return files if isinstance(files, dict) else {}


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_written(folder, error) from None


def _save(path: Path, files: dict[str, object]) -> None:
    """Replaces the cache in one step: readers and other writers never meet half a file."""
    content = {"parameters": PARAMETERS, "files": dict(sorted(files.items()))}
    part = None
    try:
        handle, part = tempfile.mkstemp(prefix=path.name, suffix=".part", dir=path.parent)
        with open(handle, "w", encoding="ascii") as file:
            json.dump(content, file, indent=0)
        os.chmod(part, 0o644)  # others that use the data may read what mkstemp made private
        os.replace(part, path)
    except BaseException as error:
        if part is not None:
            Path(part).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _not_written(path.parent, error) from None
        raise


def _not_written(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"{folder}: the activity cache cannot be written here ({error.strerror}); make room, or"
        " choose another folder for it (cache_folder)"
    )
