"""Band-Split RNN and its variants (arXiv 2209.15174, arXiv 2603.09187)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from ..bands import BandTable
from ..masknn import TAC, ResidualConv, ResidualRecurrent
from ..masknn.tac import ACTIVATIONS
from .arguments import check_choice, check_positive, records_arguments
from .base import BandSplitModel


class BSRNN(BandSplitModel):
    """Band-Split RNN: a spectrogram is cut into bands, time and bands are modelled by turns.

    The defaults are the base model of the replication study for vocals. Every network of that
    study is a choice of these arguments; `asteroid_bsrnn.presets` names them.

    Args:
        sources: names of the estimated sources, in order. Several sources share everything but
            the mask estimator.
        bands: name of a table of `asteroid_bsrnn.bands.TABLES`, or `(count, hertz)` pairs. None
            means the single source's own table where there is one, and else "joint".
        feature_dim: number of features N of a band and frame.
        n_repeats: number of dual-path blocks R.
        time_layer: "lstm", "gru" or "conv", along time.
        band_layer: the same along bands.
        rnn_expansion: hidden size of each direction of a recurrent layer as a multiple of N; a
            convolution has as many channels as both directions together.
        bidirectional: whether recurrent layers read their sequence in both directions.
        feature_groups: the N features are split into so many groups, which the layers process
            alike and apart (the study's "multi-head").
        norm_groups: groups of the normalisation in time and band layers.
        mask_expansion: hidden size of the mask estimator as a multiple of N (the paper's mu).
        stereo: None, each channel on its own; "naive", both channels as features of one
            spectrogram; "tac", transform-average-concatenate in every block.
        tac_activation: "tanh" or "prelu".
        tac_expansion: hidden size of TAC as a multiple of N.
        attention_heads: heads of the full-band attention in every block; 0 means no attention.
        attention_dim: features of its queries and keys, for each band and head.
        last_source_as_residual: whether the last source is the mixture minus the others.
        causal: whether no frame may depend on later ones: time layers read forward only,
            normalisation is by frame, attention looks back. What is left is the look-ahead of the
            STFT's window.
        n_filters: size of the FFT.
        kernel_size: length of the window; None means `n_filters`, which it must equal.
        stride: hop in samples.
        sample_rate: in hertz.
        in_channels: number of channels; None means any number, or 2 for "naive" stereo. Other
            than None it is checked on every input.

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
        check_positive(feature_dim=feature_dim)
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
        directions = {"expansion": rnn_expansion, "bidirectional": bidirectional}

        def make_layers() -> dict:
            tac = {"activation": tac_activation, "expansion": tac_expansion}
            layer = {**directions, "n_groups": norm_groups}
            return {
                "time_layer": _layer("time_layer", time_layer, n_features, causal=causal, **layer),
                "band_layer": _layer("band_layer", band_layer, n_features, causal=False, **layer),
                "tac": TAC(feature_dim, **tac) if stereo == "tac" else None,
                "feature_groups": feature_groups,
            }

        super().__init__(
            make_layers=make_layers,
            channels_as_features=stereo == "naive",
            sources=sources,
            bands=bands,
            feature_dim=feature_dim,
            n_repeats=n_repeats,
            mask_expansion=mask_expansion,
            attention_heads=attention_heads,
            attention_dim=attention_dim,
            last_source_as_residual=last_source_as_residual,
            causal=causal,
            n_filters=n_filters,
            kernel_size=kernel_size,
            stride=stride,
            sample_rate=sample_rate,
            in_channels=2 if stereo == "naive" and in_channels is None else in_channels,
        )
        # Convolutions err by -37 dB. A last source that is the rest has the errors of all others,
        # which is much where it is quiet: -41 dB.
        self.suits_bfloat16 = "conv" not in (time_layer, band_layer) and not last_source_as_residual


def _layer(
    name: str,
    kind: str,
    n_features: int,
    *,
    expansion: int,
    bidirectional: bool,
    n_groups: int,
    causal: bool,
) -> nn.Module:
    """The layer that `kind` names, for time or bands."""
    check_choice(name, kind, ("lstm", "gru", "conv"))
    shared = {"n_groups": n_groups, "causal": causal}
    if kind == "conv":
        directions = 2 if bidirectional else 1
        return ResidualConv(n_features, expansion=directions * expansion, **shared)
    return ResidualRecurrent(
        n_features, cell=kind, expansion=expansion, bidirectional=bidirectional, **shared
    )
