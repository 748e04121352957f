"""An LSTM in bfloat16 on a CPU, by oneDNN.

Under autocast on a CPU torch takes an `nn.LSTM` apart into single steps, ten times as slow as in
float32. Handed weights in bfloat16, it calls oneDNN's fused layer, forwards and backwards, which
processors with bfloat16 products run at twice the speed of float32. Processors without them have no
such layer, or take many times as long: there the layer runs in float32, and its result is rounded.

On processors with matrix tiles (AMX) the layer cuts the batch into equal blocks of sequences. A
number with few divisors, such as the 82 sequences of 41 bands in stereo, leaves it blocks that fill
no tile and half the speed, so that it is rounded up to whole tiles, or to halves where those would
add much.
"""

from __future__ import annotations

import functools

import torch
from torch import nn
from torch.nn import functional as F

from .cpu import has_bfloat16, observed

TILE = 16
"""Rows of a matrix tile."""
FEWEST, FEW = 2 * TILE, 8 * TILE
"""Up to the first number of sequences none is added, up to the second what fills half a tile."""


def serves(x: torch.Tensor, module: nn.LSTM) -> bool:
    """Whether `module` would run in bfloat16 under autocast on this CPU."""
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and not module.proj_size
    )


def bfloat16_lstm(x: torch.Tensor, module: nn.LSTM) -> torch.Tensor:
    """Hidden states of an LSTM in bfloat16; gradients reach the float32 parameters.

    Args:
        x: as `module` takes it.
        module: whose parameters are taken; it starts from zeros.

    Returns:
        As `module`, in bfloat16.
    """
    if not has_bfloat16():
        with torch.autocast("cpu", enabled=False):
            return module(x.float())[0].bfloat16()
    extra = _sequences_missing(x, module)
    with torch.autocast("cpu", enabled=False):
        weights = {name: weight.bfloat16() for name, weight in module.named_parameters()}
        x = x.bfloat16()
        if extra:
            x = F.pad(x, (0, 0, 0, extra))
        hidden = torch.func.functional_call(module, weights, x)[0]
        return hidden[:, :-extra] if extra else hidden


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
