"""Comparing a fused LSTM with `nn.LSTM` in float64, for tests and benchmarks."""

from __future__ import annotations

import copy

import torch
from torch import nn

from asteroid_bsrnn.kernels.lstm_fused import bidirectional_lstm

# Largest relative error of outputs and gradients.
TOLERANCES = {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 1e-2}


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """Norm of the difference by the norm of what is expected; NaN for NaN."""
    difference = actual.detach().double().cpu() - expected.detach()
    return (difference.norm() / expected.detach().norm()).item()


def strided_noise(n_steps: int, n_batch: int, n_features: int, strided: bool) -> torch.Tensor:
    """Random values, none of them 0; strided: a slice of a transposed tensor."""
    if not strided:
        return torch.randn(n_steps, n_batch, n_features) + 0.1
    return (torch.randn(n_batch, n_steps, n_features + 3) + 0.1).transpose(0, 1)[..., 2:-1]


def lstm_errors(
    shape: tuple[int, int, int, int],
    *,
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
    recurrence: str = "triton",
    strided: bool = False,
) -> dict[str, float]:
    """Relative errors of the outputs and of all gradients, for (T, B, N, H) and random values.

    The float64 network has the very parameters and inputs of the other one, rounded to its type.
    Memory that is not written is NaN.
    """
    n_steps, n_batch, n_features, n_hidden = shape
    torch.manual_seed(sum(shape))
    module = nn.LSTM(n_features, n_hidden, bidirectional=True).to(dtype)
    exact = copy.deepcopy(module).double()
    module = module.to(device)
    x = strided_noise(n_steps, n_batch, n_features, strided).to(dtype)
    gradient = strided_noise(n_steps, n_batch, 2 * n_hidden, strided).to(dtype)
    inputs = x.to(device).detach().requires_grad_()
    exact_inputs = x.detach().double().requires_grad_()

    before = torch.are_deterministic_algorithms_enabled()
    # In this mode torch fills new memory with NaN.
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        output = bidirectional_lstm(inputs, module, recurrence)
        output.backward(gradient.to(device))
    finally:
        torch.use_deterministic_algorithms(before)
    exact_output, _ = exact(exact_inputs)
    exact_output.backward(gradient.double())

    errors = {"output": relative_error(output, exact_output)}
    errors["inputs"] = relative_error(inputs.grad, exact_inputs.grad)
    for (name, parameter), other in zip(module.named_parameters(), exact.parameters(), strict=True):
        if other.grad.norm() > 0:  # recurrent weights have no gradient in one step
            errors[name] = relative_error(parameter.grad, other.grad)
        elif parameter.grad.abs().max() > 0:
            errors[name] = float("inf")
    return errors
