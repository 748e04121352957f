"""Linear layers whose activation oneDNN computes in the same call, for CPUs without gradients.

Computed on its own, an activation reads and writes the layer's whole output once more: the tanh of
a mask estimator takes as long as its matrix products. A fused activation is applied to the sums of
the product before they are rounded.
"""

from __future__ import annotations

import torch

from .cpu import has_bfloat16, serves


def computing_type(x: torch.Tensor) -> torch.dtype | None:
    """Type in which `linear` computes here; None where it can't and plain layers have to.

    That is autocast's type under autocast, else the type of `x`: float32, or bfloat16 on CPUs that
    compute in it.
    """
    if not (serves(x) and torch.backends.mkldnn.is_available() and x.numel()):
        return None
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return None
    kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
    if kind == torch.bfloat16:
        return kind if has_bfloat16() else None
    return kind if kind == x.dtype == torch.float32 else None


def linear(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    activation: str = "none",
    slope: float | None = None,
) -> torch.Tensor:
    """`activation(x @ weight.T + bias)` in one call.

    Args:
        x: (..., in), of the type that `computing_type` gives.
        weight: (out, in), of the same type; may be the transpose of a tensor.
        bias: (out,), of the same type.
        activation: "none", "tanh" or "leaky_relu".
        slope: of "leaky_relu" below zero.

    Returns:
        (..., out), of the same type.
    """
    values = [] if slope is None else [slope]
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, values, "")
