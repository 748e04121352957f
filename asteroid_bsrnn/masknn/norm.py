"""Group normalisation of sequences, with the features last."""

from __future__ import annotations

import torch
from torch import nn

from ..kernels import affine, computing_type, keeps_inputs, var_mean


class SequenceNorm(nn.Module):
    """Normalise each sequence over its steps and features, then scale and shift each feature.

    Equivalent to `torch.nn.GroupNorm` on (sequences, features, steps), but with steps first and
    features last. Statistics are computed in float32 for any precision of the input.

    Args:
        n_features: number of features N.
        n_groups: number of groups of features that are normalised separately.
        eps: added to the variance.
        step_wise: whether each step is normalised separately, as causal networks need.

    Shape:
        (steps, ..., N) -> (steps, ..., N)

    Raises:
        ValueError: if `n_features` is not a multiple of `n_groups`.
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
        scale, shift = self._grouped_affine(grouped)
        # The next layer takes the type in which it computes; rounding there would need a copy.
        return affine(grouped, scale, shift, dtype=computing_type(x)).flatten(-2)

    def affine(self, *parts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return scale and shift, in float32 at least, such that `x * scale + shift` is `forward`.

        A layer that applies them itself need not keep the normalised input.

        Args:
            *parts: (steps, ..., channels), of one shape. `x` is their concatenation along the
                features; several need a norm without groups.
        """
        if len(parts) == 1:
            scale, shift = self._grouped_affine(parts[0].unflatten(-1, (self.n_groups, -1)))
            return scale.flatten(-2), shift.flatten(-2)
        dim = (-1,) if self.step_wise else (0, -1)
        variances, means = zip(*(statistics(part, dim) for part in parts), strict=True)
        between, mean = torch.var_mean(torch.stack(means), dim=0, unbiased=False)
        variance = torch.stack(variances).mean(dim=0) + between
        return _affine_map(variance, mean, self.weight, self.bias, self.eps)

    def _grouped_affine(self, grouped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (self.n_groups, -1)
        return normalisation(
            grouped,
            self.weight.view(shape),
            self.bias.view(shape),
            dim=(-1,) if self.step_wise else (0, -1),
            eps=self.eps,
        )


def normalisation(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *, dim: tuple[int, ...], eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scale and shift such that `x * scale + shift` is normalised over `dim`, then affine.

    One pass over `x` applies these two small tensors, and the gradient needs only `x`, not a
    normalised copy.

    Args:
        x: any shape; statistics are computed in float32 at least.
        weight: broadcasts with `x`.
        bias: broadcasts with `x`.
        dim: dimensions over which mean and variance are computed.
        eps: added to the variance.

    Returns:
        `scale` and `shift`, in float32 at least, of size 1 in `dim` where `weight` has size 1.
    """
    return _affine_map(*statistics(x, dim), weight, bias, eps)


def statistics(x: torch.Tensor, dim: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return variance and mean over `dim`, in float32 at least; the gradient needs only `x`."""
    in_training = torch.is_grad_enabled() and x.requires_grad and not torch.jit.is_tracing()
    # Of these types, even `torch.compile` would keep a copy in float32.
    if in_training and (keeps_inputs(x) or x.dtype in (torch.bfloat16, torch.float16)):
        return _Statistics.apply(x, dim)
    return var_mean(x, dim)


def _affine_map(
    variance: torch.Tensor, mean: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    scale = weight * torch.rsqrt(variance + eps)
    return scale, bias - mean * scale


class _Statistics(torch.autograd.Function):
    """`var_mean` that saves `x` for its gradient, which takes one pass over it."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, dim: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        variance, mean = var_mean(x, dim)
        ctx.save_for_backward(x, mean)
        return variance, mean

    @staticmethod
    def backward(ctx, d_variance: torch.Tensor, d_mean: torch.Tensor):
        x, mean = ctx.saved_tensors
        count = x.numel() // mean.numel()
        scale = 2 / count * d_variance
        # (d_mean / count + scale * (x - mean)) in one pass over `x`.
        return affine(x, scale, d_mean / count - scale * mean), None
