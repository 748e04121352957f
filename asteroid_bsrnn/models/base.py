"""What every band-split model is: filterbank -> masker -> complex masking -> inverse filterbank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from os import PathLike, fspath

import torch
from asteroid.models import BaseModel
from asteroid_filterbanks.transforms import mul_c

from ..bands import BandTable, band_widths, default_table
from ..filterbank import FFTSTFTFB, Decoder, Encoder
from ..kernels import serves
from ..masknn import (
    BandSplit,
    BandSplitMasker,
    DualPathBlock,
    DualPathSeparator,
    FullBandAttention,
    MaskEstimator,
)
from .arguments import check_positive, check_sources
from .asteroid import SeparateMethods
from .shapes import at_least, batch_channels_time, check_mixture, like_input


class SourceModel(SeparateMethods, BaseModel):
    """A model with named sources: (batch, channels, time) -> (batch, sources, channels, time).

    Asteroid's `BaseModel`, with files that load under `torch.load(weights_only=True)`.

    Args:
        sources: names of the estimated sources, in order.
        sample_rate: in hertz.
        in_channels: number of channels that the model needs; None for any number.

    Attributes:
        suits_bfloat16: whether estimates in bfloat16 have been measured to stay within -45 dB of
            those in float32, for networks of this kind (`benchmarks/precision.py`).
    """

    suits_bfloat16 = False

    def __init__(self, sources, sample_rate: float, in_channels: int | None):
        super().__init__(sample_rate=sample_rate, in_channels=in_channels)
        self.sources = check_sources(sources)

    def forward(self, wav: torch.Tensor) -> torch.Tensor:
        """Estimate the sources of a mixture.

        Args:
            wav: (batch, channels, time), or mono as (batch, time) or (time,).

        Returns:
            (batch, sources, channels, time), (batch, sources, time) or (sources, time), of the
            same length, device and precision.

        Raises:
            ValueError: if `wav` is empty, no floating point, of another shape, or has a number of
                channels that is not the one that the model needs.
        """
        return like_input(self.forward_with_spectrogram(wav)[0].to(wav.dtype), wav)

    def forward_with_spectrogram(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate the sources, and give their spectrograms too, for losses on both.

        Args:
            wav: as in `forward`.

        Returns:
            Waveforms (batch, sources, channels, time) and spectrograms (batch, sources, channels,
            2 * bins, frames), real and imaginary parts stacked, in float32 at least.
        """
        check_mixture(wav, self.in_channels)
        mixture = batch_channels_time(wav)
        length = mixture.shape[-1]
        spectrogram = self.encoder(at_least(mixture, self.encoder.filterbank.n_filters // 2 + 1))
        estimates = self.estimate_spectrogram(spectrogram)
        if not serves(estimates):
            return self.decoder(estimates, length), estimates
        # One after the other they take less memory and, closer to the caches, no more time.
        waveforms = [self.decoder(source, length) for source in estimates.unbind(1)]
        return torch.stack(waveforms, dim=1), estimates

    def estimate_spectrogram(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """(B, C, 2F, T) of a mixture -> (B, S, C, 2F, T) of its sources."""
        raise NotImplementedError

    def forward_wav(self, wav: torch.Tensor) -> torch.Tensor:
        """`forward` for Asteroid's own functions: a mono mixture's estimates have no channels."""
        estimates = self(wav)
        return estimates.squeeze(2) if wav.ndim == 3 and wav.shape[1] == 1 else estimates

    @classmethod
    def from_pretrained(cls, pretrained_model_conf_or_path, *args, **kwargs):
        """Make a model from what `serialize` returned, or from a file, URL or hub name of it.

        Args:
            pretrained_model_conf_or_path: the dict (left as it is), a path, URL or name.
            *args: handed to the model.
            **kwargs: handed to the model, instead of the stored arguments.

        Returns:
            The model with its weights.
        """
        conf = pretrained_model_conf_or_path
        if isinstance(conf, PathLike):
            conf = fspath(conf)
        if isinstance(conf, dict):
            conf = {**conf, "model_args": dict(conf.get("model_args", {}))}
        return super().from_pretrained(conf, *args, **kwargs)

    def serialize(self) -> dict:
        """The model as a dict of plain types and tensors, for `torch.save`."""
        versions = {"torch_version": str(torch.__version__)}
        for package in ("pytorch-lightning", "asteroid"):
            versions[package.replace("-", "_") + "_version"] = version(package)
        return {
            "model_name": type(self).__name__,
            "state_dict": self.get_state_dict(),
            "model_args": self.get_model_args(),
            "infos": {"software_versions": versions},
        }

    def get_model_args(self) -> dict:
        """Every argument of the constructor, as plain types."""
        return dict(self.model_args)


class BandSplitModel(SourceModel):
    """A single network: filterbank, masker, inverse filterbank.

    Subclasses say what a dual-path block is made of.

    Args:
        make_layers: returns the keyword arguments of one `DualPathBlock` but for its attention.
        channels_as_features: whether the channels of a recording are planes of one spectrogram.
        sources, bands, feature_dim, n_repeats, mask_expansion, attention_heads, attention_dim,
            last_source_as_residual, causal, n_filters, kernel_size, stride, sample_rate,
            in_channels: as in `BSRNN`.

    Raises:
        ValueError: for values that do not fit each other.
    """

    def __init__(
        self,
        *,
        make_layers: Callable[[], dict],
        channels_as_features: bool = False,
        sources: Sequence[str],
        bands: str | BandTable | None,
        feature_dim: int,
        n_repeats: int,
        mask_expansion: int,
        attention_heads: int,
        attention_dim: int,
        last_source_as_residual: bool,
        causal: bool,
        n_filters: int,
        kernel_size: int | None,
        stride: int,
        sample_rate: float,
        in_channels: int | None,
    ):
        super().__init__(sources, sample_rate, in_channels)
        check_positive(feature_dim=feature_dim, n_repeats=n_repeats, mask_expansion=mask_expansion)
        if attention_heads:
            check_positive(attention_heads=attention_heads, attention_dim=attention_dim)
        if in_channels is not None:
            check_positive(in_channels=in_channels)
        if last_source_as_residual and len(self.sources) < 2:
            raise ValueError("last_source_as_residual needs at least two sources")
        filterbank = FFTSTFTFB(n_filters, kernel_size, stride, sample_rate=sample_rate)
        table = default_table(self.sources) if bands is None else bands
        widths = band_widths(table, sample_rate, n_filters)

        def block() -> DualPathBlock:
            attention = None
            if attention_heads:
                heads = {"n_heads": attention_heads, "head_dim": attention_dim}
                attention = FullBandAttention(feature_dim, len(widths), **heads, causal=causal)
            return DualPathBlock(**make_layers(), attention=attention)

        n_masks = len(self.sources) - last_source_as_residual
        split = {"n_planes": 2 * in_channels if channels_as_features else 2, "causal": causal}
        self.last_source_as_residual = last_source_as_residual
        self.encoder = Encoder(filterbank, as_conv1d=False)
        self.masker = BandSplitMasker(
            BandSplit(widths, feature_dim, **split),
            DualPathSeparator([block() for _ in range(n_repeats)]),
            MaskEstimator(
                widths, feature_dim, n_sources=n_masks, expansion=mask_expansion, **split
            ),
            channels_as_features=channels_as_features,
        )
        self.decoder = Decoder(filterbank)

    def estimate_spectrogram(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Mask the mixture's spectrogram, in its precision whatever the masker's."""
        mixture = spectrogram.unsqueeze(1)
        estimates = self.masker(spectrogram)
        if serves(estimates):
            for estimate in estimates.unbind(1):
                estimate.copy_(mul_c(estimate, spectrogram))
        else:
            estimates = mul_c(estimates, mixture)
        if self.last_source_as_residual:
            residual = mixture - estimates.sum(dim=1, keepdim=True)
            estimates = torch.cat([estimates, residual], dim=1)
        return estimates
