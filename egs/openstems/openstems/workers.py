"""Worker processes that render songs, with one thread each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from .splits import SongId, SongSettings
from .writing import write_song

Render = Callable[[int, SongSettings], Any]

# Several threads per process would compete for cores, and sums over threads could differ in their
# last bit.
_ONE_THREAD = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def pool(n_workers: int) -> ProcessPoolExecutor:
    """Return a pool of new interpreters, because forks would inherit locks and threads."""
    # Libraries in the new processes read these variables when they are loaded.
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    return ProcessPoolExecutor(
        n_workers, mp_context=multiprocessing.get_context("spawn"), initializer=_begin
    )


def make_song(
    render: Render, root: Path, song_id: SongId, settings: SongSettings, scratch: Path
) -> dict[str, Any]:
    """Render and write a song in a worker, and return its entry of the manifest."""
    song = render(song_id.number, settings)
    return write_song(root, song_id, song.stems, song.entry, scratch)


def terminate() -> None:
    """Kill all workers, and wait for their end."""
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join()


def _begin() -> None:
    # Ctrl-C reaches the whole process group; only the parent handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow():
        parent.join()
        os._exit(1)

    # A killed parent cannot end its workers, which would wait for work forever.
    threading.Thread(target=follow, daemon=True).start()
