"""What runs otherwise on a CPU that makes no gradients: the same mathematics, nearer to its caches.

A tensor of this package has some ten million elements, more than caches hold, so that passing over
it costs as much as the arithmetic. Pieces of it go through several operations in the cache.
Everywhere else, and under `torch.jit.trace` and `torch.compile`, the plain operations run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional as F

# Sequences of one call of an LSTM, and rows of one call of other layers. Between half and twice as
# many it makes no difference.
SEQUENCES, ROWS = 512, 4096
# Bytes of one direction's states in one call of an LSTM. They and what oneDNN keeps beside them are
# the most that a network holds.
STATES = 2**26
QUERIES = 256
# Elements of one piece of what is passed over element by element, and from how many on it is cut.
ELEMENTS, MANY = 2**18, 2**20


def serves(x: torch.Tensor) -> bool:
    """Whether this module's ways are taken for `x`."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not observed()


def has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU; elsewhere float32 is faster."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def estimates_in_bfloat16(x: torch.Tensor) -> bool:
    """Whether autocast rounds to bfloat16 here, on any device, and no gradients are made.

    A few cheap places then compute in float32, which halves the error of a whole network.
    """
    device = x.device.type
    if torch.is_grad_enabled() or not torch.is_autocast_enabled(device):
        return False
    return torch.get_autocast_dtype(device) == torch.bfloat16


def observed() -> bool:
    """Whether the operations are recorded, to be run on other shapes or elsewhere."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def in_pieces(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    *,
    dim: int,
    size: int,
    residual: bool = False,
    overwrite: bool = False,
) -> torch.Tensor:
    """`function(x)`, or `x + function(x)`, by pieces along a dimension where that pays.

    Args:
        function: keeps the leading dimensions up to `dim`, and treats every index of it apart.
        x: any shape.
        dim: along which `x` may be cut, from the front.
        size: rows of one piece, counted over `dim` and those behind it but for the last one.
        residual: whether `x` is added to what the function makes of it.
        overwrite: whether that sum may take the place of `x`, which saves its memory.
    """
    length = max(size // max(x.shape[dim + 1 : -1].numel(), 1), 1)
    if not serves(x) or x.shape[dim] < 2 * length - 1:
        if residual and overwrite and serves(x):
            return x.add_(function(x))
        return x + function(x) if residual else function(x)
    output = x if residual and overwrite else None
    for piece, start in zip(x.split(length, dim), range(0, x.shape[dim], length), strict=True):
        result = function(piece)
        if output is None:
            output = _empty_like(
                x, result, dim, torch.result_type(x, result) if residual else result.dtype
            )
        place = output.narrow(dim, start, result.shape[dim])
        if residual:
            torch.add(piece, result, out=place)
        else:
            place.copy_(result)
    return output


def _empty_like(x: torch.Tensor, piece: torch.Tensor, dim: int, dtype: torch.dtype) -> torch.Tensor:
    """Room for all pieces; in the order of `x` in memory where they have its shape."""
    shape = (*piece.shape[:dim], x.shape[dim], *piece.shape[dim + 1 :])
    if shape == x.shape:
        return torch.empty_like(x, dtype=dtype)
    return piece.new_empty(shape, dtype=dtype)


def sequences_at_once(x: torch.Tensor, hidden_size: int, dtype: torch.dtype) -> int:
    """How many sequences one call of an LSTM takes.

    Args:
        x: (steps, bands, ..., N), to be cut along the bands.
        hidden_size: of the LSTM.
        dtype: that it computes in.
    """
    if not serves(x):
        return SEQUENCES  # nothing is cut, and a trace must not look at shapes
    together = x.shape[2:-1].numel()
    fitting = STATES // (len(x) * hidden_size * dtype.itemsize)
    n_pieces = -(-x.shape[1] * together // max(min(SEQUENCES, fitting), together))
    return -(-x.shape[1] // n_pieces) * together


def var_mean(x: torch.Tensor, dim: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance and mean over `dim`, kept as 1, in float32 at least.

    `torch.var_mean` follows the mean as it changes, element by element. In two passes, the mean
    first, it takes a fifth of the time and is as precise.

    Args:
        x: any shape, of at least one dimension.
        dim: dimensions that share one mean and variance.
    """
    wide = torch.promote_types(x.dtype, torch.float32)
    if not serves(x):
        return torch.var_mean(x.to(wide), dim=dim, unbiased=False, keepdim=True)
    dim = tuple(number % x.ndim for number in dim)
    pieces = x.split(_length(x))
    if 0 not in dim:
        results = [_two_passes((piece,), dim, wide) for piece in pieces]
        variance, mean = (torch.cat(values) for values in zip(*results, strict=True))
        return variance, mean
    return _two_passes(pieces, dim, wide)


def _two_passes(
    pieces: Sequence[torch.Tensor], dim: tuple[int, ...], dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Variance and mean over `dim` and over all pieces."""
    count = sum(piece.numel() for piece in pieces)
    mean = sum(_sum(piece.to(dtype), dim) for piece in pieces)
    count //= mean.numel()
    mean = mean / count
    return sum(_sum((piece - mean).square_(), dim) for piece in pieces) / count, mean


def _sum(x: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    """One dimension after the other: each is a simple loop, and the last ones are short."""
    for number in dim:
        x = x.sum(number, keepdim=True)
    return x


def affine(
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    dtype: torch.dtype | None = None,
) -> torch.Tensor:
    """`x * scale + shift`, computed in the widest of their types.

    Args:
        x: any shape.
        scale: broadcasts with `x`.
        shift: broadcasts with `x`.
        dtype: of the result; None means that of `x`.
    """
    dtype = dtype or x.dtype
    # On a GPU autocast would make a copy of `x` in float32 first, and keep it.
    with torch.autocast(x.device.type, enabled=False):
        if not serves(x) or scale.dtype == dtype or _length(x) >= len(x):
            return torch.addcmul(shift, x, scale).to(dtype)
        # Before it is rounded, a piece stays in the cache.
        output = torch.empty(x.shape, dtype=dtype)
        terms = torch.broadcast_tensors(output, x, scale, shift)
        pieces = (term.split(_length(x)) for term in terms)
        for place, piece, factor, summand in zip(*pieces, strict=True):
            place.copy_(torch.addcmul(summand, piece, factor))
        return output


def _length(x: torch.Tensor) -> int:
    """Into pieces of what length the first dimension is cut."""
    return max(ELEMENTS // x[:1].numel(), 1) if x.numel() > MANY else max(len(x), 1)


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, is_causal: bool
) -> torch.Tensor:
    """`scaled_dot_product_attention`, with values weighted in their own precision.

    For features as wide as this package's torch computes all of it in float32, and holds the
    weights of all queries at once.

    Args:
        query: (..., T, D)
        key: (..., T, D)
        value: (..., T, V)
        is_causal: whether a frame attends to itself and earlier ones only.

    Returns:
        (..., T, V)
    """
    if is_causal or not serves(query):
        return F.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
    with torch.autocast("cpu", enabled=False):
        wide = torch.promote_types(query.dtype, torch.float32)
        key = key.to(wide).mT * query.shape[-1] ** -0.5
        attended = [
            torch.softmax(rows.to(wide) @ key, dim=-1).to(value.dtype) @ value
            for rows in query.split(QUERIES, dim=-2)
        ]
        return torch.cat(attended, dim=-2)
