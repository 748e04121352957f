"""An LSTM in bfloat16 on a CPU, by oneDNN.

Under autocast on a CPU torch takes an `nn.LSTM` apart into single steps, ten times as slow as in
float32. Handed weights in bfloat16, it calls oneDNN's fused layer, forwards and backwards, which
processors with bfloat16 products run at twice the speed of float32.
"""

from __future__ import annotations

import torch
from torch import nn


def serves(x: torch.Tensor, module: nn.LSTM) -> bool:
    """Whether `module` would run in bfloat16 under autocast on this CPU, and oneDNN can do it."""
    return (
        x.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
        and not module.proj_size
    )


def bfloat16_lstm(x: torch.Tensor, module: nn.LSTM) -> torch.Tensor:
    """Hidden states of an LSTM, computed in bfloat16; gradients reach the float32 parameters.

    Args:
        x: as `module` takes it.
        module: whose parameters are taken; it starts from zeros.

    Returns:
        As `module`, in bfloat16.
    """
    with torch.autocast("cpu", enabled=False):
        weights = {name: weight.bfloat16() for name, weight in module.named_parameters()}
        return torch.func.functional_call(module, weights, x.bfloat16())[0]
