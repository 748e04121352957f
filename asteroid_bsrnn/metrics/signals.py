"""Checks of references and estimates that all measures share."""

from __future__ import annotations

import operator

import numpy as np
import torch

from ..errors import UserError, check_channels

Signals = torch.Tensor | np.ndarray


def check_shapes(references: Signals, estimates: Signals) -> None:
    """Refuse signals that are not both of one shape (sources, channels, time) with samples.

    Raises:
        UserError: if so, or if the channels are likely the samples.
    """
    shapes = tuple(references.shape), tuple(estimates.shape)
    if shapes[0] != shapes[1] or len(shapes[0]) != 3:
        raise UserError(
            "references and estimates must both be (sources, channels, time), got "
            f"{shapes[0]} and {shapes[1]}"
        )
    if 0 in shapes[0]:
        raise UserError(f"there is nothing to score in signals of shape {shapes[0]}")
    check_channels(shapes[0], "references and estimates")


def check_finite(finite_references: bool, finite_estimates: bool) -> None:
    """Refuse NaN and infinite samples: leaving out their frames would raise the score."""
    for name, finite in (("references", finite_references), ("estimates", finite_estimates)):
        if not finite:
            raise UserError(f"the {name} hold NaN or infinite samples; they cannot be scored")


def count_frames(length: int, window: int, hop: int) -> int:
    """Return the number of whole windows in a signal, at least one, as museval counts them.

    Args:
        length: of the signal in samples. The rest after the last whole window is no frame; a
            signal shorter than a window is one frame.
        window: length of a frame in samples.
        hop: distance of the starts of frames in samples.

    Returns:
        The number of frames.

    Raises:
        UserError: if window or hop is not a whole number from 1.
    """
    try:
        valid = operator.index(window) >= 1 and operator.index(hop) >= 1
    except TypeError:
        valid = False
    if not valid:
        raise UserError(f"window and hop must be whole samples from 1, got {window!r} and {hop!r}")
    return max(0, length - window) // hop + 1
