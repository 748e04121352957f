"""Linear layers with their activation in one call, against the two as torch computes them."""

import pytest
import torch
from torch.nn import functional as F

from asteroid_bsrnn import kernels

from .kernels_checks import relative_error

NEEDS_BFLOAT16 = pytest.mark.skipif(not kernels.has_bfloat16(), reason="needs bfloat16 on the CPU")
ACTIVATIONS = {
    "none": lambda x: x,
    "tanh": torch.tanh,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.3),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    "dtype, tolerance",
    [(torch.float32, 1e-6), pytest.param(torch.bfloat16, 5e-3, marks=NEEDS_BFLOAT16)],
)
def test_layers(dtype, tolerance, activation):
    torch.manual_seed(0)
    x, weight, bias = torch.randn(7, 5, 24), torch.randn(24, 40) / 5, torch.randn(40)
    x, weight, bias = (tensor.to(dtype) for tensor in (x, weight, bias))
    slope = 0.3 if activation == "leaky_relu" else None
    with torch.no_grad():
        y = kernels.linear(x, weight.mT, bias, activation, slope)
    exact = ACTIVATIONS[activation](x.double() @ weight.double() + bias.double())
    assert y.dtype == dtype
    assert relative_error(y, exact) < tolerance


def test_where_they_serve():
    x = torch.randn(3, 4)
    kind = torch.bfloat16 if kernels.has_bfloat16() else None
    assert kernels.computing_type(x) is None  # gradients may be wanted
    with torch.no_grad():
        assert kernels.computing_type(x) == torch.float32
        assert kernels.computing_type(x[:0]) is None
        assert kernels.computing_type(x.double()) is None
        assert kernels.computing_type(x.half()) is None
        assert kernels.computing_type(x.bfloat16()) == kind
        with torch.autocast("cpu", torch.bfloat16):
            assert kernels.computing_type(x) == kind
        with torch.autocast("cpu", torch.float16):
            assert kernels.computing_type(x) is None
