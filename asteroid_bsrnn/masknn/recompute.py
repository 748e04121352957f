"""Layers that keep their inputs alone for the backward pass and are computed again there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint


def recomputed(function: Callable[..., torch.Tensor], *inputs: object) -> torch.Tensor:
    """Return `function(*inputs)`, of which only the inputs are kept for the gradients.

    The backward pass repeats the function up to the last operation that keeps something. A linear
    layer at its end is therefore not computed twice. Without gradients and under `torch.compile`,
    which decides itself what to keep, this is an ordinary call.

    Args:
        function: contains nothing random.
        *inputs: tensors and constants.
    """
    if not torch.is_grad_enabled() or torch.jit.is_tracing() or torch.compiler.is_compiling():
        return function(*inputs)
    return checkpoint(function, *inputs, use_reentrant=False, preserve_rng_state=False)
