"""How the package becomes part of Asteroid: its registries, and its `separate` functions.

Asteroid's own `torch_separate` rescales all estimates together to the level of the mixture, and
its `file_separate` takes the first channel only. Both are wrapped: this project's models are
separated with their level and channels, every other model goes to Asteroid's function unchanged.
"""

from __future__ import annotations

import functools
import warnings
from pathlib import Path

import asteroid_filterbanks
import numpy as np
import soundfile
import torch
from asteroid import models
from asteroid import separate as asteroid_separate

from .audio import AudioFile, resample_blocks
from .errors import UserError
from .filterbank import FFTSTFTFB
from .inference import CrossFade, any_channels, separate
from .models import BSCNN, BSRNN, PerSourceSeparator, SourceModel


def register() -> None:
    """Make the models, the filterbank and stereo separation known to Asteroid, once."""
    for model_class in (BSRNN, BSCNN, PerSourceSeparator):
        if getattr(models, model_class.__name__, None) is None:
            models.register_model(model_class)
    if getattr(asteroid_filterbanks, FFTSTFTFB.__name__, None) is None:
        asteroid_filterbanks.register_filterbank(FFTSTFTFB)
        asteroid_filterbanks.fft_stft = FFTSTFTFB
    for own in (torch_separate, file_separate):
        original = getattr(asteroid_separate, own.__name__)
        if not hasattr(original, "__wrapped__"):
            setattr(asteroid_separate, own.__name__, _for_source_models(own, original))


def _for_source_models(own, original):
    """`own` for this project's models, `original` for all others."""

    @functools.wraps(original)
    def dispatch(model, *args, **kwargs):
        return (own if isinstance(model, SourceModel) else original)(model, *args, **kwargs)

    return dispatch


@torch.no_grad()
def torch_separate(model: SourceModel, wav: torch.Tensor, **kwargs) -> torch.Tensor:
    """Estimates at the mixture's level, on the mixture's device.

    Args:
        model: a model of this project.
        wav: (time,), (batch, time) or (batch, channels, time), at the model's sample rate.
        **kwargs: handed to `model.forward_wav`.

    Returns:
        (sources, time), (batch, sources, time) or (batch, sources, channels, time); the channels
        of a mono mixture are left out, as everywhere in Asteroid.
    """
    device = next(model.parameters()).device
    return model.forward_wav(wav.to(device), **kwargs).to(wav.device)


def file_separate(
    model: SourceModel,
    filename: str,
    output_dir: str | None = None,
    force_overwrite: bool = False,
    resample: bool = False,
    **kwargs,
) -> None:
    """Write every estimate of a file as `<name>_est<i>.wav`, with all of its channels.

    Args:
        model: a model of this project.
        filename: an audio file.
        output_dir: where the estimates go; None means beside the file.
        force_overwrite: whether existing estimates are replaced.
        resample: whether a file of another sample rate is resampled, and its estimates back.
        **kwargs: handed to `model.forward_wav`.

    Raises:
        RuntimeError: if the sample rate differs and `resample` is false, as Asteroid does.
    """
    source_path = Path(filename)
    directory = Path(output_dir) if output_dir is not None else source_path.parent
    paths = [
        directory / f"{source_path.stem}_est{index}.wav"
        for index in range(1, len(model.sources) + 1)
    ]
    if paths[0].is_file() and not force_overwrite:
        warnings.warn(
            f"File {paths[0]} already exists, pass `force_overwrite=True` to overwrite it",
            UserWarning,
            stacklevel=2,
        )
        return
    audio = AudioFile(source_path)
    rate, model_rate = audio.sample_rate, int(model.sample_rate)
    if rate != model_rate and not resample:
        raise RuntimeError(
            f"Received a signal with a sampling rate of {rate}Hz for a model of {model_rate}Hz. "
            "You can pass `resample=True` to resample automatically."
        )
    mixture = audio.read()
    length = mixture.shape[-1]
    at_model_rate = np.concatenate(list(resample_blocks([mixture], rate, model_rate)), axis=-1)

    def network(chunks: torch.Tensor) -> torch.Tensor:
        estimates = torch_separate(model, chunks, **kwargs)
        return estimates if estimates.ndim == 4 else estimates.unsqueeze(2)

    estimates = separate(
        any_channels(network, model.in_channels),
        torch.from_numpy(at_model_rate),
        CrossFade(10.0, 0.1, model_rate),
    )
    if not directory.is_dir():
        raise UserError(f"{directory}: no such directory; make it first")
    for path, estimate in zip(paths, estimates.numpy(), strict=True):
        blocks = resample_blocks([estimate], model_rate, rate, frames=length)
        soundfile.write(path, np.concatenate(list(blocks), axis=-1).T, rate)
