"""Scores of one track: uSDR, cSDR, SI-SDR, and their gain over the mixture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch

from .. import metrics

# Mixture (channels, time), references and estimates (sources, channels, time), hertz -> measure ->
# (sources,)
MoreScores = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, float], Mapping[str, Iterable[float]]
]
MEASURES = "usdr, csdr, si_sdr, over mixture, over scaled mixture"
"""Measures of `score`, as named in records."""


Sums = Mapping[str, Sequence[str]]
"""From the name of a sum of stems to the stems."""


def scorable(
    stems: Sequence[str], estimated: Collection[str], sums: Sums = MappingProxyType({})
) -> list[str]:
    """Return the stems of a track that can be scored, in order.

    A stem that is a sum is scored by the sum of the estimates, unless there is an estimate with its
    name. Sums are those of `sums` and names such as `bass+other`.

    Example:
        >>> scorable(["vocals", "drums", "bass+other"], ["vocals", "bass", "other"])
        ['vocals', 'bass+other']
    """
    return [
        stem
        for stem in stems
        if stem in estimated or all(source in estimated for source in _parts(stem, sums))
    ]


def estimate_of(
    stem: str, estimates: Mapping[str, torch.Tensor], sums: Sums = MappingProxyType({})
) -> torch.Tensor:
    """Return the estimate (channels, time) of a scorable stem, or the sum of its parts."""
    if stem in estimates:
        return estimates[stem]
    return torch.stack([estimates[source] for source in _parts(stem, sums)]).sum(dim=0)


def _parts(stem: str, sums: Sums) -> Sequence[str]:
    return sums.get(stem, stem.split("+"))


def score(
    mixture: torch.Tensor, references: torch.Tensor, estimates: torch.Tensor, sample_rate: float
) -> dict[str, torch.Tensor]:
    """Score the estimates of a track.

    Args:
        mixture: (channels, time).
        references: (sources, channels, time).
        estimates: the same shape.
        sample_rate: in hertz; the windows of the cSDR last one second.

    Returns:
        From the measure to (sources,) in dB: `usdr`, `csdr` and `si_sdr`; `usdr_over_mixture`,
        `csdr_over_mixture` and `si_sdr_over_mixture`, the gain over the mixture as the estimate of
        every source; `usdr_over_scaled_mixture` and `csdr_over_scaled_mixture`, the gain over the
        mixture with the best scale.
    """
    window = round(sample_rate)
    measures: dict[str, Callable] = {
        "usdr": metrics.usdr,
        "csdr": lambda refs, ests: metrics.csdr(refs, ests, window, window),
        "si_sdr": metrics.si_sdr,
    }
    scores = {name: measure(references, estimates) for name, measure in measures.items()}
    plain = mixture.expand(len(references), -1, -1)
    scaled = scaled_mixture(mixture, references)
    with warnings.catch_warnings():
        # The measures above have already warned of silent sources.
        warnings.filterwarnings("ignore", "no score for", UserWarning)
        for name, measure in measures.items():
            scores[f"{name}_over_mixture"] = scores[name] - measure(references, plain)
            if name != "si_sdr":  # it does not depend on the scale
                gain = scores[name] - measure(references, scaled)
                scores[f"{name}_over_scaled_mixture"] = gain
    return scores


def scaled_mixture(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """Return the mixture with the best scale for each source: (sources, channels, time).

    The mixture is (channels, time), the references are (sources, channels, time). The scale is one
    factor for a track and all channels, <source, mixture> / <mixture, mixture>. It minimises the
    squared error and thus maximises the uSDR.
    """
    energy = mixture.double().square().sum()
    if energy == 0:
        return torch.zeros_like(references)
    products = torch.stack([(source.double() * mixture).sum() for source in references])
    factors = (products / energy).to(mixture.dtype)
    return factors[:, None, None] * mixture


def frame_medians(frames: Mapping[str, np.ndarray], sources: Sequence[str]) -> dict[str, dict]:
    """Return the medians over frames of museval's measures by source, NaN without a score.

    `frames` has (sources, frames) in dB by `sdr`, `isr`, ...
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of rows of NaN
        return {
            f"museval_{measure}": by_source(sources, np.nanmedian(values, axis=1))
            for measure, values in frames.items()
        }


def by_source(sources: Iterable[str], values: Iterable[float]) -> dict[str, float | str]:
    """Return values by source for JSON; NaN and infinities become text."""
    return {
        source: value if np.isfinite(value) else str(value)
        for source, value in zip(sources, map(float, values), strict=True)
    }


def is_mean(measure: str) -> bool:
    """Return whether the figure of a data set is the mean over tracks instead of the median."""
    return measure.startswith(("usdr", "si_sdr"))
