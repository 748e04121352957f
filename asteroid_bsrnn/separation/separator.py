"""`Separator`: stems of recordings in memory and of files of any length."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import zoo
from ..audio import resample_blocks
from ..audio import stems as files
from ..errors import UserError
from ..kernels import has_bfloat16
from ..kernels.cuda_graphs import GraphedCall
from ..memory import release_kept_memory
from ..transfers import arriving, send
from . import chunks as inference
from .precision import TYPES, check_precision, resolve_precision

Progress = Callable[[int, int], None]

# Arguments for scoring: figures depend neither on what a machine computes in nor on its memory.
SCORING = {"precision": "32", "smaller_chunks": False}

_SHORTEST = 1.0
"""Seconds below which chunks are not halved any more where they do not fit in memory."""


class Separator:
    """Separate music with a pretrained network.

    Recordings may have any length, sample rate and number of channels: they are resampled to the
    network's rate and back, cut into chunks, and separated by pairs of channels (a single channel
    as mono). Stems have the rate, length, channels and level of the recording.

    Args:
        model: a model, the name of pretrained weights, or a file or URL of them. None means the
            weights that ship with the package. A model is used as it is: it is moved to the
            device, estimates in evaluation mode, and trains on afterwards if it was in training.
        segment: seconds of a chunk; None takes the whole recording at once.
        overlap: length of the cross-fade between chunks, as a share of the segment.
        hop: seconds from one chunk to the next; other than None, chunks are averaged where they
            overlap (overlap-add) instead of cross-faded.
        batch_size: number of chunks that the network gets at once; None means 1 on a CPU and 4
            elsewhere.
        device: "auto" takes a GPU where there is one; else "cpu", "cuda", "cuda:1", "mps", ...
        precision: "32", "bf16", "16" or "auto": of the network; its STFT is always computed in
            float32. "bf16" is for GPUs and for CPUs that have it, "16" for GPUs. "auto" takes
            "bf16" where the device computes in it and the network stays within -45 dB of float32
            (`resolve_precision`), else "32".
        shifts: the estimates are averaged over so many passes, each with the frames of the STFT
            elsewhere: a little better, and as many times slower.
        cuda_graphs: whether an NVIDIA GPU is given all work of a batch of chunks at once, recorded
            once for each shape, instead of kernel by kernel. It costs memory. Where that does not
            work, one warning says so.
        stems: sources that are wanted; None means all. Of pretrained weights with a network for
            each source only those networks are downloaded, built and run.
        smaller_chunks: whether chunks are halved, down to a second, where the first one does not
            fit in memory, instead of an error. One warning says so, and `settings` has the segment
            that fits.

    Attributes:
        model: the network.
        sources: names of the stems, in order.
        sample_rate: of the network, in hertz.
        device: where it runs.
        settings: what else than the weights and the device decides the estimates.

    Raises:
        UserError: for unknown weights, or a value out of its range.

    Example:
        >>> import torch
        >>> separator = Separator()
        >>> stems = separator.separate(torch.zeros(2, 22050), sample_rate=22050)
        >>> sorted(stems), tuple(stems["vocals"].shape)
        (['bass', 'drums', 'other', 'vocals'], (2, 22050))
    """

    def __init__(
        self,
        model: nn.Module | str | os.PathLike | None = None,
        segment: float | None = 10.0,
        overlap: float = 0.1,
        hop: float | None = None,
        batch_size: int | None = None,
        device: str | torch.device = "auto",
        precision: str | int = "auto",
        shifts: int = 1,
        cuda_graphs: bool = False,
        stems: str | Sequence[str] | None = None,
        smaller_chunks: bool = True,
    ):
        self.device = resolve_device(device)
        check_precision(precision)
        if str(precision) == "bf16" and self.device.type == "cpu" and not has_bfloat16():
            warnings.warn(
                "precision bf16: this CPU does not compute in bfloat16; 32 is faster here",
                stacklevel=2,
            )
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise UserError(f"batch_size must be a whole number of at least 1, got {batch_size}")
        if not isinstance(shifts, int) or shifts < 1:
            raise UserError(f"shifts must be a whole number of at least 1, got {shifts}")
        self.batch_size = batch_size or (1 if self.device.type == "cpu" else 4)
        model = _load(model, stems)
        self.model = model.to(self.device)
        precision = resolve_precision(precision, model, self.device)
        self._dtype = TYPES[precision]
        self._graphs = _graphs(self.model, self.device) if cuda_graphs else None
        self.sources: tuple[str, ...] = tuple(files.choose_stems(model.sources, stems))
        self._rows = [list(model.sources).index(source) for source in self.sources]
        self.sample_rate = int(model.sample_rate)
        network = inference.shifted(self._forward, shifts, _stride(model) if shifts > 1 else 1)
        self._network = inference.any_channels(network, model.in_channels)
        self.settings = {
            "segment": segment,
            "overlap": overlap,
            "hop": hop,
            "precision": precision,
            "shifts": shifts,
        }
        self._schedule = inference.make_schedule(segment, overlap, hop, self.sample_rate)
        self._smaller_chunks = smaller_chunks

    def __call__(self, mixture, sample_rate: int | None = None, progress: Progress | None = None):
        """The same as `separate`."""
        return self.separate(mixture, sample_rate, progress)

    def separate(
        self,
        mixture: torch.Tensor | np.ndarray,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> dict:
        """Separate a recording that is held in memory.

        Args:
            mixture: (channels, time) or (time,), floating point; a tensor or an array.
            sample_rate: of the mixture in hertz; None means the network's.
            progress: called with the number of samples done and in all, in the mixture's rate.

        Returns:
            A dict from source to stem, each of the mixture's shape, type and device.

        Raises:
            UserError: if the mixture is empty, of another shape or type, or holds NaN.
        """
        waveform = _as_tensor(mixture)
        rate = self.sample_rate if sample_rate is None else _whole_rate(sample_rate)
        length = waveform.shape[-1]
        array = waveform.detach().reshape(-1, length).float().cpu().numpy()
        blocks = resample_blocks([array], rate, self.sample_rate)
        estimates = self._estimates(blocks, progress, length, rate)
        rows = (block.reshape(len(self.sources) * len(array), -1) for block in estimates)
        parts = resample_blocks(rows, self.sample_rate, rate, frames=length)
        stems = np.empty((len(self.sources) * len(array), length), np.float32)
        filled = 0
        for part in parts:
            stems[:, filled : filled + part.shape[1]] = part
            filled += part.shape[1]
        stems = torch.from_numpy(stems).reshape(-1, *waveform.shape)
        stems = stems.to(waveform.device, waveform.dtype)
        if isinstance(mixture, np.ndarray):
            stems = stems.numpy().astype(mixture.dtype, copy=False)
        return dict(zip(self.sources, stems, strict=True))

    def separate_file(
        self,
        path: str | os.PathLike,
        output_directory: str | os.PathLike,
        *,
        stems: Sequence[str] | None = None,
        two_stems: str | None = None,
        format: str = "wav",
        subtype: str | None = None,
        clip: str | None = None,
        start: float = 0.0,
        duration: float | None = None,
        audio_track: int | None = None,
        overwrite: bool = False,
        track: str | None = None,
        keep: Collection[str | os.PathLike] = (),
        progress: Progress | None = None,
    ) -> dict[str, Path]:
        """Separate a file, from disk to disk, in bounded memory.

        Args:
            path: an audio or video file.
            output_directory: stems are written to `<output_directory>/<track>/<source>.<format>`,
                each as a whole or not at all.
            stems: sources to write; None means all.
            two_stems: a source; writes it and the mixture minus it, as `no_<source>`.
            format: "wav", "flac" or "mp3".
            subtype: "PCM_16", "PCM_24" or "FLOAT"; None keeps the file's depth.
            clip: what happens to samples beyond full scale. "rescale" multiplies all stems of the
                track by one gain, so that they still sum up; "clamp" cuts them off; "none" leaves
                them to the format. None means "rescale", and "none" for FLOAT, which holds them.
            start: in seconds, where separation starts.
            duration: in seconds; None means to the end.
            audio_track: number of the audio track of a file that holds several, from 1; None means
                the one that the file flags as default, or else the first.
            overwrite: whether existing stems are replaced.
            track: name of the track's folder; None means the file's name.
            keep: files that are not replaced even then, besides `path` itself.
            progress: called with the number of samples done and in all, in the file's rate.

        Returns:
            A dict from stem to the path of its file.

        Raises:
            UserError: for anything that a user can mend; nothing is left half-written.
        """
        job = files.plan(
            path,
            output_directory,
            sources=self.sources,
            stems=stems,
            two_stems=two_stems,
            format=format,
            subtype=subtype,
            clip=clip,
            start=start,
            duration=duration,
            audio_track=audio_track,
            overwrite=overwrite,
            track=track,
            keep=keep,
        )
        rate = job.audio.sample_rate
        with closing(job.audio.blocks()) as blocks:
            resampled = resample_blocks(blocks, rate, self.sample_rate)
            estimates = self._estimates(resampled, progress, job.frames, rate)
            return files.write(job, estimates, self.sample_rate)

    def _estimates(
        self, blocks: Iterable[np.ndarray], progress: Progress | None, total: int, rate: int
    ) -> Iterator[np.ndarray]:
        """Estimated blocks (sources, channels, n) of blocks (channels, n), at the network's rate.

        Progress is told in samples at `rate`, of which there are `total`.
        """
        done = told = 0
        chunks = self._chunks()
        asked = dict(self.settings), self._schedule, self.batch_size

        def smaller(error: Exception) -> tuple[inference.Schedule, int] | None:
            attempt = self._smaller(total / rate)
            if attempt is None:
                # Nothing fits: the next recording, which may be mono, starts from what was asked.
                self.settings, self._schedule, self.batch_size = asked
            return attempt

        estimated = inference.separate_blocks(
            self._network,
            map(torch.from_numpy, blocks),
            self._schedule,
            batch_size=self.batch_size,
            smaller=smaller if self._smaller_chunks else None,
        )
        # Resampled and written while the GPU separates the next batch of chunks.
        ahead = 1 if self.device.type == "cuda" else 0
        for block in arriving((block.float() for block in estimated), ahead):
            if self._chunks() != chunks:
                chunks = self._chunks()
                warnings.warn(
                    f"out of memory with the chunks asked for; separating {chunks}", stacklevel=2
                )
            if not block.isfinite().all():
                raise UserError(
                    "the model's estimates hold NaN or infinite samples; its weights are damaged, "
                    "or need a higher precision (32)"
                )
            yield block.numpy()
            done += block.shape[-1]
            reached = min(done * rate // self.sample_rate, total)
            if progress is not None and told < reached < total:
                progress(reached, total)
                told = reached
        if progress is not None:
            progress(total, total)

    def _chunks(self) -> str:
        """What the network gets at once, in words."""
        seconds = self.settings["segment"]
        length = "whole recordings" if seconds is None else f"chunks of {seconds:.4g} s"
        return f"{length}, {self.batch_size} at a time (--segment, --batch-size)"

    def _smaller(self, seconds: float) -> tuple[inference.Schedule, int] | None:
        """Chunks to try for a recording where those before do not fit in memory; None if none do.

        One chunk at a time gives the same estimates as several. Shorter ones do not.
        """
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        segment, hop = self.settings["segment"], self.settings["hop"]
        if self.batch_size > 1:
            self.batch_size = 1
            return self._schedule, 1
        segment = min(segment or seconds, seconds) / 2
        if segment < _SHORTEST:
            return None
        hop = hop and min(hop, segment)
        self._schedule = inference.make_schedule(
            segment, self.settings["overlap"], hop, self.sample_rate
        )
        self.settings.update(segment=segment, hop=hop)
        return self._schedule, 1

    def _forward(self, chunks: torch.Tensor) -> torch.Tensor:
        """The network on its device, in the wanted precision."""
        enabled = self._dtype is not None
        with (
            _evaluating(self.model),
            torch.autocast(self.device.type, dtype=self._dtype, enabled=enabled),
            self._graphs.installed() if self._graphs else nullcontext(),
        ):
            estimates = self.model(send(chunks, self.device))
        release_kept_memory()
        whole = self._rows == list(range(estimates.shape[1]))
        return estimates if whole else estimates[:, self._rows]


def resolve_device(device: str | torch.device) -> torch.device:
    """The device that a name means.

    Raises:
        UserError: if the name is unknown or there is no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"unknown device {device!r}; valid: auto, cpu, cuda, mps") from error
    try:
        torch.zeros(1, device=resolved).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {str(device)!r}: torch can compute on no such device here; use --device cpu "
            "or auto"
        ) from error
    return resolved


def _load(
    model: nn.Module | str | os.PathLike | None, stems: str | Sequence[str] | None
) -> nn.Module:
    """The model that the caller means, checked for what a separator needs to know of it."""
    name = type(model).__name__ if isinstance(model, nn.Module) else model
    if not isinstance(model, nn.Module):
        with warnings.catch_warnings():
            # Of a file that it then refuses; the error says enough.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            model = zoo.load(zoo.DEFAULT if model is None else model, stems=stems)
    for attribute in ("sources", "sample_rate", "in_channels"):
        if not hasattr(model, attribute):
            raise UserError(
                f"{name}: not a music separator of this package, it has no {attribute!r}; "
                "choose another model"
            )
    return model


def _graphs(model: nn.Module, device: torch.device) -> GraphedCall | None:
    """CUDA graphs of what lies between the transforms; None, and a warning, where there are none.

    The inverse STFT looks at its window on the CPU, and a graph can't.
    """
    if device.type != "cuda":
        obstacle = f"they need an NVIDIA GPU, and this is {device.type}"
    elif not hasattr(type(model), "estimate_spectrogram"):
        obstacle = f"{type(model).__name__} has no estimate_spectrogram to record"
    else:
        return GraphedCall(model, "estimate_spectrogram")
    warnings.warn(f"no CUDA graphs: {obstacle}", stacklevel=3)
    return None


def _stride(model: nn.Module) -> int:
    """Hop in samples of the model's encoder, or of the first one of those it consists of."""
    for module in model.modules():
        stride = getattr(getattr(module, "filterbank", None), "stride", None)
        if stride is not None:
            return int(stride)
    raise UserError(f"shifts: {type(model).__name__} has no filterbank to shift; leave it at 1")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode as long as it takes, also for a model in the midst of its training."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _as_tensor(mixture: torch.Tensor | np.ndarray) -> torch.Tensor:
    """One recording as a tensor; whatever else it is gets refused."""
    if isinstance(mixture, np.ndarray):
        # Torch takes no reversed views or foreign byte orders, and warns of read-only memory.
        mixture = np.require(mixture, mixture.dtype.newbyteorder("="), ["C", "W"])
    try:
        waveform = torch.as_tensor(mixture)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"the mixture must be a tensor or an array of numbers: {error}") from error
    if waveform.ndim not in (1, 2) or not waveform.is_floating_point():
        raise UserError(
            "the mixture must be floating point of shape (channels, time) or (time,), got "
            f"{waveform.dtype} of shape {tuple(waveform.shape)}; divide integer samples by their "
            "full scale"
        )
    if waveform.numel() == 0:
        raise UserError("the mixture has no samples")
    if not torch.isfinite(waveform).all():
        raise UserError("the mixture holds NaN or infinite samples")
    return waveform


def _whole_rate(sample_rate: int) -> int:
    if not (math.isfinite(sample_rate) and sample_rate >= 1 and sample_rate == int(sample_rate)):
        raise UserError(f"sample_rate must be a whole number of hertz above 0, got {sample_rate}")
    return int(sample_rate)
