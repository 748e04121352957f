"""How the package becomes part of Asteroid: its registries, and its `separate` functions.

Asteroid's own `torch_separate` rescales all estimates together to the level of the mixture, and
its `file_separate` takes the first channel only. Both are wrapped: this project's models are
separated with their level and channels, every other model goes to Asteroid's function unchanged.
"""

from __future__ import annotations

import functools
import warnings
from contextlib import closing
from pathlib import Path

import asteroid_filterbanks
import torch
from asteroid import models
from asteroid import separate as asteroid_separate

from .audio import AudioFile, default_subtype, resample_blocks
from .audio import stems as files
from .filterbank import FFTSTFTFB
from .models import BSCNN, BSRNN, PerSourceSeparator, SourceModel
from .peers import AsteroidPeer, OpenUnmixPeer, SpleeterPeer, XUMXPeer
from .separation.chunks import CrossFade, any_channels, separate_blocks


def register() -> None:
    """Make the models, the filterbank and stereo separation known to Asteroid, once.

    Where the package was imported before and is imported afresh, its new classes and functions
    take the place of the old ones.
    """
    own = (BSRNN, BSCNN, PerSourceSeparator)
    peers = (AsteroidPeer, OpenUnmixPeer, SpleeterPeer, XUMXPeer)
    for model_class in own + peers:
        if _is_free_for(model_class, models):
            models.register_model(model_class)
    if _is_free_for(FFTSTFTFB, asteroid_filterbanks):
        asteroid_filterbanks.register_filterbank(FFTSTFTFB)
        asteroid_filterbanks.fft_stft = FFTSTFTFB
    for function in (torch_separate, file_separate):
        original = getattr(asteroid_separate, function.__name__)
        # Asteroid's functions have a `__wrapped__` of their own; ours are known by where they
        # were defined, which no decorator copies.
        if getattr(original, "__globals__", {}).get("__name__") == __name__:
            original = original.__wrapped__
        setattr(asteroid_separate, function.__name__, _for_source_models(function, original))


def _is_free_for(new: type, registry) -> bool:
    """Whether a class is yet to be registered; an earlier import's class makes room for it."""
    registered = getattr(registry, new.__name__, None)
    if registered is not None and registered is not new and registered.__module__ == new.__module__:
        delattr(registry, new.__name__)
        return True
    return registered is None


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

    Files of any length are separated in bounded memory. Estimates have the level of the file and
    its depth; samples that they have beyond full scale are cut off where the depth is not float.

    Args:
        model: a model of this project.
        filename: an audio file.
        output_dir: where the estimates go; None means beside the file.
        force_overwrite: whether existing estimates are replaced.
        resample: whether a file of another sample rate is resampled, and its estimates back.
        **kwargs: handed to `model.forward_wav`.

    Raises:
        RuntimeError: if the sample rate differs and `resample` is false, as Asteroid does.
        UserError: if the file can't be read or the estimates can't be written.
    """
    source_path = Path(filename)
    directory = Path(output_dir) if output_dir is not None else source_path.parent
    paths = {
        source: directory / f"{source_path.stem}_est{index}.wav"
        for index, source in enumerate(model.sources, start=1)
    }
    first = next(iter(paths.values()))
    if first.is_file() and not force_overwrite:
        warnings.warn(
            f"File {first} already exists, pass `force_overwrite=True` to overwrite it",
            UserWarning,
            stacklevel=3,
        )
        return
    audio = AudioFile(source_path)
    rate, model_rate = audio.sample_rate, int(model.sample_rate)
    if rate != model_rate and not resample:
        raise RuntimeError(
            f"Received a signal with a sampling rate of {rate}Hz for a model of {model_rate}Hz. "
            "You can pass `resample=True` to resample automatically."
        )

    def network(chunks: torch.Tensor) -> torch.Tensor:
        estimates = torch_separate(model, chunks, **kwargs)
        return estimates if estimates.ndim == 4 else estimates.unsqueeze(2)

    job = files.Job(
        audio=audio,
        frames=files.count_frames(audio),
        paths=paths,
        estimated={source: index for index, source in enumerate(model.sources)},
        complement=None,
        format="wav",
        subtype=default_subtype("wav", audio.subtype),
        clip="none",
    )
    with closing(audio.blocks()) as blocks:
        estimates = separate_blocks(
            any_channels(network, model.in_channels),
            map(torch.from_numpy, resample_blocks(blocks, rate, model_rate)),
            CrossFade(10.0, 0.1, model_rate),
        )
        files.write(job, (estimate.numpy() for estimate in estimates), model_rate)
