"""torch's own LSTM, and what helps it on a CPU, where it is oneDNN's.

Under autocast on a CPU torch takes an `nn.LSTM` apart into single steps, ten times as slow as in
float32. Handed weights in bfloat16, it calls oneDNN's fused layer, forwards and backwards, which
processors with bfloat16 products run at twice the speed of float32. Processors without them have no
such layer, or take many times as long: there the layer runs in float32, and its result is rounded.

On processors with matrix tiles (AMX) the layer cuts the batch into equal blocks of sequences. A
number with few divisors, such as the 82 sequences of 41 bands in stereo, leaves it blocks that fill
no tile and half the speed, so that it is rounded up to whole tiles, or to halves where those would
add much.

Without gradients, a linear layer behind the LSTM takes the states of one direction after the other:
joining them first costs as much as the layer itself.
"""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import has_bfloat16, observed, serves

TILE = 16
"""Rows of a matrix tile."""
FEWEST, FEW = 2 * TILE, 8 * TILE
"""Up to the first number of sequences none is added, up to the second what fills half a tile."""


def torch_lstm(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear | None = None) -> torch.Tensor:
    """Hidden states of `nn.LSTM`, or what a linear layer makes of them.

    In bfloat16 on a CPU gradients reach the float32 parameters.

    Args:
        x: as `module` takes it.
        module: whose parameters are taken; it starts from zeros.
        linear: applied to the states.

    Returns:
        As `module`, or as `linear`; in bfloat16 under autocast on a CPU.
    """
    in_bfloat16 = (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not module.proj_size
    )
    if in_bfloat16 and has_bfloat16():
        return _bfloat16(x, module, linear)
    if in_bfloat16:
        with torch.autocast("cpu", enabled=False):
            hidden = module(x.float())[0].bfloat16()
    elif x.dtype == module.weight_hh_l0.dtype == torch.float32 and _can_part(x, module, linear):
        return _both_directions(x, module, linear)
    else:
        hidden = module(x)[0]
    return hidden if linear is None else linear(hidden)


def _bfloat16(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear | None) -> torch.Tensor:
    """As `torch_lstm`, all of it in bfloat16."""
    extra = _sequences_missing(x, module)
    with torch.autocast("cpu", enabled=False):
        x = x.bfloat16()
        if extra:
            x = F.pad(x, (0, 0, 0, extra))
        if _can_part(x, module, linear):
            result = _both_directions(x, module, linear)
        else:
            weights = {name: weight.bfloat16() for name, weight in module.named_parameters()}
            result = torch.func.functional_call(module, weights, x)[0]
            if linear is not None:
                result = F.linear(result, *(p.bfloat16() for p in linear.parameters()))
    return result[:, :-extra] if extra else result


def _can_part(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear | None) -> bool:
    """Whether `_both_directions` computes what `module` and `linear` do."""
    return (
        linear is not None
        and linear.bias is not None
        and is_one_bidirectional_layer(module)
        and serves(x)
        and x.dim() == 3
        and x.numel() > 0
        and not torch.is_autocast_enabled("cpu")
        and torch.backends.mkldnn.is_available()
    )


def is_one_bidirectional_layer(module: nn.LSTM) -> bool:
    """Whether `module` is one layer in both directions, with biases, no projection, steps first."""
    plain = module.bidirectional and module.bias and not module.batch_first
    return plain and module.num_layers == 1 and not module.proj_size


def _both_directions(x: torch.Tensor, module: nn.LSTM, linear: nn.Linear) -> torch.Tensor:
    """`linear` of the states, which are never copied into one tensor; in the type of `x`."""
    kind, n_hidden = x.dtype, module.hidden_size
    x = x.contiguous()  # the layer takes it as if it were
    start = x.new_zeros(x.shape[1], n_hidden)
    columns = linear.weight.to(kind).split(n_hidden, dim=1)
    result = linear.bias.to(kind)
    for reverse, suffix in enumerate(("", "_reverse")):
        weights = [
            getattr(module, f"{name}_l0{suffix}").to(kind)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        ]
        # What `nn.LSTM` calls for each direction; 2 stands for an LSTM.
        states, *_ = torch.mkldnn_rnn_layer(
            x, *weights, start, start, bool(reverse), [], 2, n_hidden, 1, True, False, False, False
        )
        # In place from the second direction on, and counted by torch's counter of operations.
        out = result if reverse else None
        result = torch.addmm(result, states.flatten(0, 1), columns[reverse].mT, out=out)
        del states  # before those of the other direction are made
    return result.view(*x.shape[:2], -1)


def _sequences_missing(x: torch.Tensor, module: nn.LSTM) -> int:
    """How many sequences the last tile lacks, where tiles count."""
    if x.dim() != 3 or module.batch_first or observed() or not _has_tiles():
        return 0
    n_sequences = x.shape[1]
    if n_sequences <= FEWEST:
        return 0
    return -n_sequences % (TILE if n_sequences > FEW else TILE // 2)


@functools.cache
def _has_tiles() -> bool:
    """Whether this processor multiplies tiles in bfloat16."""
    # Older releases of torch can't tell.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))
