"""Named networks: one preset for each network in the table of the study (arXiv 2603.09187).

A preset contains only the constructor arguments that differ from the base model. Rows of the table
that differ only in their training are rows of the recipe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .bands import SOURCES

if TYPE_CHECKING:
    from .models import BandSplitModel, SourceModel

_NAIVE = {"stereo": "naive"}
_LARGE = {"feature_dim": 128, "n_repeats": 12}
_ATTENTION2 = {"attention_heads": 2, "attention_dim": 16}
_OPTIMIZED = {**_LARGE, **_ATTENTION2}
_TAC = {"stereo": "tac", "tac_activation": "prelu"}

_SINGLE_SOURCE: dict[str, dict[str, Any]] = {
    "bsrnn": {},
    "bsrnn_stft4096": {"n_filters": 4096, "stride": 1024},
    "bsrnn_mask2": {"mask_expansion": 2},
    "bsrnn_large": _LARGE,
    "bsrnn_naive": _NAIVE,
    "bsrnn_naive_mask8": {**_NAIVE, "mask_expansion": 8},
    "bsrnn_tac_tanh": {"stereo": "tac", "tac_activation": "tanh"},
    "bsrnn_tac_prelu": _TAC,
    "bscnn": {},
    "bsrnn_attention1": {"attention_heads": 1, "attention_dim": 8},
    "bsrnn_attention2": _ATTENTION2,
    "bsrnn_multihead2": {"feature_groups": 2},
    "bsrnn_joint": {"bands": "joint"},
    "bsrnn_gru": {"time_layer": "gru", "band_layer": "gru"},
    "obsrnn_notac": _OPTIMIZED,
    "obsrnn": {**_OPTIMIZED, **_TAC},
}
_SIMO: dict[str, dict[str, Any]] = {
    "simo_bsrnn_subtract": {"last_source_as_residual": True},
    "simo_bsrnn": {},
    "obsrnn_simo": {**_OPTIMIZED, **_TAC},
}


def names() -> list[str]:
    """Return the names of all presets, first those of one source."""
    return [*_SINGLE_SOURCE, *_SIMO]


def is_simo(name: str) -> bool:
    """Return whether a preset is one network for all sources (single input, multiple output).

    Raises:
        ValueError: for an unknown name.
    """
    if name not in names():
        raise ValueError(f"unknown preset {name!r}; valid names: {', '.join(names())}")
    return name in _SIMO


def arguments(
    name: str, source: str | None = None, stems: Sequence[str] = SOURCES
) -> dict[str, Any]:
    """Return the constructor arguments of a preset that are not defaults of the model.

    Arguments and errors are those of `build`.
    """
    if is_simo(name):
        if source is not None:
            count = {4: "four "}.get(len(stems), "")
            raise ValueError(f"preset {name!r} estimates all {count}sources; leave source out")
        return {"sources": list(stems), **_SIMO[name]}
    if source not in stems:
        raise ValueError(
            f"preset {name!r} estimates one source; give source as one of {', '.join(stems)}, "
            f"got {source!r}"
        )
    return {"sources": [source], **_SINGLE_SOURCE[name]}


def build(
    name: str, source: str | None = None, *, stems: Sequence[str] = SOURCES, **overrides
) -> BandSplitModel:
    """Build a network with random weights.

    Args:
        name: one of `names()`.
        source: one of the stems for a preset of one source, which also selects the bands; None
            for a SIMO preset.
        stems: names that a source may have, all of which a SIMO preset estimates. The default is
            vocals, bass, drums and other.
        **overrides: constructor arguments that replace the preset's.

    Returns:
        A `BSRNN`, or a `BSCNN` for "bscnn".

    Raises:
        TypeError: for an unknown override.
        ValueError: for an unknown name or source, or a value that the model refuses.

    Example:
        >>> network = build("obsrnn", source="bass")
        >>> sum(parameter.numel() for parameter in network.parameters())
        37072744
    """
    from .models import BSCNN, BSRNN

    model_class = BSCNN if name == "bscnn" else BSRNN
    return model_class(**{**arguments(name, source, stems), **overrides})


def build_separator(name: str, sources: Sequence[str] | None = None, **overrides) -> SourceModel:
    """Build a network of several sources with random weights.

    For a preset of one source it is a `PerSourceSeparator` with a network for each of the sources
    (None: all four); for a SIMO preset, sources are omitted. Overrides and errors are those of
    `build`.
    """
    from .models import PerSourceSeparator

    if is_simo(name):
        if sources is not None:
            raise ValueError(f"preset {name!r} estimates all four sources; leave sources out")
        return build(name, **overrides)
    sources = [sources] if isinstance(sources, str) else (sources or SOURCES)
    networks = [
        {
            "model_name": "BSCNN" if name == "bscnn" else "BSRNN",
            "model_args": {**arguments(name, source), **overrides},
        }
        for source in sources
    ]
    return PerSourceSeparator(networks=networks)
