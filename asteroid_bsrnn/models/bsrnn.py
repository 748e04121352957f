"""Band-Split RNN (arXiv 2209.15174) and its variants (arXiv 2603.09187).

The signal path, in the order of this file: filterbank -> masker (band split -> dual-path blocks ->
mask estimator) -> complex masking -> inverse filterbank.

Shapes: B batch, C channels, S sources, F bins, T frames, K bands, N features, L samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from asteroid_filterbanks.transforms import mul_c
from torch import nn

from ..bands import BandTable, band_widths, default_table
from ..filterbank import FFTSTFTFB, Decoder, Encoder
from ..kernels import serves
from ..masknn import (
    TAC,
    BandSplit,
    DualPathBlock,
    DualPathSeparator,
    FullBandAttention,
    MaskEstimator,
    ResidualConv,
    ResidualRecurrent,
)
from ..masknn.tac import ACTIVATIONS
from .base import (
    SourceModel,
    as_mixture,
    at_least,
    check_choice,
    check_positive,
    check_sources,
    records_arguments,
)


class BandSplitMasker(nn.Module):
    """Estimate complex masks from a spectrogram: band split, dual-path blocks, mask estimator.

    Args:
        band_split: (B, P, F, T) -> (T, K, B, N), from P real-valued planes.
        separator: (T, K, B, N) -> (T, K, B, N).
        mask_estimator: (T, K, B, N) -> (B, S, P, F, T).
        channels_as_features: whether the channels of a recording are planes of one spectrogram
            ("naive" stereo); otherwise each channel is a spectrogram in the batch.

    Shape:
        (B, C, 2F, T) -> (B, S, C, 2F, T), real and imaginary parts stacked over frequency.
    """

    def __init__(
        self,
        band_split: BandSplit,
        separator: DualPathSeparator,
        mask_estimator: MaskEstimator,
        *,
        channels_as_features: bool = False,
    ):
        super().__init__()
        self.band_split = band_split
        self.separator = separator
        self.mask_estimator = mask_estimator
        self.channels_as_features = channels_as_features

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the masks of every source, in the precision of `spectrogram`."""
        n_channels = 1 if self.channels_as_features else spectrogram.shape[1]
        planes = spectrogram.unflatten(2, (2, -1))  # (B, C, 2, F, T)
        planes = planes.flatten(1, 2) if self.channels_as_features else planes.flatten(0, 1)
        overwrite = not torch.is_grad_enabled()
        features = self.band_split(planes)  # (B * C, 2, F, T) -> (T, K, B * C, N)
        features = self.separator(features, n_channels, overwrite=overwrite)  # (T, K, B * C, N)
        masks = self.mask_estimator(features)  # (B * C, S, 2, F, T)
        masks = masks.to(spectrogram.dtype)
        if self.channels_as_features:
            return masks.unflatten(2, (-1, 2)).flatten(3, 4)
        return masks.flatten(2, 3).unflatten(0, (-1, n_channels)).transpose(1, 2)


class BandSplitModel(SourceModel):
    """Filterbank, masker and inverse filterbank, with the hooks of Asteroid's masking models.

    `BSRNN` and `BSCNN` differ in the blocks that their masker contains.

    Args:
        encoder: (B, C, L) -> (B, C, 2F, T).
        masker: (B, C, 2F, T) -> (B, S, C, 2F, T), one source fewer with `last_source_as_residual`.
        decoder: (B, S, C, 2F, T) -> (B, S, C, L).
        sources: names of the estimated sources, in order.
        in_channels: number of channels that the model needs; None for any number.
        last_source_as_residual: whether the last source is the mixture minus the others.

    Raises:
        ValueError: for values that do not fit each other.
    """

    def __init__(
        self,
        encoder: Encoder,
        masker: BandSplitMasker,
        decoder: Decoder,
        *,
        sources: Sequence[str],
        in_channels: int | None,
        last_source_as_residual: bool,
    ):
        super().__init__(sources, encoder.filterbank.sample_rate, in_channels)
        if last_source_as_residual and len(self.sources) < 2:
            raise ValueError("last_source_as_residual needs at least two sources")
        self.last_source_as_residual = last_source_as_residual
        self.encoder = encoder
        self.masker = masker
        self.decoder = decoder

    def forward_with_spectrogram(self, wav: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Estimate the sources and their spectrograms; see `SourceModel`."""
        waveform = as_mixture(wav, self.in_channels)  # (B, C, L)
        length = waveform.shape[-1]
        mixture = self.forward_encoder(waveform)  # (B, C, 2F, T)
        estimates = self.estimate_spectrogram(mixture)  # (B, S, C, 2F, T)
        waveforms = self.forward_decoder(estimates, length)  # (B, S, C, L)
        return waveforms, estimates

    def estimate_spectrogram(self, mixture: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms of the sources: (B, C, 2F, T) -> (B, S, C, 2F, T)."""
        masks = self.forward_masker(mixture)  # (B, S, C, 2F, T)
        return self.apply_masks(mixture, masks)  # (B, S, C, 2F, T)

    def forward_encoder(self, wav: torch.Tensor) -> torch.Tensor:
        """Transform a mixture, padded with zeros to half a window: (B, C, L) -> (B, C, 2F, T)."""
        return self.encoder(at_least(wav, self.encoder.filterbank.n_filters // 2 + 1))

    def forward_masker(self, tf_rep: torch.Tensor) -> torch.Tensor:
        """Estimate the masks of a mixture: (B, C, 2F, T) -> (B, S, C, 2F, T)."""
        return self.masker(tf_rep)

    def apply_masks(self, tf_rep: torch.Tensor, est_masks: torch.Tensor) -> torch.Tensor:
        """Multiply a mixture by complex masks, in the precision of the mixture.

        Masks (B, S, C, 2F, T) are without the last source where it is the residual, which the
        result includes. They are overwritten on a CPU without gradients, to save memory.
        """
        mixture = tf_rep.unsqueeze(1)
        if serves(est_masks):
            for mask in est_masks.unbind(1):
                mask.copy_(mul_c(mask, tf_rep))
            estimates = est_masks
        else:
            estimates = mul_c(est_masks, mixture)
        if self.last_source_as_residual:
            residual = mixture - estimates.sum(dim=1, keepdim=True)
            estimates = torch.cat([estimates, residual], dim=1)
        return estimates

    def forward_decoder(
        self, masked_tf_rep: torch.Tensor, length: int | None = None
    ) -> torch.Tensor:
        """Transform spectrograms back: (B, S, C, 2F, T) -> (B, S, C, L).

        `length` None means as many samples as the frames hold.
        """
        if not serves(masked_tf_rep):
            return self.decoder(masked_tf_rep, length)
        # Source by source, a CPU needs less memory and no more time.
        waveforms = [self.decoder(source, length) for source in masked_tf_rep.unbind(1)]
        return torch.stack(waveforms, dim=1)


class BSRNN(BandSplitModel):
    """Band-Split RNN: split a spectrogram into bands, model time and bands alternately.

    The defaults are the base model of the replication study for vocals. Every network of that
    study is a choice of these arguments; `asteroid_bsrnn.presets` names them.

    Args:
        sources: names of the estimated sources, in order. Several sources share everything except
            the mask estimator.
        bands: name of a table of `asteroid_bsrnn.bands.TABLES`, or `(count, hertz)` pairs. None
            selects the table of a single source if it has one, and otherwise "joint".
        feature_dim: number of features N of a band and frame.
        n_repeats: number of dual-path blocks R.
        time_layer: "lstm", "gru" or "conv", along time.
        band_layer: "lstm", "gru" or "conv", along bands.
        rnn_expansion: hidden size of each direction of a recurrent layer as a multiple of N; a
            convolution has as many channels as both directions together.
        bidirectional: whether recurrent layers read their sequence in both directions.
        feature_groups: number of groups of the N features; time and band layers process each
            group separately with the same weights (the study's "multi-head").
        norm_groups: groups of the normalisation in time and band layers.
        mask_expansion: hidden size of the mask estimator as a multiple of N (the paper's mu).
        stereo: None processes each channel separately; "naive" takes both channels as features of
            one spectrogram; "tac" adds transform-average-concatenate to every block.
        tac_activation: "tanh" or "prelu".
        tac_expansion: hidden size of TAC as a multiple of N.
        attention_heads: heads of the full-band attention in every block; 0 means no attention.
        attention_dim: features of its queries and keys, for each band and head.
        last_source_as_residual: whether the last source is the mixture minus the others.
        causal: whether no frame may depend on later ones: time layers read forwards only,
            normalisation is per frame, attention looks back. The look-ahead of the STFT's window
            remains.
        n_filters: size of the FFT.
        kernel_size: length of the window; None means `n_filters`, which it must equal.
        stride: hop in samples.
        sample_rate: in hertz.
        in_channels: number of channels, checked on every input; None means any number, or 2 for
            "naive" stereo.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        TypeError: for an unknown argument.
        ValueError: for an unknown value, or bands that do not fit the FFT.

    Example:
        >>> import torch
        >>> network = BSRNN(sources=["vocals"], feature_dim=8, n_repeats=1)
        >>> network(torch.randn(1, 2, 44100)).shape
        torch.Size([1, 1, 2, 44100])
    """

    @records_arguments
    def __init__(
        self,
        *,
        sources: Sequence[str] = ("vocals",),
        bands: str | BandTable | None = None,
        feature_dim: int = 64,
        n_repeats: int = 8,
        time_layer: str = "lstm",
        band_layer: str = "lstm",
        rnn_expansion: int = 2,
        bidirectional: bool = True,
        feature_groups: int = 1,
        norm_groups: int = 1,
        mask_expansion: int = 4,
        stereo: str | None = None,
        tac_activation: str = "prelu",
        tac_expansion: int = 3,
        attention_heads: int = 0,
        attention_dim: int = 8,
        last_source_as_residual: bool = False,
        causal: bool = False,
        n_filters: int = 2048,
        kernel_size: int | None = None,
        stride: int = 512,
        sample_rate: float = 44100,
        in_channels: int | None = None,
    ):
        check_choice("stereo", stereo, (None, "naive", "tac"))
        check_choice("tac_activation", tac_activation, ACTIVATIONS)
        check_positive(rnn_expansion=rnn_expansion, tac_expansion=tac_expansion)
        check_positive(feature_groups=feature_groups, norm_groups=norm_groups)
        check_positive(feature_dim=feature_dim, n_repeats=n_repeats, mask_expansion=mask_expansion)
        if attention_heads:
            check_positive(attention_heads=attention_heads, attention_dim=attention_dim)
        if feature_dim % feature_groups:
            raise ValueError(
                f"feature_dim ({feature_dim}) must be a multiple of feature_groups "
                f"({feature_groups})"
            )
        n_features = feature_dim // feature_groups
        if n_features % norm_groups:
            raise ValueError(
                f"feature_dim / feature_groups ({n_features}) must be a multiple of norm_groups "
                f"({norm_groups})"
            )
        sources = check_sources(sources)
        naive = stereo == "naive"
        in_channels = 2 if naive and in_channels is None else in_channels
        filterbank = FFTSTFTFB(n_filters, kernel_size, stride, sample_rate=sample_rate)
        table = default_table(sources) if bands is None else bands
        widths = band_widths(table, sample_rate, n_filters)
        ends = {"n_planes": 2 * in_channels if naive else 2, "causal": causal}
        heads = {"n_heads": attention_heads, "head_dim": attention_dim, "causal": causal}
        layer = {"expansion": rnn_expansion, "bidirectional": bidirectional, "groups": norm_groups}
        tac = {"activation": tac_activation, "expansion": tac_expansion}

        band_split = BandSplit(widths, feature_dim, **ends)
        blocks = [
            DualPathBlock(
                # First, so that a seed gives the weights that it has always given.
                attention=(
                    FullBandAttention(feature_dim, len(widths), **heads)
                    if attention_heads
                    else None
                ),
                time_layer=_layer("time_layer", time_layer, n_features, causal=causal, **layer),
                band_layer=_layer("band_layer", band_layer, n_features, causal=False, **layer),
                tac=TAC(feature_dim, **tac) if stereo == "tac" else None,
                feature_groups=feature_groups,
            )
            for _ in range(n_repeats)
        ]
        n_masks = len(sources) - last_source_as_residual
        mask_estimator = MaskEstimator(
            widths, feature_dim, n_sources=n_masks, expansion=mask_expansion, **ends
        )
        super().__init__(
            Encoder(filterbank, as_conv1d=False),
            BandSplitMasker(
                band_split, DualPathSeparator(blocks), mask_estimator, channels_as_features=naive
            ),
            Decoder(filterbank),
            sources=sources,
            in_channels=in_channels,
            last_source_as_residual=last_source_as_residual,
        )
        # In bfloat16, convolutions have an error of -37 dB. A residual source has the errors of
        # all others: -41 dB where it is quiet.
        self.suits_bfloat16 = "conv" not in (time_layer, band_layer) and not last_source_as_residual


def _layer(
    name: str,
    kind: str,
    n_features: int,
    *,
    expansion: int,
    bidirectional: bool,
    groups: int,
    causal: bool,
) -> nn.Module:
    """Build the layer of `kind` for time or bands."""
    check_choice(name, kind, ("lstm", "gru", "conv"))
    shared = {"n_groups": groups, "causal": causal}
    if kind == "conv":
        directions = 2 if bidirectional else 1
        return ResidualConv(n_features, expansion=directions * expansion, **shared)
    return ResidualRecurrent(
        n_features, cell=kind, expansion=expansion, bidirectional=bidirectional, **shared
    )
