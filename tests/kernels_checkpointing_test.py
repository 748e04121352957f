"""Activation checkpointing: the same gradients, a fraction of the memory."""

from __future__ import annotations

import copy

import pytest
import torch

from asteroid_bsrnn import presets
from asteroid_bsrnn.masknn import SequenceNorm
from asteroid_bsrnn.masknn.separator import set_activation_checkpointing
from asteroid_bsrnn.weights import checkpoint

from .models_test import one_thread  # noqa: F401
from .recipe_rows_test import recipe


def gradients(network: torch.nn.Module, mixture: torch.Tensor) -> tuple[dict, int]:
    """Gradients of all parameters, and bytes kept for them at the end of the forward."""
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    network.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = network(mixture).square().mean()
    loss.backward()
    sizes = {address: tensor.untyped_storage().nbytes() for address, tensor in kept.items()}
    for parameter in network.parameters():
        sizes.pop(parameter.untyped_storage().data_ptr(), None)
    return {name: p.grad.clone() for name, p in network.named_parameters()}, sum(sizes.values())


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_are_the_same_and_memory_less(autocast):
    torch.manual_seed(0)
    network = presets.build("obsrnn", "vocals", feature_dim=16, n_repeats=4)
    mixture = torch.randn(2, 2, 20000)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected, plenty = gradients(network, mixture)
        set_activation_checkpointing(network, True)
        found, little = gradients(network, mixture)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=0, msg=name)
    assert little < 0.3 * plenty


def test_the_recipe_asks_for_it():
    for wanted in (False, True):
        changes = {"training": {"activation_checkpointing": wanted}}
        config = recipe.resolve("bsrnn", "vocals", changes)
        config["model"] |= {"feature_dim": 4, "n_repeats": 1}
        network = recipe.build_model(config)
        assert network.masker.separator.activation_checkpointing is wanted
    assert not recipe.resolve("bsrnn", "vocals")["training"]["activation_checkpointing"]


def test_it_is_no_part_of_the_model(tmp_path):
    network = presets.build("bsrnn", "vocals", feature_dim=4, n_repeats=1)
    other = copy.deepcopy(network)
    set_activation_checkpointing(network, True)
    assert network.masker.separator.activation_checkpointing
    assert network.get_model_args() == other.get_model_args()
    assert network.state_dict().keys() == other.state_dict().keys()
    checkpoint.save_model(network, tmp_path / "model.pth")
    loaded = type(network).from_pretrained(tmp_path / "model.pth")
    assert not loaded.masker.separator.activation_checkpointing
    set_activation_checkpointing(network, False)
    assert not network.masker.separator.activation_checkpointing


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_keep_their_input_alone(dtype):
    torch.manual_seed(0)
    norm = SequenceNorm(6, n_groups=2)
    torch.nn.init.normal_(norm.weight)
    x = (3 * torch.randn(50, 4, 6) + 1).to(dtype).requires_grad_()
    weights = torch.randn(50, 4, 6, dtype=torch.float64)
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", dtype),
    ):
        y = norm(x)
    large = [tensor for tensor in kept.values() if tensor.numel() >= x.numel()]
    assert [tensor.dtype for tensor in large] == [dtype]
    (y * weights).sum().backward()

    exact = copy.deepcopy(norm).double()
    exact.zero_grad()
    x64 = x.detach().double().requires_grad_()
    (exact(x64) * weights).sum().backward()
    for found, expected in ((x, x64), (norm.weight, exact.weight), (norm.bias, exact.bias)):
        error = (found.grad.double() - expected.grad).norm() / expected.grad.norm()
        assert error < 1e-2
