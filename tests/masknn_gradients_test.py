"""Layers that keep their inputs in training: their gradients, and what they keep."""

from __future__ import annotations

import copy

import pytest
import torch

from asteroid_bsrnn.kernels import cpu
from asteroid_bsrnn.kernels.lstm_fused import bidirectional_lstm
from asteroid_bsrnn.masknn import TAC, FullBandAttention, SequenceNorm
from asteroid_bsrnn.masknn.separator import set_activation_checkpointing

from .models_test import one_thread  # noqa: F401


def kept_by(function) -> tuple[torch.Tensor, list[tuple]]:
    """The result of a function, and the shapes that are kept for its gradients."""
    shapes = {}

    def keep(tensor):
        shapes[tensor.untyped_storage().data_ptr()] = tuple(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function()
    return result, sorted(shapes.values())


def leaves_of(*modules: torch.nn.Module, shape: tuple) -> list[torch.Tensor]:
    """Inputs of a finite-difference check: noise, which is nowhere near a kink, then parameters."""
    torch.manual_seed(0)
    parameters = [p for module in modules for p in module.double().parameters()]
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return [torch.randn(shape, dtype=torch.float64).requires_grad_(), *parameters]


def test_the_gradient_of_tac_by_finite_differences(monkeypatch):
    tac = TAC(3, expansion=2)
    tac.recomputes = True
    monkeypatch.setattr(cpu, "ROWS", 4)  # several pieces
    leaves = leaves_of(tac, shape=(3, 2, 1, 2, 3))
    assert torch.autograd.gradcheck(lambda x, *_: tac(x), leaves)
    rows = 3 * 2 * 1
    _, kept = kept_by(lambda: tac(leaves[0]))
    sizes = [torch.Size(shape).numel() for shape in kept if len(shape) == 5]
    # The input, and the inputs of the three activations: of both channels, of their mean, of both.
    assert sum(sizes) == rows * (2 * 3 + 2 * 6 + 6 + 2 * 3)


def test_the_gradient_of_attention_by_finite_differences(monkeypatch):
    attention = FullBandAttention(4, 2, n_heads=2, head_dim=3)
    set_activation_checkpointing(attention, "layers")
    monkeypatch.setattr(cpu, "ROWS", 4)
    leaves = leaves_of(attention, shape=(5, 2, 1, 4))
    assert torch.autograd.gradcheck(lambda x, *_: attention(x), leaves, atol=1e-4)
    projection = attention.value
    _, kept = kept_by(lambda: projection(leaves[0]))
    large = [shape for shape in kept if torch.Size(shape).numel() >= leaves[0].numel()]
    assert len(large) == 2, "the input and that of the activation"


@pytest.mark.parametrize("n_groups", [1, 2])
def test_the_gradient_of_a_fused_layer_with_its_norm_by_finite_differences(n_groups):
    norm, lstm = SequenceNorm(4, n_groups=n_groups), torch.nn.LSTM(4, 2, bidirectional=True)
    leaves = leaves_of(norm, lstm, shape=(3, 2, 2, 4))

    def function(x: torch.Tensor, *_) -> torch.Tensor:
        return bidirectional_lstm(x.transpose(0, 1), lstm, "plain", norm.affine(x.transpose(0, 1)))

    expected = lstm(norm(leaves[0].transpose(0, 1)).flatten(1, -2))[0]
    torch.testing.assert_close(function(*leaves), expected)
    assert torch.autograd.gradcheck(function, leaves, atol=1e-4)
    _, kept = kept_by(lambda: function(*leaves))
    assert kept.count((2, 3, 2, 4)) == 1, "the input, before the normalisation"
    assert kept.count((2, 6, 4)) == 2, "states and cells"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", ["tac", "attention"])
def test_layers_are_those_of_plain_operations(layer, dtype):
    torch.manual_seed(0)
    module = TAC(8) if layer == "tac" else FullBandAttention(8, 5, n_heads=2)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    shape = (300, 5, 4, 2, 8) if layer == "tac" else (300, 5, 8, 8)
    x = torch.randn(shape)
    errors, exact = [], None
    for form in ("exact", "plain", "own"):
        twin = copy.deepcopy(module).to(torch.float64 if form == "exact" else torch.float32)
        set_activation_checkpointing(twin, "layers" if form == "own" else "none")
        leaf = x.to(torch.float64 if form == "exact" else dtype, copy=True).requires_grad_()
        rounded = dtype == torch.bfloat16 and form != "exact"
        with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
            y = twin(leaf)
        (y * torch.linspace(-1, 1, y.shape[0]).view(-1, *[1] * (y.ndim - 1))).sum().backward()
        found = [y, leaf.grad, *(parameter.grad for parameter in twin.parameters())]
        exact = found if form == "exact" else exact
        # Some biases before a normalisation have no gradient but for rounding.
        floor = max(other.norm() for other in exact[2:]) / 100
        pairs = zip(found, exact, strict=True)
        errors.append(
            [
                ((one.double() - other).norm() / max(other.norm(), floor)).item()
                for one, other in pairs
            ]
        )
    _, plain, own = errors
    assert max(own[:2]) < (1e-6 if dtype == torch.float32 else 3e-2)
    # Rounding differs, but is as small as that of plain operations in the same type.
    assert sum(own) < 1.5 * sum(plain) + 1e-5
