"""The full BSS Eval v4 by museval, which is slow; `frame_sdr` computes the same SDR fast."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from ..errors import UserError
from .sdr import Signals, check_finite, check_shapes, count_frames

Scores = dict[str, np.ndarray]
Pair = tuple[Signals, Signals]

_MEASURES = ("sdr", "isr", "sir", "sar")
# Variables that numpy's linear algebra libraries read when they are loaded.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def museval_scores(
    references: Signals, estimates: Signals, window: int = 44100, hop: int = 44100
) -> Scores:
    """Return museval's ratios of signal to distortion, spatial error, interference and artefacts.

    BSS Eval v4: one filter over the whole track. It takes longer than the track lasts. Score all
    sources of a track together, each once: the SIR depends on which sources are given.

    Args:
        references: (sources, channels, time), tensor or array.
        estimates: the same shape.
        window: length of a frame in samples. Default: 44100, a second of a CD.
        hop: distance of the starts of frames in samples. Default: 44100, no overlap.

    Returns:
        The keys "sdr", "isr", "sir" and "sar", each (sources, frames) in dB, float64. NaN in
        frames with a silent signal; all NaN, with a warning, if a signal is silent throughout.

    Raises:
        UserError: if museval or its ffmpeg is missing, the shapes differ, are not of three
            dimensions or hold no sample, window or hop is not a whole number from 1, or a sample
            is NaN or infinite.
    """
    check_shapes(references, estimates)
    n_frames = count_frames(references.shape[-1], window, hop)
    # museval wants (sources, time, channels).
    pair = [
        _array(signals).astype(np.float64).transpose(0, 2, 1) for signals in (references, estimates)
    ]
    check_finite(*(bool(np.isfinite(signals).all()) for signals in pair))
    bss_eval = _import_bss_eval()
    # museval raises on such a track.
    silent = [~signals.sum(axis=2).any(axis=1) for signals in pair]
    if np.any(silent):
        names = [
            f"{name} {source}"
            for name, rows in zip(("reference", "estimate"), silent, strict=True)
            for source in np.flatnonzero(rows)
        ]
        warnings.warn(f"no score for the track: silent {', '.join(names)}", stacklevel=2)
        return {name: np.full((len(references), n_frames), np.nan) for name in _MEASURES}
    with np.errstate(divide="ignore", invalid="ignore"):
        scores = bss_eval(*pair, window=window, hop=hop, compute_permutation=False)
    return dict(zip(_MEASURES, scores, strict=False))


def museval_sdr(
    references: Signals, estimates: Signals, window: int = 44100, hop: int = 44100
) -> torch.Tensor:
    """Return only the SDR of `museval_scores`; `frame_sdr` computes the same figures fast.

    Arguments and errors are those of `museval_scores`. The result is (sources, frames) in dB,
    float64.
    """
    return torch.from_numpy(museval_scores(references, estimates, window, hop)["sdr"])


def museval_many(
    pairs: Iterable[Pair | Callable[[], Pair]],
    processes: int,
    window: int = 44100,
    hop: int = 44100,
) -> Iterator[Scores]:
    """Score many tracks by `museval_scores`, in parallel processes of one thread each.

    The processes are started afresh, so a script that calls this keeps its own work under
    `if __name__ == "__main__":`.

    Args:
        pairs: for each track its references and estimates, or, so that no more tracks than
            processes are in memory, a picklable function without arguments that returns them.
            More are read as tracks are finished.
        processes: number of tracks scored at a time; each takes some gigabytes for a song.
        window: as for `museval_scores`.
        hop: as for `museval_scores`.

    Yields:
        The scores of each track, in the order of `pairs`, as soon as they are computed.

    Raises:
        UserError: as `museval_scores` raises it, or if `processes` is below 1.
    """
    if processes < 1:
        raise UserError(f"processes must be at least 1, got {processes}")
    _import_bss_eval()  # fails before any audio is read
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=spawn)
    pending: deque = deque()
    try:
        for pair in pairs:
            task = pair if callable(pair) else tuple(_array(signals) for signals in pair)
            with _one_thread_in_new_processes():
                pending.append(pool.submit(_score, task, window, hop))
            # One more than can run keeps all processes busy while the caller handles a result.
            if len(pending) > processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _score(task: Pair | Callable[[], Pair], window: int, hop: int) -> Scores:
    """Score one track in a process, which finds the function at the top of the module."""
    references, estimates = task() if callable(task) else task
    return museval_scores(references, estimates, window, hop)


def _import_bss_eval() -> Callable:
    """Import museval lazily: it imports stempeg, which needs ffmpeg at import."""
    try:
        from museval.metrics import bss_eval
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"museval cannot be imported ({error}); run 'pip install asteroid-bsrnn[eval]' "
            "and install ffmpeg"
        ) from error
    return bss_eval


def _array(signals: Signals) -> np.ndarray:
    return signals.detach().cpu().numpy() if isinstance(signals, torch.Tensor) else signals


@contextmanager
def _one_thread_in_new_processes() -> Iterator[None]:
    """Let processes that start meanwhile use one thread each; numpy uses all cores otherwise."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
