"""Levels of training examples."""

from __future__ import annotations

import torch


def peak_normalise(
    mixture: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Divides each example by the highest peak among its mixture and targets.

    Args:
        mixture: `(B, C, L)`.
        targets: `(B, S, C, L)`.

    Returns:
        Both, with a joint peak of 1; silent examples as they were.
    """
    peak = torch.maximum(mixture.abs().amax(dim=(1, 2)), targets.abs().amax(dim=(1, 2, 3)))
    divisor = torch.where(peak > 0, peak, 1)
    return mixture / divisor[:, None, None], targets / divisor[:, None, None, None]
