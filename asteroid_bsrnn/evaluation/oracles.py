"""Reference points: the mixture as an estimate, and oracle masks from the references.

The mixture is a lower bound for useful networks. Oracle masks are an upper bound for networks that
mask a spectrogram. All are computed over whole tracks.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from ..errors import UserError
from ..filterbank import FFTSTFTFB
from .scores import scaled_mixture

# Number of frames per block of the Wiener filter, whose matrices are much larger than the signal.
_BLOCK = 128
# Size and hop of the STFT of the masks in samples.
_N_FILTERS, _STRIDE = 2048, 512


class Oracle:
    """Separator for `evaluate` that also receives the references.

    Args:
        name: one of `names()`.
        sources: names of the stems of a track, in order.
        sample_rate: in hertz.

    Attributes:
        settings: settings that the estimates depend on.

    Raises:
        UserError: for an unknown name, or if norbert is missing.
    """

    def __init__(self, name: str, sources: Sequence[str], sample_rate: float = 44100):
        if name not in names():
            raise UserError(f"unknown oracle {name!r}; valid: {', '.join(names())}")
        if name == "oracle_wiener":
            _import_norbert()
        self.name, self.sources, self.sample_rate = name, tuple(sources), sample_rate
        self.settings: dict = {"oracle": name}
        self._filterbank = None
        if name in _MASKS:
            self.settings.update(n_filters=_N_FILTERS, stride=_STRIDE)
            self._filterbank = FFTSTFTFB(_N_FILTERS, _N_FILTERS, _STRIDE, sample_rate=sample_rate)

    def separate_track(self, track: Mapping) -> dict[str, torch.Tensor]:
        """Return estimates of all sources: source -> (channels, time).

        `track` has `mixture` (channels, time), and `stems` or, without these, `sources` (stems,
        channels, time).
        """
        mixture, references = track["mixture"], track.get("stems", track["sources"])
        if self._filterbank is None:
            estimates = _WAVEFORMS[self.name][0](mixture, references)
        else:
            length = mixture.shape[-1]
            missing = max(0, self._filterbank.n_filters // 2 + 1 - length)
            pair = [torch.nn.functional.pad(s, (0, missing)) for s in (mixture, references)]
            spectrograms = [self._filterbank.stft(signal) for signal in pair]
            estimated = _MASKS[self.name][0](*spectrograms)
            estimates = self._filterbank.istft(estimated, length + missing)[..., :length]
        return dict(zip(self.sources, estimates, strict=True))


def names() -> list[str]:
    """Return the names of all reference points, the weakest first."""
    return [*_WAVEFORMS, *_MASKS]


def description(name: str) -> str:
    """Return a short description of a reference point."""
    return {**_WAVEFORMS, **_MASKS}[name][1]


def ratio_mask(mixture: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Apply the ideal ratio mask: each source's share of the sum of all sources' magnitudes.

    From the complex mixture (C, F, T) and sources (S, C, F, T) to (S, C, F, T).
    """
    magnitudes = sources.abs()
    return mixture * magnitudes / magnitudes.sum(dim=0).clamp_min(1e-12)


def wiener_filter(mixture: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Apply norbert's multichannel Wiener filter of the sources' own powers and covariances.

    Shapes are those of `ratio_mask`.
    """
    norbert = _import_norbert()
    # norbert's order is (frames, bins, channels).
    mix = mixture.permute(2, 1, 0).numpy()
    powers = np.empty((*mix.shape[:2], len(sources)), np.float32)
    covariances = np.empty((mix.shape[1], mix.shape[2], mix.shape[2], len(sources)), complex)
    for index, source in enumerate(sources):
        spectrogram = source.permute(2, 1, 0).numpy().astype(complex)
        power, covariance = norbert.get_local_gaussian_model(spectrogram, eps=np.finfo(float).tiny)
        powers[..., index] = power
        covariances[..., index] = covariance[0]  # without the dimension of one frame
    # A little noise makes the matrices of silent bins invertible.
    noise = 1e-10 * max(float(powers.max()), 1e-20) * np.eye(mix.shape[-1])
    estimates = np.empty((len(sources), *mix.shape), np.complex64)
    for start in range(0, len(mix), _BLOCK):
        part = slice(start, start + _BLOCK)
        power = powers[part].astype(float)
        inverse = np.linalg.inv(norbert.get_mix_model(power, covariances) + noise)
        for index in range(len(sources)):
            gain = norbert.wiener_gain(power[..., index], covariances[..., index], inverse)
            estimates[index, part] = norbert.apply_filter(mix[part].astype(complex), gain)
    return torch.from_numpy(estimates).permute(0, 3, 2, 1)


def complex_mask(mixture: torch.Tensor, sources: torch.Tensor) -> torch.Tensor:
    """Apply the ideal complex mask, source over mixture, with its magnitude limited to 1.

    Without the limit the estimate would equal the source. Shapes are those of `ratio_mask`.
    """
    # A source louder than the mixture keeps its phase and gets the mixture's magnitude.
    limit = mixture.abs() / sources.abs().clamp_min(1e-12)
    return sources * limit.clamp_max(1)


def _mixture(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    return mixture.expand(len(references), -1, -1)


# From the name of a reference point to its function and its description, the weakest first.
_WAVEFORMS: dict[str, tuple[Callable, str]] = {
    "mixture": (_mixture, "the mixture as the estimate of every source"),
    "scaled_mixture": (
        scaled_mixture,
        "the mixture, scaled by the best factor for each track and source",
    ),
}
_MASKS: dict[str, tuple[Callable, str]] = {
    "oracle_ratio_mask": (ratio_mask, "ideal ratio mask of magnitudes"),
    "oracle_wiener": (wiener_filter, "multichannel Wiener filter of the true sources"),
    "oracle_complex_mask": (complex_mask, "ideal complex mask of magnitude at most 1"),
}


def _import_norbert():
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of a place in scipy
            import norbert
    except ImportError as error:
        raise UserError(
            f"norbert cannot be imported ({error}); run 'pip install asteroid-bsrnn[compare]'"
        ) from error
    return norbert
