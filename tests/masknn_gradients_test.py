"""Layers that keep their inputs in training: their gradients, and what they keep."""

from __future__ import annotations

import copy
import importlib
import warnings
from pathlib import Path

import pytest
import torch

import asteroid_bsrnn
from asteroid_bsrnn.kernels import cpu, normalised_lstm
from asteroid_bsrnn.kernels.lstm_fused import bidirectional_lstm
from asteroid_bsrnn.masknn import (
    TAC,
    FullBandAttention,
    ResidualConv,
    ResidualDilatedConvs,
    SequenceNorm,
)
from asteroid_bsrnn.masknn.convolutional import SequenceConv, normalised_conv
from asteroid_bsrnn.masknn.norm import statistics
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


def tac():
    layer = TAC(3, expansion=2)
    layer.recomputes = True
    return lambda x, *_: layer(x), leaves_of(layer, shape=(3, 2, 1, 2, 3))


def attention():
    layer = FullBandAttention(4, 2, n_heads=2, head_dim=3)
    set_activation_checkpointing(layer, "layers")
    return lambda x, *_: layer(x), leaves_of(layer, shape=(5, 2, 1, 4))


def convolutions():
    norm, conv = SequenceNorm(4), SequenceConv(4, 3, 3, dilation=2)
    conv.recomputes = True
    leaves = leaves_of(norm, conv, shape=(5, 3, 2, 4))
    return lambda x, *_: normalised_conv(x.split(2, dim=-1), norm, conv), leaves


def variance_and_mean():
    return lambda x: torch.cat(statistics(x, (0, -1))), leaves_of(shape=(6, 3, 4))


def fused_lstm(n_groups: int = 2):
    norm, lstm = SequenceNorm(4, n_groups=n_groups), torch.nn.LSTM(4, 2, bidirectional=True)
    leaves = leaves_of(norm, lstm, shape=(3, 2, 2, 4))

    def function(x: torch.Tensor, *_) -> torch.Tensor:
        return bidirectional_lstm(x.transpose(0, 1), lstm, "plain", norm.affine(x.transpose(0, 1)))

    return function, leaves


def onednn_lstm():
    lstm, linear = torch.nn.LSTM(3, 4, bidirectional=True), torch.nn.Linear(8, 2)
    vectors = [torch.randn(3).requires_grad_() for _ in range(2)]
    # As many steps as features: the shift of the features is not cut along the steps.
    leaves = [torch.randn(3, 2, 3).requires_grad_(), *vectors]

    def function(x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor, *_) -> torch.Tensor:
        return normalised_lstm(x, scale, shift, lstm, linear, recompute=True)

    return function, [*leaves, *lstm.parameters(), *linear.parameters()]


CASES = {
    "kernels.lstm_fused._NormalisedLSTM": fused_lstm,
    "kernels.lstm_onednn._NormalisedLSTM": onednn_lstm,
    "masknn.attention._ActivatedNorm": attention,
    "masknn.convolutional._NormalisedConv": convolutions,
    "masknn.norm._Statistics": variance_and_mean,
    "masknn.tac._Exchange": tac,
}


def autograd_functions() -> dict[str, type]:
    """The autograd functions that the package's own files define, by module and name."""
    folder = Path(asteroid_bsrnn.__file__).parent
    found = {}
    for path in folder.rglob("*.py"):
        if "torch.autograd.Function)" in path.read_text():
            parts = path.relative_to(folder).with_suffix("").parts
            module = importlib.import_module(".".join(("asteroid_bsrnn", *parts)))
            for name, value in vars(module).items():
                if isinstance(value, type) and issubclass(value, torch.autograd.Function):
                    found[".".join((*parts, name))] = value
    return found


def nodes_of(result: torch.Tensor) -> set[type]:
    """The kinds of operations in the graph of a result."""
    found, waiting = set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found.add(node)
            waiting += [following for following, _ in node.next_functions]
    return {type(node) for node in found}


def test_every_autograd_function_has_a_case():
    assert set(autograd_functions()) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_of_a_function_by_finite_differences(name, monkeypatch):
    for limit, value in (("ROWS", 4), ("ELEMENTS", 16), ("MANY", 1)):
        monkeypatch.setattr(cpu, limit, value)  # several pieces
    torch.manual_seed(0)
    function, leaves = CASES[name]()
    assert autograd_functions()[name]._backward_cls in nodes_of(function(*leaves))
    if leaves[0].dtype == torch.float64:
        assert torch.autograd.gradcheck(function, leaves, atol=1e-4)
        return
    # oneDNN has no float64: steps and tolerances are those of float32.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert torch.autograd.gradcheck(function, leaves, eps=1e-2, atol=5e-3, rtol=1e-2)


def test_the_gradient_of_the_fused_lstm_without_a_norm_by_finite_differences():
    lstm = torch.nn.LSTM(4, 2, bidirectional=True)
    leaves = leaves_of(lstm, shape=(3, 2, 4))
    assert torch.autograd.gradcheck(lambda x, *_: bidirectional_lstm(x, lstm, "plain"), leaves)


def test_what_tac_keeps(monkeypatch):
    monkeypatch.setattr(cpu, "ROWS", 4)
    function, leaves = tac()
    rows = 3 * 2 * 1
    _, kept = kept_by(lambda: function(*leaves))
    sizes = [torch.Size(shape).numel() for shape in kept if len(shape) == 5]
    # The input, and the inputs of the three activations: of both channels, of their mean, of both.
    assert sum(sizes) == rows * (2 * 3 + 2 * 6 + 6 + 2 * 3)


def test_what_attention_keeps():
    layer = FullBandAttention(4, 2, n_heads=2, head_dim=3)
    set_activation_checkpointing(layer, "layers")
    x = leaves_of(layer, shape=(5, 2, 1, 4))[0]
    _, kept = kept_by(lambda: layer.value(x))
    large = [shape for shape in kept if torch.Size(shape).numel() >= x.numel()]
    assert len(large) == 2, "the input and that of the activation"


def test_convolutions_keep_their_inputs_once():
    layer = ResidualDilatedConvs(3, n_dilated=3)
    set_activation_checkpointing(layer, "layers")
    x = leaves_of(layer, shape=(9, 2, 5, 3))[0]
    _, kept = kept_by(lambda: layer(x))
    large = [shape for shape in kept if torch.Size(shape).numel() >= x.numel()]
    # The input, and the results of the input, the three dilated, the fusing and the last layers.
    assert large == [(9, 2, 5, 3)] * (1 + 1 + 3 + 3 + 1)
    layer = ResidualConv(3, expansion=2)
    set_activation_checkpointing(layer, "layers")
    leaves_of(layer, shape=(1,))
    _, kept = kept_by(lambda: layer(x))
    large = [shape for shape in kept if torch.Size(shape).numel() >= x.numel()]
    assert sum(torch.Size(shape).numel() for shape in large) == x.numel() * (1 + 2)


@pytest.mark.parametrize("n_groups", [1, 2])
def test_a_fused_layer_with_its_norm(n_groups):
    function, leaves = fused_lstm(n_groups)
    x = leaves[0].detach().transpose(0, 1)
    norm, lstm = SequenceNorm(4, n_groups=n_groups), torch.nn.LSTM(4, 2, bidirectional=True)
    parameters = [*norm.double().parameters(), *lstm.double().parameters()]
    with torch.no_grad():
        for parameter, leaf in zip(parameters, leaves[1:], strict=True):
            parameter.copy_(leaf)
    torch.testing.assert_close(function(*leaves), lstm(norm(x).flatten(1, -2))[0])
    _, kept = kept_by(lambda: function(*leaves))
    assert kept.count((2, 3, 2, 4)) == 1, "the input, before the normalisation"
    assert kept.count((2, 6, 4)) == 2, "states and cells"


@pytest.mark.parametrize("n_parts", [1, 3])
@pytest.mark.parametrize("causal", [False, True])
def test_convolutions_are_those_of_plain_operations(n_parts, causal):
    norm = SequenceNorm(2 * n_parts, step_wise=causal)
    conv = SequenceConv(2 * n_parts, 3, 3, dilation=2, causal=causal)
    conv.recomputes = True
    leaves = leaves_of(norm, conv, shape=(9, 4, 2, 2 * n_parts))
    x = leaves[0].transpose(0, 1)
    results = []
    for plain in (False, True):
        y = conv(norm(x)) if plain else normalised_conv(x.split(2, dim=-1), norm, conv)
        results.append((y, *torch.autograd.grad(y.square().sum(), leaves)))
    torch.testing.assert_close(*results, rtol=1e-10, atol=1e-10)


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
