"""Activation checkpointing: the same gradients, a fraction of the memory."""

from __future__ import annotations

import copy
from unittest import mock

import pytest
import torch
from torch.nn import functional as F

from asteroid_bsrnn import UserError, presets
from asteroid_bsrnn.kernels import cpu, keeps_little, normalised_lstm
from asteroid_bsrnn.masknn import TAC, FullBandAttention, ResidualRecurrent, SequenceNorm
from asteroid_bsrnn.masknn.separator import (
    MODES,
    DualPathBlock,
    DualPathSeparator,
    set_activation_checkpointing,
)
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


# Three bands of one width, two of another one, and the rest.
BANDS = ((3, 500), (2, 2000))


def form_of(name: str, **changes) -> tuple[torch.nn.Module, torch.Tensor]:
    """A small network with weights of its own, and a mixture."""
    torch.manual_seed(0)
    source = None if presets.is_simo(name) else "vocals"
    network = presets.build(name, source, **{"feature_dim": 16, "bands": BANDS, **changes})
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network, torch.randn(2, 2, 9000)


def deviation(found: dict, expected: dict) -> float:
    """Norm of the difference of all gradients by the norm of what is expected."""
    pairs = [(found[name].double(), expected[name].double()) for name in expected]
    difference = sum((one - other).square().sum() for one, other in pairs)
    return (difference / sum(other.square().sum() for _, other in pairs)).sqrt().item()


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_are_the_same_and_memory_less(autocast):
    network, mixture = form_of("obsrnn", n_repeats=4, bands=None)
    if autocast:
        exact, _ = gradients(copy.deepcopy(network).double(), mixture.double())
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        expected, plenty = gradients(network, mixture)
        for mode, share in (("layers", 0.6), ("selective", 0.25), ("block", 0.2)):
            set_activation_checkpointing(network, mode)
            found, little = gradients(network, mixture)
            if autocast:
                assert deviation(found, exact) < 1.2 * deviation(expected, exact), mode
            else:
                # The masks of a few bands come from smaller products, which may add in another
                # order.
                assert deviation(found, expected) < 1e-6, mode
            assert little < share * plenty, mode


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("obsrnn", {}),
        ("obsrnn_simo", {}),
        ("bsrnn_tac_tanh", {}),
        ("bsrnn_multihead2", {}),
        ("bsrnn_gru", {}),
        ("bsrnn", {"causal": True, "norm_groups": 2}),
        ("bsrnn_naive", {"attention_heads": 1}),
        ("bscnn", {}),
    ],
)
def test_gradients_equal_those_of_float64(name, changes):
    network, mixture = form_of(name, n_repeats=1, **changes)
    exact, _ = gradients(copy.deepcopy(network).double(), mixture.double())
    for mode in MODES:
        set_activation_checkpointing(network, mode)
        found, _ = gradients(network, mixture)
        assert deviation(found, exact) < 1e-5, mode
        if mode != "none":
            twice = copy.deepcopy(network).double()
            assert deviation(gradients(twice, mixture.double())[0], exact) < 1e-10, mode


def test_two_accumulated_batches_are_one():
    network, mixture = form_of("obsrnn", n_repeats=1)
    expected, _ = gradients(copy.deepcopy(network).double(), mixture.double())
    for mode in MODES:
        set_activation_checkpointing(network, mode)
        network.zero_grad()
        for part in mixture.split(1):
            (network(part).square().mean() / 2).backward()
        found = {name: parameter.grad for name, parameter in network.named_parameters()}
        assert deviation(found, expected) < 1e-5, mode


class GroupNorm(torch.nn.Module):
    """What `SequenceNorm` is equivalent to, as torch computes it."""

    def __init__(self, norm: SequenceNorm):
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self.n_groups, self.eps = norm.n_groups, norm.eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = x.flatten(1, -2).permute(1, 2, 0)
        rows = F.group_norm(rows, self.n_groups, self.weight, self.bias, self.eps)
        return rows.permute(2, 0, 1).reshape(x.shape)


def test_gradients_of_convolutions_equal_those_with_plain_norms():
    network, mixture = form_of("bscnn", n_repeats=1)
    plain = copy.deepcopy(network).double()
    for module in list(plain.modules()):
        for name, child in module.named_children():
            if isinstance(child, SequenceNorm):
                setattr(module, name, GroupNorm(child))
    with mock.patch.object(cpu, "observed", return_value=True):  # plain operations
        expected, _ = gradients(plain, mixture.double())
    for mode in MODES:
        set_activation_checkpointing(network, mode)
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            found, _ = gradients(copy.deepcopy(network).to(dtype), mixture.to(dtype))
            assert deviation(found, expected) < tolerance, mode


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_lstm_that_keeps_little(dtype, recompute):
    torch.manual_seed(0)
    lstm, linear = torch.nn.LSTM(6, 16, bidirectional=True), torch.nn.Linear(32, 6)
    # As along bands: a transposed view, with more sequences than fill a tile of a processor.
    x = torch.randn(5, 9, 7, 6).transpose(0, 1)
    scale, shift = torch.randn(1, 5, 7, 6), torch.randn(6)
    weights = torch.randn(9, 5, 7, 6)
    results = []
    for exact in (False, True):
        modules = copy.deepcopy((lstm, linear))
        leaves = [t.clone().requires_grad_() for t in (x, scale, shift)]
        if exact:
            modules = tuple(module.double() for module in modules)
            leaves = [leaf.detach().double().requires_grad_() for leaf in leaves]
            sequences = (leaves[0] * leaves[1] + leaves[2]).flatten(1, -2)
            y = modules[1](modules[0](sequences)[0]).reshape(x.shape)
        else:
            with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
                assert keeps_little(leaves[0], *modules)
                y = normalised_lstm(*leaves, *modules, recompute=recompute)
                assert y.dtype == dtype
        (y * weights).sum().backward()
        leaves += [parameter for module in modules for parameter in module.parameters()]
        results.append([y, *(leaf.grad for leaf in leaves)])
    tolerance = 1e-6 if dtype == torch.float32 else 1.5e-2
    for found, expected in zip(*results, strict=True):
        assert (found.double() - expected).norm() <= tolerance * expected.norm()


def test_the_lstm_that_keeps_little_has_no_second_derivative():
    lstm, linear = torch.nn.LSTM(3, 4, bidirectional=True), torch.nn.Linear(8, 2)
    inputs = [torch.randn(size).requires_grad_() for size in ((4, 2, 3), (3,), (3,))]
    y = normalised_lstm(*inputs, lstm, linear, recompute=True)
    gradient = torch.autograd.grad(y.sum(), inputs[0], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        gradient.sum().backward()


def test_only_layers_that_it_computes_are_taken():
    lstm, linear = torch.nn.LSTM(3, 4, bidirectional=True), torch.nn.Linear(8, 2)
    x = torch.randn(4, 2, 3)
    assert keeps_little(x, lstm, linear)
    assert not keeps_little(x.double(), lstm, linear)
    assert not keeps_little(x[:0], lstm, linear)
    assert not keeps_little(x, torch.nn.LSTM(3, 4), torch.nn.Linear(4, 2))
    assert not keeps_little(x, copy.deepcopy(lstm).double(), linear)
    with torch.no_grad():
        assert not keeps_little(x, lstm, linear)
    with torch.autocast("cpu", torch.float16):
        assert not keeps_little(x, lstm, linear)


class Twice(torch.nn.Module):
    """A network that is called twice in one forward pass."""

    def __init__(self, network: torch.nn.Module):
        super().__init__()
        self.network = network

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        return self.network(mixture) + self.network(mixture.flip(-1))


USED_TWICE = [*(("obsrnn", mode) for mode in MODES), ("obsrnn_simo", "none"), ("bscnn", "layers")]


def train_on_rank(rank: int, address: str, folder: str) -> None:
    """Take the gradients of two accumulated batches in one of two processes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", address, rank=rank, world_size=2)
    for name, mode in USED_TWICE:
        network, mixture = form_of(name, n_repeats=1)
        set_activation_checkpointing(network, mode)
        parallel = torch.nn.parallel.DistributedDataParallel(Twice(network))
        with parallel.no_sync():
            parallel(mixture[rank : rank + 1]).square().mean().backward()
        parallel(mixture[rank : rank + 1]).square().mean().backward()
        found = {name: parameter.grad for name, parameter in network.named_parameters()}
        torch.save(found, f"{folder}/{name}_{mode}{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_that_use_a_network_twice(tmp_path):
    arguments = (f"file://{tmp_path}/address", str(tmp_path))
    torch.multiprocessing.spawn(train_on_rank, arguments, nprocs=2)
    for name in dict(USED_TWICE):
        network, mixture = form_of(name, n_repeats=1)
        twice = Twice(network.double())
        parts = [gradients(twice, part.double())[0] for part in mixture.split(1)]
        expected = {
            key: parts[0][f"network.{key}"] + parts[1][f"network.{key}"]
            for key, _ in network.named_parameters()
        }
        for mode in (mode for other, mode in USED_TWICE if other == name):
            for rank in range(2):
                found = torch.load(tmp_path / f"{name}_{mode}{rank}.pt")
                assert deviation(found, expected) < 1e-5, (name, mode)


@pytest.mark.parametrize("mode", MODES)
def test_compiled_layers_have_the_same_gradients(mode):
    """`torch.compile` decides itself what to keep; it runs `nn.LSTM` as it is in every mode."""
    # All modes give the same graphs: one of them passes the slower backend.
    backend = "aot_eager" if mode == "none" else "eager"
    torch.manual_seed(0)
    layers = {"tac": TAC(4), "attention": FullBandAttention(4, 3)}
    separator = DualPathSeparator([DualPathBlock(ResidualRecurrent(4), None, **layers)])
    set_activation_checkpointing(separator, mode)
    x, found = torch.randn(5, 3, 2, 4), []
    for compiled in (False, True):
        separator.zero_grad()
        function = torch.compile(separator, backend=backend) if compiled else separator
        function(x, 2).square().mean().backward()
        found.append({name: parameter.grad for name, parameter in separator.named_parameters()})
    torch._dynamo.reset()
    assert deviation(found[1], found[0]) < 1e-5


@pytest.mark.parametrize("mode", MODES)
def test_the_recipe_asks_for(mode):
    config = recipe.resolve("obsrnn", "vocals", {"training": {"activation_checkpointing": mode}})
    config["model"] |= {"feature_dim": 4, "n_repeats": 1}
    masker = recipe.build_model(config).masker
    block = masker.separator.blocks[0]
    assert masker.separator.recomputes is (mode == "block")
    assert block.recomputes is (mode == "selective")
    assert block.time_layer.recomputes is (mode in ("layers", "selective"))
    assert block.tac.recomputes is (mode != "none")
    assert block.attention.output.recomputes is (mode != "none")
    assert masker.mask_estimator.recomputes is (mode in ("selective", "block"))


def test_convolutions_recompute_except_in_the_mode_none():
    network, mixture = form_of("bscnn", n_repeats=1)
    expected, plenty = gradients(network, mixture)
    set_activation_checkpointing(network, "layers")
    found, little = gradients(network, mixture)
    assert deviation(found, expected) < 1e-5
    assert little < 0.8 * plenty


def test_the_recipe_takes_the_values_of_earlier_versions():
    for former, mode in ((True, "block"), (False, "none")):
        changes = {"training": {"activation_checkpointing": former}}
        config = recipe.resolve("bsrnn", "vocals", changes)
        assert config["training"]["activation_checkpointing"] == mode
        assert changes["training"]["activation_checkpointing"] is former
    assert recipe.resolve("bsrnn", "vocals")["training"]["activation_checkpointing"] == "none"
    with pytest.raises(UserError, match="is 'all'; valid: none, layers, selective, block"):
        recipe.resolve("bsrnn", "vocals", {"training": {"activation_checkpointing": "all"}})
    with pytest.raises(ValueError, match="not 'all'"):
        set_activation_checkpointing(torch.nn.Identity(), "all")


def test_the_message_for_too_little_memory_names_what_helps():
    config = recipe.resolve("bsrnn", "vocals")
    message = recipe.out_of_memory(config)
    assert message == (
        "out of memory: try --set training.activation_checkpointing=layers, then also "
        "training.precision=bf16-mixed, then also training.batch_size=1 training.accumulate=2"
    )
    for mode, advice in (
        ("layers", "training.activation_checkpointing=selective"),
        ("selective", "training.activation_checkpointing=block"),
        ("block", "training.precision=bf16-mixed"),
    ):
        config = recipe.resolve("bsrnn", "vocals", {"training": {"activation_checkpointing": mode}})
        message = recipe.out_of_memory(config)
        assert message.startswith(f"out of memory: try --set {advice}, then also "), mode
    changes = {
        "activation_checkpointing": "block", "precision": "bf16-mixed", "batch_size": 1
    }  # fmt: skip
    config = recipe.resolve("bsrnn", "vocals", {"training": changes})
    assert recipe.out_of_memory(config) == "out of memory: try --set data.segment=1.5"


def test_it_is_no_part_of_the_model(tmp_path):
    network = presets.build("bsrnn", "vocals", feature_dim=4, n_repeats=1)
    other = copy.deepcopy(network)
    set_activation_checkpointing(network, "selective")
    set_activation_checkpointing(network, True)
    assert network.masker.separator.recomputes
    assert network.get_model_args() == other.get_model_args()
    assert network.state_dict().keys() == other.state_dict().keys()
    checkpoint.save_model(network, tmp_path / "model.pth")
    loaded = type(network).from_pretrained(tmp_path / "model.pth")
    assert not loaded.masker.separator.recomputes
    set_activation_checkpointing(network, False)
    assert not network.masker.separator.recomputes


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
