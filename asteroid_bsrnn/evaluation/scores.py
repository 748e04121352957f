"""Scores of a track beside uSDR and cSDR: SI-SDR, and what a separation gains over the mixture."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch

from .. import metrics


def scorable(stems: Sequence[str], estimated: Collection[str]) -> list[str]:
    """Return the stems of a track that can be scored, in order.

    A stem that is named as a sum, such as `bass+other`, is scored by the sum of the estimates,
    unless there is an estimate of this very name.

    Args:
        stems: names of the stems of a track.
        estimated: names of the estimates.

    Example:
        >>> scorable(["vocals", "drums", "bass+other"], ["vocals", "bass", "other"])
        ['vocals', 'bass+other']
    """
    return [
        stem
        for stem in stems
        if stem in estimated or all(source in estimated for source in stem.split("+"))
    ]


def estimate_of(stem: str, estimates: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Return the estimate of a stem, which may be a sum of sources.

    Args:
        stem: one that `scorable` returns.
        estimates: from source to (channels, time).

    Returns:
        (channels, time)
    """
    if stem in estimates:
        return estimates[stem]
    return torch.stack([estimates[source] for source in stem.split("+")]).sum(dim=0)


def improvements(
    mixture: torch.Tensor, references: torch.Tensor, estimates: torch.Tensor, sample_rate: float
) -> dict[str, torch.Tensor]:
    """SI-SDR, and how much better all measures are than those of the mixture itself.

    Args:
        mixture: (channels, time).
        references: (sources, channels, time).
        estimates: the same shape.
        sample_rate: in hertz; the chunk SDR's windows are one second.

    Returns:
        From the measure to (sources,) in dB: `si_sdr`; `usdr_over_mixture`, `csdr_over_mixture`
        and `si_sdr_over_mixture`, differences from what the mixture scores as an estimate of
        every source; `usdr_over_scaled_mixture` and `csdr_over_scaled_mixture`, differences from
        what it scores when it is scaled to be the best estimate that it can be.
    """
    window = round(sample_rate)
    measures: dict[str, Callable] = {
        "usdr": metrics.usdr,
        "csdr": lambda refs, ests: metrics.csdr(refs, ests, window, window),
        "si_sdr": si_sdr,
    }
    plain = mixture.expand(len(references), -1, -1)
    scaled = scaled_mixture(mixture, references)
    scores = {"si_sdr": si_sdr(references, estimates)}
    for name, measure in measures.items():
        own = scores[name] if name in scores else measure(references, estimates)
        scores[f"{name}_over_mixture"] = own - measure(references, plain)
        if name != "si_sdr":  # a scale changes nothing in it
            scores[f"{name}_over_scaled_mixture"] = own - measure(references, scaled)
    return scores


def si_sdr(references: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
    """Scale-invariant SDR (arXiv 1811.02508) of a whole track, all channels as one signal.

    By Asteroid, without subtracting means, in double precision.

    Args:
        references: (sources, channels, time).
        estimates: the same shape.

    Returns:
        (sources,) in dB; NaN where the reference is silent, about -80 where the estimate is.
    """
    from asteroid.losses.sdr import SingleSrcNegSDR

    loss = SingleSrcNegSDR("sisdr", zero_mean=False, reduction="none")
    scores = torch.empty(len(references), dtype=torch.float64)
    for index, (reference, estimate) in enumerate(zip(references, estimates, strict=True)):
        pair = [signal.double().reshape(1, -1) for signal in (estimate, reference)]
        scores[index] = -loss(*pair)[0] if reference.any() else torch.nan
    return scores


def scaled_mixture(mixture: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """The mixture as the best estimate that it can be of each source, by one factor a source.

    The factor, for a whole track and all of its channels, is the one that minimises the squared
    error, and so maximises the uSDR: <source, mixture> / <mixture, mixture>.

    Args:
        mixture: (channels, time).
        references: (sources, channels, time).

    Returns:
        (sources, channels, time)
    """
    energy = mixture.double().square().sum()
    if energy == 0:
        return torch.zeros_like(references)
    products = torch.stack([(source.double() * mixture).sum() for source in references])
    factors = (products / energy).to(mixture.dtype)
    return factors[:, None, None] * mixture
