"""Measures of separation: from (sources, channels, time) tensors or arrays to decibels.

Signal-to-distortion ratios of whole tracks and of their frames in double precision, and the full
BSS Eval v4 by museval, which is slow; `frame_sdr` computes the same SDR fast.
"""

from __future__ import annotations

import multiprocessing
import operator
import os
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch

from .errors import UserError, check_channels

__all__ = ["csdr", "frame_sdr", "museval_many", "museval_scores", "museval_sdr", "si_sdr", "usdr"]

# Number of samples processed at a time, unless a window is longer. A block fits in a processor's
# cache, which doubles the speed, and bounds the memory.
_BLOCK = 2**16

Signals = torch.Tensor | np.ndarray


def usdr(references: Signals, estimates: Signals) -> torch.Tensor:
    """Return the utterance-level signal-to-distortion ratio of a whole track.

    The ratio of the reference's energy to the energy of the error, over all channels and
    samples, as the Music Demixing Challenge (arXiv 2108.13559) and the replication of BSRNN (arXiv
    2603.09187) report it. The figure of a data set is the mean over its tracks.

    Args:
        references: (sources, channels, time), tensor or array.
        estimates: the same shape.

    Returns:
        (sources,) in dB, float64; NaN, with a warning, where the reference is silent, infinite
        where the estimate equals it.

    Raises:
        UserError: if the shapes differ, are not of three dimensions or hold no sample.

    Example:
        >>> reference = torch.ones(1, 2, 100)
        >>> usdr(reference, 0.9 * reference).round(decimals=3)
        tensor([20.], dtype=torch.float64)
    """
    check_shapes(references, estimates)
    device = _device(references)
    energy = torch.zeros(len(references), dtype=torch.float64, device=device)
    error = torch.zeros_like(energy)
    for source in range(len(references)):
        for start in range(0, references.shape[-1], _BLOCK):
            part = slice(start, start + _BLOCK)
            reference = _float64(references[source, :, part], device)
            estimate = _float64(estimates[source, :, part], device)
            energy[source] += reference.square().sum()
            error[source] += (reference - estimate).square().sum()
    scores = torch.where(energy > 0, _decibels(energy, error), torch.nan)
    _warn_of(energy == 0, "the reference is silent")
    return scores


def frame_sdr(
    references: Signals, estimates: Signals, window: int = 44100, hop: int = 44100
) -> torch.Tensor:
    """Return the signal-to-distortion ratio of each frame: museval's SDR, without its filters.

    BSS Eval v4, as the museval package runs it, splits the error into filtered parts, but its SDR
    is the ratio of the reference's energy to the energy of the whole error. Its other rules are
    kept: samples after the last whole window are left out, a track shorter than a window is one
    frame, and a frame in which any reference or any estimate is silent has no score for any
    source. A signal is silent if its channels add up to zero at every sample. Estimates of another
    length are refused, which museval pads or crops. Where an estimate equals its reference, the
    score is infinite; museval's may be some 300 dB, by rounding.

    Args:
        references: (sources, channels, time), tensor or array, on any device.
        estimates: the same shape.
        window: length of a frame in samples. Default: 44100, a second of a CD.
        hop: distance of the starts of frames in samples. Default: 44100, no overlap.

    Returns:
        (sources, frames) in dB, float64; NaN in frames with a silent signal, infinite where an
        estimate equals its reference.

    Raises:
        UserError: if the shapes differ, are not of three dimensions or hold no sample, window or
            hop is not a whole number from 1, or a sample is NaN or infinite.

    Example:
        >>> reference = torch.ones(1, 2, 250)
        >>> frame_sdr(reference, 0.9 * reference, window=100, hop=100).round(decimals=3)
        tensor([[20., 20.]], dtype=torch.float64)
    """
    check_shapes(references, estimates)
    n_sources, _, length = references.shape
    n_frames = count_frames(length, window, hop)
    window = min(window, length)
    energy = torch.empty(n_sources, n_frames, dtype=torch.float64, device=_device(references))
    error = torch.empty_like(energy)
    silent = torch.zeros(n_frames, dtype=torch.bool, device=energy.device)
    per_block = max(1, (_BLOCK - window) // hop + 1)
    for first in range(0, n_frames, per_block):
        block = slice(first, min(first + per_block, n_frames))
        part = slice(first * hop, (block.stop - 1) * hop + window)
        for source in range(n_sources):
            reference = _float64(references[source, :, part], energy.device)
            estimate = _float64(estimates[source, :, part], energy.device)
            energy[source, block] = _frame_energy(reference, window, hop)
            error[source, block] = _frame_energy(reference - estimate, window, hop)
            for signal in (reference, estimate):
                sounds = (signal.sum(dim=0) != 0).unfold(0, window, hop).any(dim=-1)
                silent[block] |= ~sounds
    check_finite(bool(energy.isfinite().all()), bool(error.isfinite().all()))
    return torch.where(silent, torch.nan, _decibels(energy, error))


def csdr(
    references: Signals, estimates: Signals, window: int = 44100, hop: int = 44100
) -> torch.Tensor:
    """Return the chunk-level signal-to-distortion ratio, the median of `frame_sdr` over frames.

    Frames without a score are left out, as museval leaves them out; infinite ones count, so that a
    perfect estimate scores infinity. The figure of a data set is the median over its tracks.

    Arguments and errors are those of `frame_sdr`.

    Returns:
        (sources,) in dB, float64; NaN, with a warning, where no frame has a score.
    """
    scores = frame_sdr(references, estimates, window, hop)
    with warnings.catch_warnings():
        # numpy warns of rows that are all NaN.
        warnings.simplefilter("ignore", RuntimeWarning)
        # torch.nanmedian returns the lower of two middle values, museval their mean.
        medians = torch.as_tensor(np.nanmedian(scores.cpu().numpy(), axis=1), device=scores.device)
    _warn_of(medians.isnan(), "every frame has a silent reference or estimate")
    return medians


def si_sdr(references: Signals, estimates: Signals) -> torch.Tensor:
    """Return the scale-invariant SDR (arXiv 1811.02508) of a track, all channels as one signal.

    Computed by Asteroid's loss, without subtracting means, in double precision.

    Args:
        references: (sources, channels, time), tensor or array.
        estimates: the same shape.

    Returns:
        (sources,) in dB, float64; NaN where the reference is silent, about -80 where the estimate
        is.

    Raises:
        UserError: as `usdr` raises it.
    """
    from asteroid.losses.sdr import SingleSrcNegSDR

    check_shapes(references, estimates)
    device = _device(references)
    loss = SingleSrcNegSDR("sisdr", zero_mean=False, reduction="none")
    scores = torch.full((len(references),), torch.nan, dtype=torch.float64, device=device)
    for index in range(len(references)):
        estimate, reference = (
            _float64(signals[index], device).reshape(1, -1) for signals in (estimates, references)
        )
        if reference.any():
            scores[index] = -loss(estimate, reference)[0]
    return scores


def check_shapes(references: Signals, estimates: Signals) -> None:
    """Refuse signals that are not both of one shape (sources, channels, time) with samples.

    Raises:
        UserError: if so, or if the channels are likely the samples.
    """
    shapes = tuple(references.shape), tuple(estimates.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 3:
        raise UserError(
            "references and estimates must both be (sources, channels, time), got "
            f"{shapes[0]} and {shapes[1]}"
        )
    if 0 in shapes[0]:
        raise UserError(f"there is nothing to score in signals of shape {shapes[0]}")
    check_channels(shapes[0], "references and estimates")


def check_finite(finite_references: bool, finite_estimates: bool) -> None:
    """Refuse NaN and infinite samples: leaving out their frames would raise the score."""
    for name, finite in (("references", finite_references), ("estimates", finite_estimates)):
        if not finite:
            raise UserError(f"the {name} hold NaN or infinite samples; they cannot be scored")


def count_frames(length: int, window: int, hop: int) -> int:
    """Return the number of whole windows in a signal, at least one, as museval counts them.

    All arguments are in samples. The rest after the last whole window is no frame; a signal shorter
    than a window is one frame.

    Raises:
        UserError: if window or hop is not a whole number from 1.
    """
    try:
        valid = operator.index(window) >= 1 and operator.index(hop) >= 1
    except TypeError:
        valid = False
    if not valid:
        raise UserError(f"window and hop must be whole samples from 1, got {window!r} and {hop!r}")
    return max(0, length - window) // hop + 1


def _device(signals: Signals) -> torch.device:
    """Return the device of the signals, or the CPU where that has no double precision."""
    if isinstance(signals, torch.Tensor) and signals.device.type != "mps":
        return signals.device
    return torch.device("cpu")


def _float64(signal: Signals, device: torch.device) -> torch.Tensor:
    """Return a tensor or array, writable or not, in double precision."""
    if isinstance(signal, torch.Tensor):
        return signal.detach().to(device).to(torch.float64)
    return torch.from_numpy(np.array(signal, dtype=np.float64)).to(device)


def _frame_energy(signal: torch.Tensor, window: int, hop: int) -> torch.Tensor:
    """Sum (channels, time) to (frames,), each frame on its own, so that quiet ones are exact."""
    return signal.square().sum(dim=0).unfold(0, window, hop).sum(dim=-1)


def _decibels(energy: torch.Tensor, error: torch.Tensor) -> torch.Tensor:
    """Return decibels, infinite without an error, even of energies too small for a float."""
    return torch.where(error == 0, torch.inf, 10 * torch.log10(energy / error))


def _warn_of(unscored: torch.Tensor, reason: str) -> None:
    """Warn the caller of the public function of sources whose score is NaN."""
    if unscored.any():
        numbers = ", ".join(str(source) for source in unscored.nonzero().flatten().tolist())
        warnings.warn(f"no score for source {numbers}: {reason}", stacklevel=3)


# --- BSS Eval by museval -------------------------------------------------------------------------


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

    Arguments are those of `frame_sdr`.

    Returns:
        The keys "sdr", "isr", "sir" and "sar", each (sources, frames) in dB, float64. NaN in
        frames with a silent signal; all NaN, with a warning, if a signal is silent throughout.

    Raises:
        UserError: if museval or its ffmpeg is missing, or as `frame_sdr` raises it.
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
