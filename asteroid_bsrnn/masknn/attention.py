"""Self-attention over frames, computed over all bands at once.

From Z.-Q. Wang et al., "TF-GridNet: Integrating full- and sub-band modeling for speech separation"
(arXiv 2211.12433), as the replication of BSRNN (arXiv 2603.09187) uses it.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..kernels import (
    ROWS,
    affine,
    attention,
    computing_type,
    estimates_in_bfloat16,
    in_pieces,
    keeps_inputs,
    pieces_of,
    prelu_gradients,
    var_mean,
)
from .norm import normalisation


class HeadProjection(nn.Module):
    """A linear layer, a PReLU and a normalisation over bands and features for each head.

    Args:
        n_features: number of features N.
        n_heads: number of heads.
        head_dim: features of one head.
        n_bands: number of bands K.
        eps: added to the variance.

    Attributes:
        recomputes: whether training keeps only the input of the PReLU, of the operations after the
            linear layer, and computes the rest again for the gradients. Not stored with the model.

    Shape:
        (T, K, B, N) -> (T, K, B, n_heads, head_dim)
    """

    def __init__(self, n_features: int, n_heads: int, head_dim: int, n_bands: int, eps: float):
        super().__init__()
        self.eps, self.recomputes = eps, False
        self.linear = nn.Linear(n_features, n_heads * head_dim)
        self.slope = nn.Parameter(torch.full((n_heads,), 0.25))
        self.weight = nn.Parameter(torch.ones(n_bands, n_heads, head_dim))
        self.bias = nn.Parameter(torch.zeros(n_bands, n_heads, head_dim))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project `x` for every head.

        Without gradients, the precision is that of the weights even under autocast to bfloat16:
        rounding before the normalisation causes half of the error of a whole network in bfloat16,
        and these layers are a fiftieth of its arithmetic.
        """
        if not estimates_in_bfloat16(x):
            return in_pieces(self.project, x, dim=0, size=ROWS)
        with torch.autocast(x.device.type, enabled=False):
            return in_pieces(self.project, x.to(self.weight.dtype), dim=0, size=ROWS)

    def project(self, x: torch.Tensor) -> torch.Tensor:
        """Project a few frames, which fit the cache, in the type of `x`."""
        n_heads, head_dim = self.weight.shape[1:]
        y = self.linear(x)
        if self.recomputes and keeps_inputs(y):
            y = y.unflatten(-1, (n_heads, head_dim))
            return _ActivatedNorm.apply(y, self.slope, self.weight, self.bias, self.eps)
        # With one slope per feature instead of one per head, PReLU processes whole rows.
        slopes = self.slope.to(y.dtype).repeat_interleave(head_dim)
        y = F.prelu(y.flatten(0, 2), slopes).view(*y.shape[:3], n_heads, head_dim)
        # Two steps keep scale and shift small: neither has the size of the features.
        one, zero = self.weight.new_ones(()), self.weight.new_zeros(())
        y = affine(y, *normalisation(y, one, zero, dim=(1, 4), eps=self.eps))
        return affine(y, self.weight.unsqueeze(1), self.bias.unsqueeze(1))


class FullBandAttention(nn.Module):
    """Multi-head attention over frames, computed over all bands at once and added to the input.

    Args:
        n_features: number of features N.
        n_bands: number of bands K.
        n_heads: number of heads; divides N.
        head_dim: features of queries and keys, for each band and head.
        eps: added to the variance.
        causal: whether a frame attends to itself and earlier ones only.

    Shape:
        (T, K, B, N) -> (T, K, B, N)

    Raises:
        ValueError: if N is not a multiple of `n_heads`.
    """

    def __init__(
        self,
        n_features: int,
        n_bands: int,
        *,
        n_heads: int = 1,
        head_dim: int = 8,
        eps: float = 1e-7,
        causal: bool = False,
    ):
        super().__init__()
        if n_features % n_heads:
            raise ValueError(
                f"feature_dim ({n_features}) must be a multiple of attention_heads ({n_heads})"
            )
        self.causal = causal
        self.query = HeadProjection(n_features, n_heads, head_dim, n_bands, eps)
        self.key = HeadProjection(n_features, n_heads, head_dim, n_bands, eps)
        self.value = HeadProjection(n_features, n_heads, n_features // n_heads, n_bands, eps)
        self.output = HeadProjection(n_features, 1, n_features, n_bands, eps)

    def forward(self, x: torch.Tensor, *, overwrite: bool = False) -> torch.Tensor:
        """Attend over the frames of `x`; `overwrite` allows overwriting it."""
        kind = computing_type(x)
        if kind is not None:
            with torch.autocast("cpu", enabled=False):
                return self._by_frames(x, kind, overwrite)
        query, key, value = (
            project(x).permute(2, 3, 0, 1, 4).flatten(3)  # (B, heads, T, K * dim)
            for project in (self.query, self.key, self.value)
        )
        attended = attention(query, key, value, is_causal=self.causal)
        attended = attended.unflatten(3, (x.shape[1], -1)).permute(2, 3, 0, 1, 4)
        return x + self.output(attended.flatten(3)).squeeze(3)

    def _by_frames(self, x: torch.Tensor, kind: torch.dtype, overwrite: bool) -> torch.Tensor:
        """Compute `forward`, projecting a few frames at a time into the layout of attention."""
        n_frames, n_bands, n_batch, n_features = x.shape
        frames = max(ROWS // (n_bands * n_batch), 1)
        inputs = []
        for project in (self.query, self.key, self.value):
            n_heads, head_dim = project.weight.shape[1:]
            rows = x.new_empty(n_batch, n_heads, n_frames, n_bands, head_dim, dtype=kind)
            places = rows.permute(2, 3, 0, 1, 4).split(frames)
            for place, piece in zip(places, x.split(frames), strict=True):
                place.copy_(project.project(piece.to(project.weight.dtype)))
            inputs.append(rows.flatten(3))
        attended = attention(*inputs, is_causal=self.causal)
        del inputs, rows, places, place
        attended = attended.unflatten(3, (n_bands, -1)).permute(2, 3, 0, 1, 4)
        output = x if overwrite else torch.empty(x.shape, dtype=x.dtype)
        parts = (tensor.split(frames) for tensor in (output, x, attended))
        for place, piece, update in zip(*parts, strict=True):
            update = self.output.project(update.flatten(3).to(self.output.weight.dtype))
            torch.add(piece, update.squeeze(3), out=place)
        return output


class _ActivatedNorm(torch.autograd.Function):
    """PReLU, normalisation and an affine map of (T, K, B, heads, dim), which keep their input."""

    @staticmethod
    def forward(ctx, y, slope, weight, bias, eps: float):
        result, scales, shifts = torch.empty(y.shape, dtype=y.dtype, device=y.device), [], []
        with torch.autocast(y.device.type, enabled=False):
            slopes = slope.to(y.dtype).unsqueeze(-1)
            # The affine map differs between bands, not between frames and channels.
            gain, offset = weight.unsqueeze(1), bias.unsqueeze(1)
            for place, piece in zip(pieces_of(result), pieces_of(y), strict=True):
                activated = torch.where(piece > 0, piece, piece * slopes)
                variance, mean = var_mean(activated, dim=(1, 4))
                scale = torch.rsqrt(variance + eps)
                shift = -mean * scale
                normalised = torch.addcmul(shift, activated, scale)
                place.copy_(torch.addcmul(offset, normalised, gain))
                scales.append(scale)
                shifts.append(shift)
        ctx.save_for_backward(y, slope, weight, bias, *scales, *shifts)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        y, slope, weight, bias, *statistics = ctx.saved_tensors
        n_pieces = len(statistics) // 2
        scales, shifts = statistics[:n_pieces], statistics[n_pieces:]
        wide = scales[0].dtype
        d_y = torch.empty(y.shape, dtype=y.dtype, device=y.device)
        d_slope, d_weight, d_bias = (
            torch.zeros_like(parameter, dtype=wide) for parameter in (slope, weight, bias)
        )
        with torch.autocast(y.device.type, enabled=False):
            slopes, gain = slope.to(y.dtype).unsqueeze(-1), weight.unsqueeze(1)
            pieces = (pieces_of(d_y), pieces_of(y), pieces_of(gradient), scales, shifts)
            for place, piece, d_result, scale, shift in zip(*pieces, strict=True):
                # Compute the inputs of the normalisation and of the affine map again.
                activated = torch.where(piece > 0, piece, piece * slopes)
                normalised = torch.addcmul(shift, activated, scale)
                # All frames and channels share the parameters of the affine map.
                d_result = d_result.to(wide)
                d_weight += (d_result * normalised).sum(0).sum(1)
                d_bias += d_result.sum(0).sum(1)
                # Neither a shift nor a scaling of its input changes the output of a normalisation:
                # its gradient loses the mean and the part along the output.
                d_normalised = d_result * gain
                d_activated = d_normalised - _mean(d_normalised)
                along = _mean(d_normalised * normalised)
                d_activated.addcmul_(normalised, along, value=-1).mul_(scale)
                # All elements of a head share its slope.
                d_piece, d_slopes = prelu_gradients(piece, slopes, d_activated)
                d_slope += d_slopes.sum(4).flatten(0, 2).sum(0)
                place.copy_(d_piece)
        d_slope, d_weight, d_bias = (
            total.to(parameter.dtype)
            for total, parameter in ((d_slope, slope), (d_weight, weight), (d_bias, bias))
        )
        return d_y, d_slope, d_weight, d_bias, None


def _mean(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of (T, K, B, heads, dim) over the bands and features of each head."""
    return x.mean(4, keepdim=True).mean(1, keepdim=True)
