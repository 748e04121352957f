"""Group normalisation along a sequence whose features lie last."""

from __future__ import annotations

import torch
from torch import nn

from ..kernels import affine, computing_type, var_mean


class SequenceNorm(nn.Module):
    """Normalise each sequence over its steps and features, then scale and shift each feature.

    The same mathematics as `torch.nn.GroupNorm` on (sequences, features, steps), for features last
    and steps first. Statistics are taken in float32 whatever the precision.

    Args:
        n_features: number of features N.
        n_groups: features are normalised in this many groups.
        eps: added to the variance.
        step_wise: whether each step is normalised on its own, which looks at no later step.

    Shape:
        (steps, ..., N) -> (steps, ..., N)

    Raises:
        ValueError: if `n_features` is no multiple of `n_groups`.
    """

    def __init__(
        self, n_features: int, *, n_groups: int = 1, eps: float = 1e-7, step_wise: bool = False
    ):
        super().__init__()
        if n_features % n_groups:
            raise ValueError(
                f"n_features ({n_features}) must be a multiple of n_groups ({n_groups})"
            )
        self.n_groups, self.eps, self.step_wise = n_groups, eps, step_wise
        self.weight = nn.Parameter(torch.ones(n_features))
        self.bias = nn.Parameter(torch.zeros(n_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise `x`."""
        grouped = x.unflatten(-1, (self.n_groups, -1))
        shape = (self.n_groups, -1)
        scale, shift = normalisation(
            grouped,
            self.weight.view(shape),
            self.bias.view(shape),
            dim=(-1,) if self.step_wise else (0, -1),
            eps=self.eps,
        )
        # On a CPU the layer behind takes its input rounded, and would make a copy to round it.
        return affine(grouped, scale, shift, dtype=computing_type(x)).flatten(-2)


def normalisation(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, dim: tuple[int, ...], eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift with which `x * scale + shift` is `x` normalised over `dim`, then affine.

    Two small tensors instead of a normalised copy of `x`: one pass over `x` applies them, and
    only `x` has to be kept for the gradient.

    Args:
        x: any shape; statistics are taken in float32 at least.
        weight: broadcasts with `x`.
        bias: broadcasts with `x`.
        dim: dimensions that share one mean and variance.
        eps: added to the variance.

    Returns:
        `scale` and `shift`, in float32 at least, with 1 in `dim` where `weight` has no extent.
    """
    in_training = torch.is_grad_enabled() and x.requires_grad and not torch.jit.is_tracing()
    if x.dtype in (torch.bfloat16, torch.float16) and in_training:
        variance, mean = _Statistics.apply(x, dim)
    else:
        variance, mean = var_mean(x, dim)
    scale = weight * torch.rsqrt(variance + eps)
    return scale, bias - mean * scale


class _Statistics(torch.autograd.Function):
    """`var_mean` that keeps `x` for its gradient, and no copy of it in float32."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, dim: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        variance, mean = var_mean(x, dim)
        ctx.save_for_backward(x, mean)
        return variance, mean

    @staticmethod
    def backward(ctx, d_variance: torch.Tensor, d_mean: torch.Tensor):
        x, mean = ctx.saved_tensors
        count = x.numel() // mean.numel()
        return ((d_mean + 2 * d_variance * (x - mean)) / count).to(x.dtype), None
