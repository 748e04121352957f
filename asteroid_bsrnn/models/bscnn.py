"""Band-Split CNN: dilated convolutions instead of recurrent layers (arXiv 2603.09187).

Only the blocks differ from `BSRNN`; `bsrnn.py` shows the forward pass.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..bands import BandTable, band_widths, default_table
from ..filterbank import FFTSTFTFB, Decoder, Encoder
from ..masknn import (
    BandSplit,
    DualPathBlock,
    DualPathSeparator,
    FullBandAttention,
    MaskEstimator,
    ResidualDilatedConvs,
)
from .base import check_positive, check_sources, records_arguments
from .bsrnn import BandSplitMasker, BandSplitModel


class BSCNN(BandSplitModel):
    """Band-Split CNN: BSRNN with stacks of dilated convolutions instead of recurrent layers.

    The defaults are the network of the replication study for vocals. The networks of the four
    sources have 29.7 M parameters together, as in its table.

    Args:
        time_dilations: number of dilated convolutions along time; 0 omits the layer.
        time_kernel_size: their kernel size, odd.
        time_expansion: channels inside the time layer as a multiple of N.
        band_dilations: number of dilated convolutions along bands; 0 omits the layer.
        band_kernel_size: their kernel size, odd.
        band_expansion: channels inside the band layer as a multiple of N.

        The other arguments are those of `BSRNN`.

    Shape:
        (B, C, L) -> (B, S, C, L)

    Raises:
        TypeError: for an unknown argument.
        ValueError: for an unknown value, or bands that do not fit the FFT.
    """

    @records_arguments
    def __init__(
        self,
        *,
        sources: Sequence[str] = ("vocals",),
        bands: str | BandTable | None = None,
        feature_dim: int = 64,
        n_repeats: int = 8,
        time_dilations: int = 3,
        time_kernel_size: int = 3,
        time_expansion: int = 1,
        band_dilations: int = 3,
        band_kernel_size: int = 3,
        band_expansion: int = 1,
        mask_expansion: int = 4,
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
        if not (time_dilations or band_dilations):
            raise ValueError("time_dilations and band_dilations cannot both be 0")
        check_positive(feature_dim=feature_dim, n_repeats=n_repeats, mask_expansion=mask_expansion)
        if attention_heads:
            check_positive(attention_heads=attention_heads, attention_dim=attention_dim)
        sources = check_sources(sources)
        filterbank = FFTSTFTFB(n_filters, kernel_size, stride, sample_rate=sample_rate)
        table = default_table(sources) if bands is None else bands
        widths = band_widths(table, sample_rate, n_filters)
        heads = {"n_heads": attention_heads, "head_dim": attention_dim, "causal": causal}
        time = (time_dilations, time_kernel_size, time_expansion)
        band = (band_dilations, band_kernel_size, band_expansion)

        band_split = BandSplit(widths, feature_dim, causal=causal)
        blocks = [
            DualPathBlock(
                attention=(
                    FullBandAttention(feature_dim, len(widths), **heads)
                    if attention_heads
                    else None
                ),
                time_layer=_layer("time", feature_dim, *time, causal=causal),
                band_layer=_layer("band", feature_dim, *band, causal=False),
            )
            for _ in range(n_repeats)
        ]
        n_masks = len(sources) - last_source_as_residual
        mask_estimator = MaskEstimator(
            widths, feature_dim, n_sources=n_masks, expansion=mask_expansion, causal=causal
        )
        super().__init__(
            Encoder(filterbank, as_conv1d=False),
            BandSplitMasker(band_split, DualPathSeparator(blocks), mask_estimator),
            Decoder(filterbank),
            sources=sources,
            in_channels=in_channels,
            last_source_as_residual=last_source_as_residual,
        )


def _layer(
    axis: str, n_features: int, n_dilated: int, kernel_size: int, expansion: int, *, causal: bool
) -> nn.Module | None:
    """Build a stack of dilated convolutions along time or bands; None without any."""
    if not n_dilated:
        return None
    values = {"dilations": n_dilated, "kernel_size": kernel_size, "expansion": expansion}
    check_positive(**{f"{axis}_{name}": value for name, value in values.items()})
    return ResidualDilatedConvs(
        n_features, n_dilated=n_dilated, kernel_size=kernel_size, expansion=expansion, causal=causal
    )
