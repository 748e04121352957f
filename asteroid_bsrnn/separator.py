"""`Separator`: stems of recordings in memory and of files of any length."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from . import files, inference, zoo
from .audio import resample_blocks
from .errors import UserError

Progress = Callable[[int, int], None]

_PRECISIONS = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}


class Separator:
    """Separate music with a pretrained network.

    Recordings may have any length, sample rate and number of channels: they are resampled to the
    network's rate and back, cut into chunks, and separated by pairs of channels (a single channel
    as mono). Stems have the rate, length, channels and level of the recording.

    Args:
        model: a model (its weights are used as they are), the name of pretrained weights, or a
            file or URL of them. None means the weights that ship with the package.
        segment: seconds of a chunk; None takes the whole recording at once.
        overlap: length of the cross-fade between chunks, as a share of the segment.
        hop: seconds from one chunk to the next; other than None, chunks are averaged where they
            overlap (overlap-add) instead of cross-faded.
        batch_size: number of chunks that the network gets at once; None means 1 on a CPU and 4
            elsewhere.
        device: "auto" takes a GPU where there is one; else "cpu", "cuda", "cuda:1", "mps", ...
        precision: "32", "bf16" or "16": of the network; its STFT is always computed in float32.

    Attributes:
        model: the network.
        sources: names of the stems, in order.
        sample_rate: of the network, in hertz.
        device: where it runs.

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
        precision: str | int = "32",
    ):
        self.device = resolve_device(device)
        if str(precision) not in _PRECISIONS:
            raise UserError(f"unknown precision {precision!r}; valid: {', '.join(_PRECISIONS)}")
        self._dtype = _PRECISIONS[str(precision)]
        if batch_size is not None and batch_size < 1:
            raise UserError(f"batch_size must be at least 1, got {batch_size}")
        self.batch_size = batch_size or (1 if self.device.type == "cpu" else 4)
        if not isinstance(model, nn.Module):
            model = zoo.load(zoo.DEFAULT if model is None else model)
        self.model = model.to(self.device).eval()
        self.sources: tuple[str, ...] = tuple(model.sources)
        self.sample_rate = int(model.sample_rate)
        self._network = inference.any_channels(self._forward, model.in_channels)
        self._schedule = inference.make_schedule(segment, overlap, hop, self.sample_rate)

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
        waveform = torch.as_tensor(mixture)
        _check_mixture(waveform)
        rate = self.sample_rate if sample_rate is None else int(sample_rate)
        length = waveform.shape[-1]
        flat = waveform.reshape(-1, length).detach()
        if rate == self.sample_rate:
            blocks = self._stems([flat], progress, length, rate)
            stems = torch.cat([block.to(waveform.device) for block in blocks], dim=-1)
        else:
            array = flat.cpu().float().numpy()
            blocks = resample_blocks([array], rate, self.sample_rate)
            blocks = self._stems(map(torch.from_numpy, blocks), progress, length, rate)
            arrays = (block.flatten(0, 1).cpu().float().numpy() for block in blocks)
            parts = list(resample_blocks(arrays, self.sample_rate, rate, frames=length))
            stems = torch.from_numpy(np.concatenate(parts, axis=-1)).to(waveform.device)
            stems = stems.unflatten(0, (len(self.sources), -1))
        stems = stems.to(waveform.dtype).reshape(len(self.sources), *waveform.shape)
        if isinstance(mixture, np.ndarray):
            stems = stems.numpy()
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
        overwrite: bool = False,
        track: str | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Path]:
        """Separate a file, from disk to disk, in bounded memory.

        Args:
            path: an audio file; ffmpeg reads what soundfile can't.
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
            overwrite: whether existing stems are replaced.
            track: name of the track's folder; None means the file's name.
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
            overwrite=overwrite,
            track=track,
        )
        rate = job.audio.sample_rate
        blocks = resample_blocks(job.audio.blocks(), rate, self.sample_rate)
        estimates = self._stems(map(torch.from_numpy, blocks), progress, job.frames, rate)
        arrays = (block.cpu().float().numpy() for block in estimates)
        return files.write(job, arrays, self.sample_rate)

    def _stems(self, blocks, progress: Progress | None, total: int, rate: int):
        """Estimated blocks (sources, channels, n) at the network's rate."""
        done = 0
        for block in inference.separate_blocks(
            self._network, blocks, self._schedule, batch_size=self.batch_size
        ):
            yield block
            done += block.shape[-1]
            if progress is not None:
                progress(min(-(-done * rate // self.sample_rate), total), total)

    def _forward(self, chunks: torch.Tensor) -> torch.Tensor:
        """The network on its device, in the wanted precision."""
        enabled = self._dtype is not None
        with torch.autocast(self.device.type, dtype=self._dtype, enabled=enabled):
            return self.model(chunks.to(self.device))


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
    except RuntimeError as error:
        raise UserError(f"unknown device {device!r}; valid: auto, cpu, cuda, mps") from error
    if resolved.type == "cuda" and (resolved.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device {device!r}: torch finds no such CUDA device here; use --device cpu or auto"
        )
    if resolved.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(f"device {device!r}: torch finds no MPS here; use --device cpu or auto")
    return resolved


def _check_mixture(mixture: torch.Tensor) -> None:
    """Refuse what is not one recording."""
    if mixture.ndim not in (1, 2) or not mixture.is_floating_point():
        raise UserError(
            "the mixture must be floating point of shape (channels, time) or (time,), got "
            f"{mixture.dtype} of shape {tuple(mixture.shape)}"
        )
    if mixture.numel() == 0:
        raise UserError("the mixture has no samples")
    if not torch.isfinite(mixture).all():
        raise UserError("the mixture holds NaN or infinite samples")
