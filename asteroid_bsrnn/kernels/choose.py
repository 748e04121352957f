"""Which implementation of a layer runs: chosen here and nowhere else."""

from __future__ import annotations

import functools
import os
import warnings

import torch
from torch import nn

from ..errors import UserError
from .lstm_fused import bidirectional_lstm
from .lstm_onednn import is_one_bidirectional_layer, torch_lstm

IMPLEMENTATIONS = ("auto", "torch", "triton")
VARIABLE = "ASTEROID_BSRNN_LSTM"

# Where "auto" takes Triton: hidden sizes for each type, as `benchmarks/gpu.sh` decides. In 16 bits
# cuDNN starts two kernels a step at hidden size 256, and at 128 in bfloat16; in float32 it has not
# been shown to be slower.
FASTER = {torch.bfloat16: {64, 128, 256}, torch.float16: {64, 128, 256}, torch.float32: set()}
_chosen = os.environ.get(VARIABLE) or "auto"


class use:
    """Choose how LSTMs are computed, in the whole process: from now on, or in a `with` block.

    Args:
        implementation: "torch", `nn.LSTM`; "triton", this package's kernels for GPUs; "auto",
            the faster one of them, where both can serve.

    Raises:
        UserError: for any other.

    Example:
        >>> with use("torch"):
        ...     implementation()
        'torch'
        >>> implementation()
        'auto'
    """

    def __init__(self, implementation: str):
        global _chosen
        self._before, _chosen = _chosen, _checked(implementation, "implementation")

    def __enter__(self) -> use:
        return self

    def __exit__(self, *exception: object) -> None:
        global _chosen
        _chosen = self._before


def implementation() -> str:
    """The implementation that was chosen, by `use` or by the variable ASTEROID_BSRNN_LSTM.

    Raises:
        UserError: if the variable holds no implementation's name.
    """
    return _checked(_chosen, VARIABLE)


def lstm(
    x: torch.Tensor,
    module: nn.LSTM,
    implementation: str | None = None,
    linear: nn.Linear | None = None,
) -> torch.Tensor:
    """Hidden states of an LSTM, or what a linear layer makes of them.

    Args:
        x: (T, B, N), as `module` takes it.
        module: an LSTM that starts from zeros.
        implementation: as for `use`; None for what was chosen there.
        linear: applied to the states of every step, which need not lie in memory side by side then.

    Returns:
        (T, B, H), or (T, B, 2H) in both directions, or `linear` of that. Under autocast in
        autocast's type.

    Raises:
        UserError: if Triton is asked for and can't serve, or the implementation is unknown.
    """
    chosen = _checked(_chosen if implementation is None else implementation, VARIABLE)
    if chosen == "torch" or (chosen == "auto" and not _is_faster(x, module)):
        return torch_lstm(x, module, linear)
    reason = _obstacle(x, module)
    if reason is None:
        hidden = bidirectional_lstm(x, module, "triton")
        return hidden if linear is None else linear(hidden)
    if chosen == "auto":
        return torch_lstm(x, module, linear)
    raise UserError(f"the LSTM can't run on Triton: {reason}; choose 'auto' or 'torch'")


def _checked(implementation: str, name: str) -> str:
    if implementation not in IMPLEMENTATIONS:
        raise UserError(
            f"{name} is {implementation!r}; an LSTM's valid ones are: {', '.join(IMPLEMENTATIONS)}"
        )
    return implementation


def _is_faster(x: torch.Tensor, module: nn.LSTM) -> bool:
    """Whether the kernels are worth their compilation."""
    if not x.is_cuda or torch.version.hip is not None:
        return False
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
    return module.hidden_size in FASTER.get(dtype, ())


def _obstacle(x: torch.Tensor, module: nn.LSTM) -> str | None:
    """Why the kernels can't serve; None where they can."""
    try:
        import triton  # noqa: F401
    except ImportError:
        return "Triton is not installed"
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"it needs a GPU, and the tensors are on {x.device.type}"
    if (
        x.is_cuda
        and torch.version.hip is None
        and torch.cuda.get_device_capability(x.device) < (8, 0)
    ):
        return "it needs a GPU of compute capability 8.0 or above"
    if not is_one_bidirectional_layer(module):
        return "it needs one bidirectional layer with biases, no projection, and the steps first"
    if module.hidden_size % 16:
        return f"the hidden size must be a multiple of 16, not {module.hidden_size}"
    if x.dim() != 3 or not x.numel():
        return f"the input must be (steps, batch, features), none of them 0, not {tuple(x.shape)}"
    if not torch.is_autocast_enabled(x.device.type) and x.dtype != module.weight_hh_l0.dtype:
        return f"input and weights differ: {x.dtype} and {module.weight_hh_l0.dtype}"
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it computes in float32, bfloat16 and float16, not in {x.dtype}"
    # While torch.compile looks on, nothing can be tried out.
    return _failure(str(x.device)) if x.is_cuda and not torch.compiler.is_compiling() else None


@functools.cache
def _failure(device: str) -> str | None:
    """Why Triton does not work on this machine, such as a missing C compiler; None if it does."""
    module = nn.LSTM(16, 16, bidirectional=True, device=device)
    try:
        with torch.no_grad():
            bidirectional_lstm(torch.zeros(1, 1, 16, device=device), module, "triton")
    # Compilers fail in many ways, and none of them is worth a separation.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"Triton does not work here, nn.LSTM serves: {reason}", stacklevel=2)
        return f"Triton does not work here: {reason}"
    return None
