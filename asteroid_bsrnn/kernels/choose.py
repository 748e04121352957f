"""Choice of the implementation that computes an LSTM."""

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

# GPUs on which "auto" means the Triton kernels: by the name of the GPU, as
# `torch.cuda.get_device_name` returns it, the hidden sizes for each type. An entry needs a run of
# `benchmarks/gpu.sh` on that GPU in which all checks passed and the kernels were faster than
# `nn.LSTM`. There is no such run yet.
MEASURED: dict[str, dict[torch.dtype, set[int]]] = {}
_chosen = os.environ.get(VARIABLE) or "auto"


class use:
    """Choose how LSTMs are computed in the whole process, permanently or in a `with` block.

    Args:
        implementation: "torch" means `nn.LSTM`; "triton" means the Triton kernels of this package
            for GPUs; "auto" means these kernels on GPUs on which they have been measured
            (`MEASURED`), and otherwise `nn.LSTM`.

    Raises:
        UserError: for another value.

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
    """Return the implementation chosen by `use` or by the variable ASTEROID_BSRNN_LSTM.

    Raises:
        UserError: if the variable has an unknown value.
    """
    return _checked(_chosen, VARIABLE)


def lstm(
    x: torch.Tensor,
    module: nn.LSTM,
    implementation: str | None = None,
    linear: nn.Linear | None = None,
    norm: nn.Module | None = None,
) -> torch.Tensor:
    """Return the hidden states of an LSTM, or the result of a linear layer for them.

    Args:
        x: (T, B, N), or (T, ..., N) with `norm`.
        module: an LSTM that starts from zeros.
        implementation: as in `use`; None means the one chosen there.
        linear: a layer to apply to the states. Passed here instead of called afterwards, it saves
            the concatenation of the states of both directions.
        norm: a layer to apply to `x` first, with the method `affine` of `SequenceNorm`. Passed here
            instead of called before, training with the Triton kernels does not keep its result.

    Returns:
        (T, B, H), (T, B, 2H) of a bidirectional LSTM, or the output of `linear`. B is the product
        of the middle dimensions of `x`. Under autocast in autocast's type.

    Raises:
        UserError: if "triton" is chosen and not possible, or the implementation is unknown.
    """
    chosen = _checked(_chosen if implementation is None else implementation, VARIABLE)
    if chosen == "torch" or (chosen == "auto" and not _is_measured(x, module)):
        return torch_lstm(_sequences(x, norm), module, linear)
    reason = _obstacle(x, module, norm is not None)
    if reason is None:
        scale_and_shift = None if norm is None else norm.affine(x)
        hidden = bidirectional_lstm(x, module, "triton", scale_and_shift)
        return hidden if linear is None else linear(hidden)
    if chosen == "auto":
        return torch_lstm(_sequences(x, norm), module, linear)
    raise UserError(f"the LSTM cannot run on Triton: {reason}; choose 'auto' or 'torch'")


def _sequences(x: torch.Tensor, norm: nn.Module | None) -> torch.Tensor:
    """Return the input of an LSTM (T, B, N)."""
    return x if norm is None else norm(x).flatten(1, -2)


def _checked(implementation: str, name: str) -> str:
    if implementation not in IMPLEMENTATIONS:
        raise UserError(
            f"{name} is {implementation!r}; an LSTM's valid ones are: {', '.join(IMPLEMENTATIONS)}"
        )
    return implementation


def _is_measured(x: torch.Tensor, module: nn.LSTM) -> bool:
    """Return whether the kernels have been measured to be faster than `nn.LSTM` on this GPU."""
    if not MEASURED or not x.is_cuda:
        return False
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
    sizes = MEASURED.get(torch.cuda.get_device_name(x.device), {})
    return module.hidden_size in sizes.get(dtype, ())


def _obstacle(x: torch.Tensor, module: nn.LSTM, normalised: bool = False) -> str | None:
    """Return why the kernels cannot compute this LSTM; None if they can."""
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
    if (x.dim() != 3 and not normalised) or not x.numel():
        return f"the input must be (steps, batch, features), none of them 0, not {tuple(x.shape)}"
    if not torch.is_autocast_enabled(x.device.type) and x.dtype != module.weight_hh_l0.dtype:
        return f"input and weights differ: {x.dtype} and {module.weight_hh_l0.dtype}"
    if x.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        return f"it computes in float32, bfloat16 and float16, not in {x.dtype}"
    # A trial is not possible while torch.compile traces.
    return _failure(str(x.device)) if x.is_cuda and not torch.compiler.is_compiling() else None


@functools.cache
def _failure(device: str) -> str | None:
    """Return why Triton does not work here, such as a missing C compiler; None if it works."""
    module = nn.LSTM(16, 16, bidirectional=True, device=device)
    try:
        with torch.no_grad():
            bidirectional_lstm(torch.zeros(1, 1, 16, device=device), module, "triton")
    # Compilers fail in many ways, and none of them should stop a separation.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        warnings.warn(f"Triton does not work here, using nn.LSTM: {reason}", stacklevel=2)
        return f"Triton does not work here: {reason}"
    return None
