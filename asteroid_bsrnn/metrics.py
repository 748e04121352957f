"""Measures of separation: tensors or arrays in, decibels out."""

from __future__ import annotations

import numpy as np
import torch


def usdr(references, estimates) -> torch.Tensor:
    """Utterance-level signal-to-distortion ratio, over all channels and samples of a track.

    The ratio of the reference's energy to the energy of the error, as the Music Demixing Challenge
    (arXiv 2108.13559) and the replication of BSRNN (arXiv 2603.09187) report it.

    Args:
        references: (sources, channels, time), tensor or array.
        estimates: the same shape.

    Returns:
        (sources,) in dB, float64; NaN where the reference is silent, infinite where the estimate
        equals it.

    Raises:
        ValueError: if the shapes differ or are not of three dimensions.

    Example:
        >>> reference = torch.ones(1, 2, 100)
        >>> usdr(reference, 0.9 * reference).round(decimals=3)
        tensor([20.], dtype=torch.float64)
    """
    references, estimates = _float64(references), _float64(estimates)
    if references.shape != estimates.shape or references.ndim != 3:
        raise ValueError(
            "references and estimates must both be (sources, channels, time), got "
            f"{tuple(references.shape)} and {tuple(estimates.shape)}"
        )
    energy = references.square().sum(dim=(1, 2))
    error = (references - estimates).square().sum(dim=(1, 2))
    ratio = 10 * torch.log10(energy / error)
    return torch.where(energy > 0, ratio, torch.nan)


def _float64(signal) -> torch.Tensor:
    """A tensor or array, writable or not, in the precision that sums of squares need."""
    if isinstance(signal, torch.Tensor):
        return signal.detach().to(torch.float64)
    return torch.from_numpy(np.array(signal, dtype=np.float64))
