"""The base class of all models: checked input and arguments, named sources, Asteroid's methods."""

from __future__ import annotations

import functools
import inspect
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from asteroid.models import BaseModel
from asteroid.utils.torch_utils import script_if_tracing
from torch.nn import functional as F

from ..audio import stems
from ..errors import UserError, check_channels
from ..memory import one_thread
from ..options import FileOptions
from ..separation.chunks import CrossFade, any_channels, separate_blocks


class SourceModel(BaseModel):
    """A model with named sources: (batch, channels, time) -> (batch, sources, channels, time).

    It extends Asteroid's `BaseModel`. Its `separate` methods keep level and channels. Files of its
    weights load under `torch.load(weights_only=True)`.

    Args:
        sources: names of the estimated sources, in order.
        sample_rate: in hertz.
        in_channels: number of channels that the model needs; None for any number.

    Attributes:
        suits_bfloat16: whether the estimates of this kind of network in bfloat16 have been
            measured to stay within -45 dB of those in float32 (`benchmarks/precision.py`).
    """

    suits_bfloat16 = False

    def __init__(self, sources, sample_rate: float, in_channels: int | None):
        super().__init__(sample_rate=sample_rate, in_channels=in_channels)
        if in_channels is not None:
            check_positive(in_channels=in_channels)
        self.sources = check_sources(sources)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Estimate the sources of a mixture.

        Args:
            wav: (batch, channels, time), or mono as (batch, time) or (time,).

        Returns:
            (batch, sources, channels, time), (batch, sources, time) or (sources, time), with the
            length, device and precision of `wav`.

        Raises:
            ValueError: if `wav` is empty, not floating point, of another shape, has more channels
                than samples or more than 64 channels, or does not have the number of channels
                that the model needs.
        """
        return like_input(self.forward_with_spectrogram(wav)[0].to(wav.dtype), wav)

    def forward_with_spectrogram(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate the sources of the mixture of `forward` and their spectrograms.

        Returns:
            Waveforms (batch, sources, channels, time) and spectrograms (batch, sources, channels,
            2 * bins, frames) with real and imaginary parts stacked, both in float32 at least.
        """
        raise NotImplementedError

    def forward_wav(self, wav: torch.Tensor) -> torch.Tensor:
        """Estimate the sources as Asteroid does: mono estimates have no channel dimension."""
        estimates = self(wav)
        return estimates.squeeze(2) if wav.ndim == 3 and wav.shape[1] == 1 else estimates

    @classmethod
    def from_pretrained(cls, pretrained_model_conf_or_path, *args, **kwargs):
        """Build a model from the result of `serialize`, or from a file, URL or hub name of it.

        The dict is not modified. Further arguments are passed to the constructor; those by keyword
        replace the stored ones.
        """
        conf = pretrained_model_conf_or_path
        if isinstance(conf, os.PathLike):
            conf = os.fspath(conf)
        if isinstance(conf, dict):
            conf = {**conf, "model_args": dict(conf.get("model_args", {}))}
        return super().from_pretrained(conf, *args, **kwargs)

    @one_thread()
    def load_state_dict(self, *args, **kwargs):
        """Load parameters as `nn.Module` does, in one thread, so that a process may fork later."""
        return super().load_state_dict(*args, **kwargs)

    def serialize(self) -> dict:
        """Return the model as a dict of plain types and tensors, for `torch.save`."""
        versions = {"torch_version": str(torch.__version__)}
        for package in ("pytorch-lightning", "asteroid"):
            versions[package.replace("-", "_") + "_version"] = version(package)
        infos = {"software_versions": versions}
        return {
            "model_name": type(self).__name__,
            "state_dict": self.get_state_dict(),
            "model_args": self.get_model_args(),
            "infos": infos,
        }

    def describe(self) -> dict:
        """Return what `build_network` builds the model from, as plain types."""
        return {"model_name": type(self).__name__, "model_args": self.get_model_args()}

    def get_model_args(self) -> dict:
        """Return every argument of the constructor, as plain types."""
        return dict(self.model_args)

    # Asteroid's own `separate` methods rescale all estimates to the level of the mixture and read
    # only the first channel of a file. These keep level and channels.

    def separate(
        self, wav, output_dir=None, force_overwrite: bool = False, resample: bool = False, **kwargs
    ):
        """Separate a tensor, an array or a file by the method for it, whose arguments it takes.

        Returns:
            Estimates of the type of `wav`; None for a file.

        Raises:
            ValueError: `wav` has another type.
        """
        if isinstance(wav, (str, os.PathLike)):
            return self.file_separate(wav, output_dir, force_overwrite, resample, **kwargs)
        if isinstance(wav, np.ndarray):
            return self.numpy_separate(wav, **kwargs)
        if isinstance(wav, torch.Tensor):
            return self.torch_separate(wav, **kwargs)
        raise ValueError(
            f"Only support filenames, numpy arrays and torch tensors, received {type(wav)}"
        )

    @torch.no_grad()
    def torch_separate(self, wav: torch.Tensor, **kwargs) -> torch.Tensor:
        """Return estimates at the level of the mixture, on its device.

        Args:
            wav: (time,), (batch, time) or (batch, channels, time), at the model's sample rate.
            **kwargs: passed to `forward_wav`.

        Returns:
            (sources, time), (batch, sources, time) or (batch, sources, channels, time). As
            everywhere in Asteroid, estimates of a mono mixture have no channel dimension.
        """
        device = next(self.parameters()).device
        return self.forward_wav(wav.to(device), **kwargs).to(wav.device)

    def numpy_separate(self, wav: np.ndarray, **kwargs) -> np.ndarray:
        """Return what `torch_separate` returns, for an array."""
        return self.torch_separate(torch.from_numpy(wav), **kwargs).numpy()

    def file_separate(
        self,
        filename: str | os.PathLike,
        output_dir: str | os.PathLike | None = None,
        force_overwrite: bool = False,
        resample: bool = False,
        **kwargs,
    ) -> None:
        """Write the estimates of a file as `<name>_est<i>.wav`, with all of its channels.

        The file is separated in chunks, so that memory use does not depend on its length.
        Estimates have the level and depth of the file; they are clipped at full scale unless the
        depth is float.

        Args:
            filename: an audio file.
            output_dir: folder of the estimates; None means that of the file.
            force_overwrite: whether to replace existing estimates. If false, nothing is separated
                where one exists, and a warning says so.
            resample: whether to resample a file of another sample rate, and its estimates back.
            **kwargs: passed to `forward_wav`.

        Raises:
            RuntimeError: the sample rate differs and `resample` is false.
            UserError: the file cannot be read or the estimates cannot be written.
        """
        source = Path(filename)
        directory = source.parent if output_dir is None else Path(output_dir)
        names = [f"{source.stem}_est{i}.wav" for i in range(1, len(self.sources) + 1)]
        existing = [directory / name for name in names if (directory / name).is_file()]
        if existing and not force_overwrite:
            warnings.warn(
                f"File {existing[0]} already exists, pass `force_overwrite=True` to overwrite it",
                UserWarning,
                stacklevel=3,
            )
            return
        options = FileOptions(
            clip="none",
            overwrite=force_overwrite,
            track=source.stem,
            file_name="{track}_est{index}.{format}",
        )
        job = stems.plan(filename, directory, self.sources, options)
        rate, model_rate = job.audio.sample_rate, int(self.sample_rate)
        if rate != model_rate and not resample:
            raise RuntimeError(
                f"Received a signal with a sampling rate of {rate}Hz for a model of {model_rate}Hz."
                " You can pass `resample=True` to resample automatically."
            )

        def network(chunks: torch.Tensor) -> torch.Tensor:
            estimates = self.torch_separate(chunks, **kwargs)
            return estimates if estimates.ndim == 4 else estimates.unsqueeze(2)

        def estimate(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
            schedule = CrossFade(10.0, 0.1, model_rate)
            pairwise = any_channels(network, self.in_channels)
            for block in separate_blocks(pairwise, map(torch.from_numpy, blocks), schedule):
                yield block.numpy()

        stems.separate(job, estimate, model_rate)


# --- input and output, as in Asteroid's own models and in traced ones ----------------------------


def as_mixture(waveform: torch.Tensor, in_channels: int | None) -> torch.Tensor:
    """Check a mixture of `in_channels` channels (None: any number) and return it as (B, C, L).

    Raises:
        ValueError: with the shape that was given and the right one.
    """
    if not waveform.is_floating_point() or waveform.dim() not in (1, 2, 3):
        raise ValueError(
            "a mixture must be floating point of shape (batch, channels, time), (batch, time) or "
            f"(time,), got {waveform.dtype} of shape {tuple(waveform.shape)}"
        )
    if not torch.jit.is_tracing():  # sizes are tensors then, and a check would freeze them
        _check_shape(tuple(waveform.shape), in_channels)
    return batch_channels_time(waveform)


def _check_shape(shape: tuple[int, ...], in_channels: int | None) -> None:
    """Refuse the shape of an empty or transposed mixture or of a wrong number of channels."""
    if 0 in shape:
        raise ValueError(f"the mixture is empty: its shape is {shape}")
    if len(shape) == 2 and shape[0] > shape[1]:
        raise UserError(
            f"the mixture of shape {shape} is a batch of {shape[0]} mono recordings of {shape[1]} "
            "sample(s); transpose: (channels, time), and pass it as (batch, channels, time)"
        )
    if len(shape) == 3:
        check_channels(shape, "the mixture")
    n_channels = shape[1] if len(shape) == 3 else 1
    if in_channels not in (None, n_channels):
        raise ValueError(
            f"this model needs {in_channels} channels but the mixture has {n_channels}; "
            "pass it as (batch, channels, time)"
        )


@script_if_tracing
def batch_channels_time(waveform: torch.Tensor) -> torch.Tensor:
    """Return (time,) and (batch, time) as mono (batch, 1, time), and three dimensions as given."""
    if waveform.dim() == 1:
        return waveform.reshape(1, 1, -1)
    if waveform.dim() == 2:
        return waveform.unsqueeze(1)
    return waveform


@script_if_tracing
def like_input(estimates: torch.Tensor, waveform: torch.Tensor) -> torch.Tensor:
    """Drop the dimensions of (batch, sources, channels, time) that `waveform` does not have."""
    if waveform.dim() == 1:
        return estimates[0, :, 0]
    if waveform.dim() == 2:
        return estimates[:, :, 0]
    return estimates


@script_if_tracing
def at_least(waveform: torch.Tensor, length: int) -> torch.Tensor:
    """Pad `waveform` with zeros at its end to `length` samples, if it is shorter."""
    missing = length - waveform.shape[-1]
    if missing > 0:
        waveform = F.pad(waveform, (0, missing))
    return waveform


# --- arguments of constructors --------------------------------------------------------------------


def records_arguments(init: Callable) -> Callable:
    """Record the arguments of a keyword-only `__init__` in `self.model_args`, as plain types.

    They include the defaults; Asteroid builds the model again from them. The decorated
    constructor raises a `TypeError` that lists the valid names for a positional or an unknown
    argument.
    """
    names = list(inspect.signature(init).parameters)[1:]
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(init).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }

    @functools.wraps(init)
    def wrapper(self, *args, **kwargs):
        unknown = [name for name in kwargs if name not in names]
        if args or unknown:
            wrong = f"unknown argument {unknown[0]!r}" if unknown else "positional arguments"
            raise TypeError(f"{type(self).__name__}: {wrong}; by keyword only: {', '.join(names)}")
        init(self, **kwargs)
        self.model_args = {name: plain(value) for name, value in {**defaults, **kwargs}.items()}

    return wrapper


def plain(value: Any) -> Any:
    """Convert tuples to lists and NumPy numbers and arrays to Python's, at every level.

    Files that contain only such types load under `torch.load(weights_only=True)`.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        ValueError: with the name, the value and the choices.
    """
    choices = list(choices)
    if value not in choices:
        valid = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"unknown {name} {value!r}; valid: {valid}")


def check_positive(**values: int) -> None:
    """Refuse values that are not whole numbers of at least 1.

    Raises:
        ValueError: with the name and the value.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_sources(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the sources as a tuple.

    Raises:
        ValueError: if there is no name, or a name is empty, not a string or repeated.
    """
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    if not sources or not all(isinstance(name, str) and name for name in sources):
        raise ValueError(f"sources must be one or more names, got {sources!r}")
    if len(set(sources)) < len(sources):
        raise ValueError(f"sources must differ from each other, got {sources!r}")
    return sources
