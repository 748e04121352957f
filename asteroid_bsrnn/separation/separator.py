"""`Separator`: stems of recordings in memory and of files of any length."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import nn

from .. import zoo
from ..audio import resample_blocks
from ..audio import stems as files
from ..errors import UserError, check_channels
from ..kernels import has_bfloat16
from ..memory import release_kept_memory
from ..options import FileOptions
from ..progress import Progress
from . import chunks as inference
from .device import (
    TYPES,
    arriving,
    check_precision,
    graphs_of,
    resolve_device,
    resolve_precision,
    send,
)

# Arguments for scoring: scores must depend neither on the precision that a machine supports nor on
# its memory.
SCORING = {"precision": "32", "smaller_chunks": False}

_SHORTEST = 1.0
"""Length in seconds below which chunks are not halved if they do not fit in memory."""


class Separator:
    """A separator of music, based on a pretrained network.

    Recordings may have any length, sample rate and number of channels. They are resampled to the
    network's rate and back, cut into chunks, and separated in pairs of channels (a single channel
    as mono). Stems have the sample rate, length, channels and level of the recording.

    A separator can be pickled and copied; a copy has its own network. `separator.model = other`
    replaces the network, and `to` moves it to another device.

    Args:
        model: a model, the name of pretrained weights, a file or URL of them, or a bag of several
            (`zoo.load`). None means the weights that ship with the package. A model is moved to the
            device and runs in evaluation mode; afterwards it has the mode that it had before.
        segment: length of a chunk in seconds; None means the whole recording at once.
        overlap: length of the cross-fade between chunks, as a share of the segment.
        hop: distance between the starts of chunks in seconds. If given, chunks are averaged where
            they overlap (overlap-add), instead of cross-faded.
        batch_size: number of chunks in a batch; None means 1 on a CPU and 4 elsewhere.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps", ...
        precision: precision of the network: "32", "bf16", "16" or "auto"; its STFT is always
            computed in float32. "bf16" suits GPUs and CPUs that support it, "16" only GPUs. "auto"
            means "bf16" if the device supports it and the network stays within -45 dB of float32
            (`resolve_precision`), else "32".
        shifts: number of passes with shifted STFT frame grids whose estimates are averaged:
            slightly better, and `shifts` times slower.
        cuda_graphs: whether an NVIDIA GPU replays each batch as a CUDA graph; this uses more
            memory. A warning says so if it is not possible.
        stems: sources to estimate; None means all. Of pretrained weights with one network per
            source, only the networks needed are downloaded, built and run.
        smaller_chunks: whether to halve chunks, down to a second, if the first one does not fit in
            memory, instead of raising the error. A warning says so, and `settings` then contains
            the segment that fits.

    Attributes:
        model: the network.
        sources: names of the stems, in order.
        sample_rate: sample rate of the network, in hertz.
        device: device of the network.
        settings: inference settings that affect the estimates.

    Raises:
        UserError: the weights are unknown, or a value is out of its range.

    Example:
        >>> import torch
        >>> separator = Separator()
        >>> stems = separator.separate(torch.zeros(2, 22050), sample_rate=22050)
        >>> sorted(stems), tuple(stems["vocals"].shape)
        (['bass', 'drums', 'other', 'vocals'], (2, 22050))
    """

    def __init__(
        self,
        model: nn.Module | str | os.PathLike | zoo.Bag | None = None,
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
        self._device = resolve_device(device)
        check_precision(precision)
        if str(precision) == "bf16" and self._device.type == "cpu" and not has_bfloat16():
            warnings.warn(
                "precision bf16: this CPU does not compute in bfloat16; 32 is faster here",
                stacklevel=2,
            )
        for name, value in (("batch_size", batch_size), ("shifts", shifts)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UserError(f"{name} must be a whole number of at least 1, got {value}")
        self._asked = {
            "segment": segment,
            "overlap": overlap,
            "hop": hop,
            "precision": precision,
            "shifts": shifts,
        }
        self._asked_batch_size, self._stems = batch_size, stems
        self._cuda_graphs, self._smaller_chunks = cuda_graphs, smaller_chunks
        self.model = model

    @property
    def model(self) -> nn.Module:
        """The network; can be replaced by another model, or the name, file or URL of one."""
        return self._model

    @model.setter
    def model(self, model: nn.Module | str | os.PathLike | zoo.Bag | None) -> None:
        """Replace the network, and what follows from it: sources, sample rate and precision."""
        self._adopt(_load(model, self._stems))

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        tensors = chain(self._model.parameters(), self._model.buffers())
        return next((tensor.device for tensor in tensors), self._device)

    def to(self, device: str | torch.device) -> Separator:
        """Move the network to another device and return the separator itself.

        Raises:
            UserError: the device is unknown or does not exist.
        """
        self._device = resolve_device(device)
        self._adopt(self._model)
        return self

    def _adopt(self, model: nn.Module) -> None:
        """Use a model, with everything that follows from it, its device and the arguments."""
        sources = tuple(files.choose_stems(model.sources, self._stems))
        sample_rate = int(model.sample_rate)
        inference.any_channels(model, model.in_channels)  # refuses more than two
        if self._asked["shifts"] > 1:
            _stride(model)  # refuses a model without one
        precision = resolve_precision(self._asked["precision"], model, self._device)
        settings = {**self._asked, "precision": precision}
        self._schedule = inference.make_schedule(
            settings["segment"], settings["overlap"], settings["hop"], sample_rate
        )
        self.settings, self.sources, self.sample_rate = settings, sources, sample_rate
        self.batch_size = self._asked_batch_size or (1 if self._device.type == "cpu" else 4)
        self._model = model.to(self._device)
        self._graphs = graphs_of(model, self._device) if self._cuda_graphs else None

    def __getstate__(self) -> dict:
        """Return what a copy is made from. CUDA graphs cannot be copied."""
        return {**self.__dict__, "_graphs": None}

    def __setstate__(self, state: dict) -> None:
        """Take over a state, and record CUDA graphs anew if the original had them."""
        self.__dict__.update(state)
        if self._cuda_graphs and self.device.type == "cuda":
            self._graphs = graphs_of(self._model, self.device)

    def __call__(self, mixture, sample_rate: int | None = None, progress: Progress | None = None):
        """Return what `separate` returns."""
        return self.separate(mixture, sample_rate, progress)

    def separate(
        self,
        mixture: torch.Tensor | np.ndarray,
        sample_rate: int | None = None,
        progress: Progress | None = None,
    ) -> dict:
        """Separate a recording that is held in memory.

        Args:
            mixture: a floating-point tensor or array (channels, time) or (time,).
            sample_rate: sample rate of the mixture in hertz; None means that of the network.
            progress: called with the number of samples done and the total, at the mixture's rate.

        Returns:
            A dict from source to stem, each of the mixture's shape, type and device.

        Raises:
            UserError: the mixture is empty, has another shape or type, or holds NaN.
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
        progress: Progress | None = None,
        **options,
    ) -> dict[str, Path]:
        """Separate a file, from disk to disk, in bounded memory.

        Args:
            path: an audio or video file.
            output_directory: stems are written to `<output_directory>/<track>/<source>.<format>`.
                A stem gets its name only when it is complete.
            progress: called with the number of samples done and the total, at the file's rate.
            **options: `stems`, `two_stems`, `format`, `subtype`, `bitrate`, `clip`, `start`,
                `duration`, `audio_track`, `overwrite`, `skip_existing`, `track`, `keep` and
                `file_name`, as in `asteroid_bsrnn.options.FileOptions`, which has their defaults.

        Returns:
            A dict from stem to the path of its file.

        Raises:
            TypeError: an option is unknown.
            UserError: the file, the folder or an option is wrong; no incomplete file is left.
        """
        return self.run(self.plan(path, output_directory, FileOptions(**options)), progress)

    def plan(
        self, path: str | os.PathLike, output_directory: str | os.PathLike, options: FileOptions
    ) -> files.Job:
        """Check everything about a file that can be checked before `run` separates it.

        Arguments and errors are those of `separate_file`.
        """
        return files.plan(path, output_directory, self.sources, options)

    def run(self, job: files.Job, progress: Progress | None = None) -> dict[str, Path]:
        """Separate a planned file; progress, result and errors are those of `separate_file`."""

        def estimate(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            return self._estimates(blocks, progress, job.frames, job.audio.sample_rate)

        return files.separate(job, estimate, self.sample_rate)

    def _estimates(
        self, blocks: Iterable[np.ndarray], progress: Progress | None, total: int, rate: int
    ) -> Iterator[np.ndarray]:
        """Yield estimates (sources, channels, n) of blocks (channels, n), at the network's rate.

        Progress is reported in samples at `rate`, `total` of them.
        """
        done = reported = 0
        chunks = self._chunks()
        asked = dict(self.settings), self._schedule, self.batch_size

        def smaller(error: Exception) -> tuple[inference.Schedule, int] | None:
            attempt = self._smaller(total / rate)
            if attempt is None:
                # Nothing fits. The next recording, which may be mono, starts with the arguments.
                self.settings, self._schedule, self.batch_size = asked
            return attempt

        shifts = self.settings["shifts"]
        stride = _stride(self._model) if shifts > 1 else 1
        network = inference.shifted(self._forward, shifts, stride)
        estimated = inference.separate_blocks(
            inference.any_channels(network, self._model.in_channels),
            map(torch.from_numpy, blocks),
            self._schedule,
            batch_size=self.batch_size,
            smaller=smaller if self._smaller_chunks else None,
        )
        # A GPU separates the next batch while this one is resampled and written.
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
            if progress is not None and reported < reached < total:
                progress(reached, total)
                reported = reached
        if progress is not None:
            progress(total, total)

    def _chunks(self) -> str:
        """Return a description of what the network gets at once."""
        seconds = self.settings["segment"]
        length = "whole recordings" if seconds is None else f"chunks of {seconds:.4g} s"
        return f"{length}, {self.batch_size} at a time (--segment, --batch-size)"

    def _smaller(self, seconds: float) -> tuple[inference.Schedule, int] | None:
        """Return smaller chunks for a recording whose chunks did not fit in memory, or None.

        The batch size is reduced first, because it does not affect the estimates.
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
        """Run the network on its device, in the chosen precision, and select the stems."""
        device, dtype = self.device, TYPES[self.settings["precision"]]
        with (
            _evaluating(self._model),
            torch.autocast(device.type, dtype=dtype, enabled=dtype is not None),
            self._graphs.installed() if self._graphs else nullcontext(),
        ):
            estimates = self._model(send(chunks, device))
        release_kept_memory()
        rows = [list(self._model.sources).index(source) for source in self.sources]
        whole = rows == list(range(estimates.shape[1]))
        return estimates if whole else estimates[:, rows]


def _load(
    model: nn.Module | str | os.PathLike | zoo.Bag | None, stems: str | Sequence[str] | None
) -> nn.Module:
    """Return the model, loaded if need be, if it has what a separator needs."""
    name = type(model).__name__ if isinstance(model, nn.Module) else model
    if not isinstance(model, nn.Module):
        with warnings.catch_warnings():
            # torch warns about a file that it then refuses; the error is enough.
            warnings.filterwarnings("ignore", "Detected pickle protocol", UserWarning)
            model = zoo.load(zoo.DEFAULT if model is None else model, stems=stems)
    for attribute in ("sources", "sample_rate", "in_channels"):
        if not hasattr(model, attribute):
            raise UserError(
                f"{name}: not a music separator of this package, it has no {attribute!r}; "
                "choose another model"
            )
    return model


def _stride(model: nn.Module) -> int:
    """Return the hop in samples of the model's first filterbank."""
    for module in model.modules():
        stride = getattr(getattr(module, "filterbank", None), "stride", None)
        if stride is not None:
            return int(stride)
    raise UserError(f"shifts: {type(model).__name__} has no filterbank to shift; leave it at 1")


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and restore the modes of its modules afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _as_tensor(mixture: torch.Tensor | np.ndarray) -> torch.Tensor:
    """Return one recording as a tensor; refuse anything else."""
    if isinstance(mixture, np.ndarray):
        # torch refuses reversed views and foreign byte orders, and warns about read-only memory.
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
    if waveform.ndim == 2:
        check_channels(waveform.shape, "mixture")
    if not torch.isfinite(waveform).all():
        raise UserError("the mixture holds NaN or infinite samples")
    return waveform


def _whole_rate(sample_rate: int) -> int:
    if not (math.isfinite(sample_rate) and sample_rate >= 1 and sample_rate == int(sample_rate)):
        raise UserError(f"sample_rate must be a whole number of hertz above 0, got {sample_rate}")
    return int(sample_rate)
