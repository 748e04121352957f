"""Cache-friendly inference paths for CPUs, and the conditions under which they apply.

The tensors of a network have about ten million elements and do not fit the caches, so that reading
and writing them takes as long as the arithmetic. These functions process them in pieces, each of
which passes several operations in the cache, and fuse linear layers with their activations. With
gradients, on other devices, and under `torch.jit.trace` and `torch.compile`, the plain operations
run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat

import torch
from torch.nn import functional as F

# Sequences in one call of an LSTM, and rows in one call of other layers. Half or twice as many
# make no difference to the speed.
SEQUENCES, ROWS = 512, 4096
# Bytes of the states of one direction in one call of an LSTM. They and oneDNN's workspace are the
# largest tensors of a network.
STATES = 2**26
# Frames whose attention weights are computed together.
QUERIES = 256
# Elements of one piece in elementwise operations, and number from which a tensor is cut in pieces.
ELEMENTS, MANY = 2**18, 2**20


def serves(x: torch.Tensor) -> bool:
    """Whether the CPU paths apply to `x`."""
    return x.device.type == "cpu" and not torch.is_grad_enabled() and not observed()


def has_bfloat16() -> bool:
    """Whether oneDNN computes in bfloat16 on this CPU; otherwise float32 is faster."""
    return torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def estimates_in_bfloat16(x: torch.Tensor) -> bool:
    """Whether autocast to bfloat16 is active on the device of `x`, without gradients.

    A few cheap layers then compute in float32, which halves the error of a whole network.
    """
    device = x.device.type
    if torch.is_grad_enabled() or not torch.is_autocast_enabled(device):
        return False
    return torch.get_autocast_dtype(device) == torch.bfloat16


def observed() -> bool:
    """Whether the operations are being traced or compiled, for other shapes or devices."""
    return torch.jit.is_tracing() or torch.compiler.is_compiling()


def keeps_inputs(x: torch.Tensor) -> bool:
    """Whether training can use functions that keep their inputs and compute the rest again.

    Under `torch.compile`, which decides itself what to keep, and in traces, plain operations run.
    """
    return torch.is_grad_enabled() and x.numel() > 0 and not observed()


def pieces_of(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return `x` in pieces along its first dimension that fit the cache of a CPU; on a GPU, whole.

    Tensors that differ in the last two dimensions are cut alike. Those of up to three are not cut.
    """
    if x.device.type != "cpu" or x.dim() < 4:
        return (x,)
    return x.split(max(ROWS // max(x.shape[1:-2].numel(), 1), 1))


def prelu_gradients(
    x: torch.Tensor, slope: torch.Tensor, gradient: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of the input `x` of a PReLU and, for each element, of its slope."""
    return torch.where(x > 0, gradient, gradient * slope), gradient * x.clamp(max=0)


def affine_gradients(
    gradient: torch.Tensor, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the gradients of the input, the scale and the shift of `x * scale + shift`.

    Args:
        gradient: of the result; shaped like `x`.
        x: any shape of at least one dimension.
        scale: of at least one dimension; broadcasts with `x`.
        shift: of at least one dimension; broadcasts with `x`.
    """
    length = _length(x) if serves(x) else len(x)
    d_input = torch.empty_like(x)
    d_scale, d_shift = torch.zeros_like(scale), torch.zeros_like(shift)
    tensors = (gradient, x, d_input, scale, d_scale, d_shift)
    whole = (x.ndim, len(x))
    pieces = (
        tensor.split(length) if (tensor.ndim, len(tensor)) == whole else repeat(tensor)
        for tensor in tensors
    )
    # A piece stays in the cache for all three gradients.
    for d, piece, d_piece, factor, d_factor, d_summand in zip(*pieces, strict=False):
        d_piece.copy_(torch.mul(d, factor))
        d_factor += torch.mul(d, piece.to(factor.dtype)).sum_to_size(d_factor.shape)
        d_summand += d.to(d_summand.dtype).sum_to_size(d_summand.shape)
    return d_input, d_scale, d_shift


def in_pieces(
    function: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor,
    *,
    dim: int,
    size: int,
    residual: bool = False,
    overwrite: bool = False,
) -> torch.Tensor:
    """Compute `function(x)` or `x + function(x)`, in pieces along a dimension where that is faster.

    Args:
        function: keeps the dimensions up to `dim` and processes each index of `dim` separately.
        x: any shape.
        dim: non-negative dimension along which `x` may be cut.
        size: rows of one piece, counted over all dimensions from `dim` to the second last one.
        residual: whether `x` is added to the result.
        overwrite: whether the sum may overwrite `x`, which saves memory.
    """
    if not serves(x):  # first: a trace must not depend on shapes
        return x + function(x) if residual else function(x)
    length = max(size // max(x.shape[dim + 1 : -1].numel(), 1), 1)
    if x.shape[dim] < 2 * length - 1:
        if residual and overwrite:
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
    """Allocate the result of all pieces, with the strides of `x` if it has the same shape."""
    shape = (*piece.shape[:dim], x.shape[dim], *piece.shape[dim + 1 :])
    if shape == x.shape:
        return torch.empty_like(x, dtype=dtype)
    return piece.new_empty(shape, dtype=dtype)


def sequences_at_once(x: torch.Tensor, hidden_size: int, dtype: torch.dtype) -> int:
    """Return the number of sequences in one call of an LSTM.

    Args:
        x: (steps, bands, ..., N), which will be cut along the bands.
        hidden_size: of the LSTM.
        dtype: type in which it computes.
    """
    if not serves(x):
        return SEQUENCES  # nothing is cut, and a trace must not depend on shapes
    together = x.shape[2:-1].numel()
    fitting = STATES // (len(x) * hidden_size * dtype.itemsize)
    n_pieces = -(-x.shape[1] * together // max(min(SEQUENCES, fitting), together))
    return -(-x.shape[1] // n_pieces) * together


def var_mean(x: torch.Tensor, dim: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return variance and mean over `dim`, which is kept with size 1, in float32 at least.

    `torch.var_mean` updates a running mean for every element. Two passes, the mean first, take a
    fifth of its time and are as precise.

    Args:
        x: any shape of at least one dimension.
        dim: dimensions over which mean and variance are computed.
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
    """Return variance and mean over `dim` and over all pieces."""
    count = sum(piece.numel() for piece in pieces)
    mean = sum(_sum(piece.to(dtype), dim) for piece in pieces)
    count //= mean.numel()
    mean = mean / count
    return sum(_sum((piece - mean).square_(), dim) for piece in pieces) / count, mean


def _sum(x: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    """Sum over one dimension after the other, which is faster than over all at once."""
    for number in dim:
        x = x.sum(number, keepdim=True)
    return x


def affine(
    x: torch.Tensor,
    scale: torch.Tensor,
    shift: torch.Tensor,
    dtype: torch.dtype | None = None,
    out: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return `x * scale + shift`, computed in the widest of their types.

    Args:
        x: any shape.
        scale: broadcasts with `x`.
        shift: broadcasts with `x`.
        dtype: type of the result; None means that of `x`.
        out: where to write the result, of that type; None allocates it.
    """
    dtype = dtype or x.dtype
    # On a GPU, autocast would make and keep a copy of `x` in float32.
    with torch.autocast(x.device.type, enabled=False):
        # In a trace, the length of `x` must not be read.
        if out is None and (not serves(x) or scale.dtype == dtype or _length(x) >= len(x)):
            return torch.addcmul(shift, x, scale).to(dtype)
        # A piece stays in the cache until it is rounded.
        output = torch.empty(x.shape, dtype=dtype) if out is None else out
        terms = torch.broadcast_tensors(output, x, scale, shift)
        length = _length(x) if serves(x) else len(x)
        pieces = (term.split(length) for term in terms)
        for place, piece, factor, summand in zip(*pieces, strict=True):
            place.copy_(torch.addcmul(summand, piece, factor))
        return output


def _length(x: torch.Tensor) -> int:
    """Return the length of the pieces into which the first dimension is cut."""
    return max(ELEMENTS // x[:1].numel(), 1) if x.numel() > MANY else max(len(x), 1)


def computing_type(x: torch.Tensor) -> torch.dtype | None:
    """Return the type in which `linear` computes; None where plain layers must be used.

    The type is autocast's under autocast and otherwise that of `x`: float32, or bfloat16 on CPUs
    that compute in it.
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
    """Return `activation(x @ weight.T + bias)`, computed by oneDNN in one call.

    The activation is applied to the sums of the product before they are rounded. As a separate
    operation it would read and write the whole output once more: the tanh of a mask estimator
    would take as long as its matrix products.

    Args:
        x: (..., in), of the type returned by `computing_type`.
        weight: (out, in), of the same type; may be the transpose of a tensor.
        bias: (out,), of the same type.
        activation: "none", "tanh" or "leaky_relu".
        slope: slope of "leaky_relu" below zero.

    Returns:
        (..., out), of the same type.
    """
    values = [] if slope is None else [slope]
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, values, "")


def attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *, is_causal: bool
) -> torch.Tensor:
    """`scaled_dot_product_attention` in less memory, with values weighted in their own precision.

    For features of this width, torch computes everything in float32 on a CPU, keeps that for the
    gradients, and holds the weights of all queries at once. In training this function serves types
    of 16 bits alone.

    Args:
        query: (..., T, D)
        key: (..., T, D)
        value: (..., T, V)
        is_causal: whether a frame attends to itself and earlier ones only.

    Returns:
        (..., T, V)
    """
    in_training = torch.is_grad_enabled() and query.dtype in (torch.bfloat16, torch.float16)
    plain = query.device.type != "cpu" or observed()
    if is_causal or plain or not (serves(query) or in_training):
        return F.scaled_dot_product_attention(query, key, value, is_causal=is_causal)
    with torch.autocast("cpu", enabled=False):
        wide = torch.promote_types(query.dtype, torch.float32)
        key = key.to(wide).mT * query.shape[-1] ** -0.5
        attended = [
            torch.softmax(rows.to(wide) @ key, dim=-1).to(value.dtype) @ value
            for rows in query.split(query.shape[-2] if in_training else QUERIES, dim=-2)
        ]
        return torch.cat(attended, dim=-2)
