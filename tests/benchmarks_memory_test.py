"""What a training step keeps: the counts of `benchmarks/memory.py` meet their targets."""

from __future__ import annotations

import copy
import functools
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch

from asteroid_bsrnn import presets, zoo
from asteroid_bsrnn.masknn.separator import MODES, set_activation_checkpointing
from asteroid_bsrnn.weights import reference

from .kernels_checkpointing_test import deviation
from .models_test import one_thread  # noqa: F401
from .reference_test import load_fixture
from .warm_python import python

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import memory  # noqa: E402
from memory import GIB, Form, count, count_sample  # noqa: E402
from plain import PlainBSRNN  # noqa: E402

# Blocks of the networks, and seconds that a CPU computes.
BLOCKS, SHORT = {"bsrnn": 8, "obsrnn": 12, "obsrnn_simo": 12}, 0.2


def kept(name: str, form: Form) -> float:
    """GiB for a sample of 3 s, from networks with one and with two blocks.

    Their weights are zeros: what is kept depends on shapes, and to draw weights takes seconds.
    """
    seconds = 3.0 if form.device == "cuda" else SHORT
    with mock.patch.object(torch.Tensor, "uniform_", lambda tensor, *_, **__: tensor.zero_()):
        one, two = (
            sum(count(name, form, seconds=seconds, n_repeats=number).values()) for number in (1, 2)
        )
    return (one + (BLOCKS[name] - 1) * (two - one)) * 3 / seconds / GIB


@pytest.mark.parametrize(
    ("name", "mode", "most"),
    [
        ("bsrnn", "none", 1.4),
        ("bsrnn", "block", 0.5),
        ("obsrnn", "none", 5.0),
        ("obsrnn", "layers", 2.8),
        ("obsrnn", "selective", 2.0),
        ("obsrnn", "block", 1.0),
        ("obsrnn_simo", "none", 6.0),
        ("obsrnn_simo", "selective", 3.0),
    ],
)
def test_a_gpu_keeps_at_most(name, mode, most):
    form = Form(device="cuda", precision="bfloat16", checkpointing=mode)
    assert 0.02 < kept(name, form) < most


@pytest.mark.parametrize(
    ("name", "mode", "most"),
    [
        ("bsrnn", "layers", 1.4),
        ("bsrnn", "selective", 0.5),
        ("bsrnn", "block", 0.5),
        ("obsrnn", "layers", 5.0),
        ("obsrnn", "selective", 2.0),
        ("obsrnn", "block", 2.0),
    ],
)
def test_a_cpu_keeps_at_most(name, mode, most):
    assert 0.02 < kept(name, Form(precision="bfloat16", checkpointing=mode)) < most


def test_layers_of_a_cpu_keep_a_quarter_of_the_plain_form():
    plain = kept("obsrnn_simo", Form(plain=True))
    own = kept("obsrnn_simo", Form(precision="bfloat16", checkpointing="layers"))
    assert 0.02 < own < plain / 4


def test_continued_lengths_are_the_whole():
    """What a CPU keeps of two short lengths tells what it keeps of a longer one."""
    form = Form(precision="bfloat16")
    with mock.patch("memory.SAMPLE_SECONDS", 0.6):
        found = sum(count_sample("bsrnn_attention1", form, 0.2).values())
    whole = sum(count("bsrnn_attention1", form, seconds=0.6).values())
    assert found == pytest.approx(whole, rel=0.01)


def test_kinds_add_up():
    sizes = count("obsrnn", Form(), seconds=SHORT, n_repeats=1)
    assert set(sizes) == {"LSTM", "linear", "attention", "TAC", "mask", "STFT", "loss"}
    assert max(sizes, key=sizes.get) == "LSTM", "oneDNN's workspace"
    again = count("obsrnn", Form(), seconds=SHORT, n_repeats=1)
    assert again == sizes


# In float64, kernels_checkpointing_test.py compares the other modes with "none".
MODES_OF = {torch.float64: ("none",), torch.float32: MODES}


@pytest.mark.parametrize("name", ["base_vocals", "opt_bass"])
def test_gradients_equal_those_of_the_plain_form(name):
    golden = load_fixture()["networks"][name]
    network = zoo.from_reference(golden["state_dict"], golden["config"], golden["targets"])
    plain = PlainBSRNN(network)
    state = {key: value for key, value in golden["state_dict"].items() if "window" not in key}
    plain.load_state_dict(state)
    expected = gradient(plain.double(), golden["mixture"].double())
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        for mode in MODES_OF[dtype]:
            own = copy.deepcopy(network).to(dtype)
            set_activation_checkpointing(own, mode)
            found = gradient(own, golden["mixture"].to(dtype)).double()
            assert (found - expected).norm() < tolerance * expected.norm(), (dtype, mode)


def gradient(network: torch.nn.Module, mixture: torch.Tensor) -> torch.Tensor:
    """The gradient of a mixture, which has passed all layers."""
    mixture = mixture.clone().requires_grad_()
    with torch.enable_grad():
        network(mixture).square().mean().backward()
    return mixture.grad


def nearest_to_a_kink(network: torch.nn.Module, mixture: torch.Tensor) -> float:
    """The smallest input of a PReLU, relative to the root mean square of its inputs."""
    nearest = []

    def look(_, inputs: tuple, __) -> None:
        x = inputs[0]
        nearest.append((x.abs().min() / x.square().mean().sqrt()).item())

    layers = [module for module in network.modules() if isinstance(module, torch.nn.PReLU)]
    hooks = [layer.register_forward_hook(look) for layer in layers]
    with torch.no_grad():
        network(mixture)
    for hook in hooks:
        hook.remove()
    return min(nearest, default=1.0)


def forms_of(name: str) -> tuple[torch.nn.Module, torch.nn.Module, torch.Tensor]:
    """A network in float64, its plain form, and a mixture.

    The gradient of a PReLU jumps at zero. An input within the rounding of float32, 3e-7, can get
    another sign, which changes the gradient of the whole network by up to 1e-3, in either form.
    The mixture is therefore the first one that leads to no such input.
    """
    torch.manual_seed(0)
    source = None if presets.is_simo(name) else "vocals"
    network = presets.build(name, source, feature_dim=16, n_repeats=1)
    plain = PlainBSRNN(network)
    with torch.no_grad():
        for parameter in plain.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    network.load_state_dict(reference.translate(plain.state_dict(), network))
    network, plain = network.double(), plain.double()
    for _ in range(20):
        mixture = torch.randn(2, 2, 9000).double()
        if nearest_to_a_kink(plain, mixture) > 1e-6:
            return network, plain, mixture
    raise AssertionError("every mixture leads to a kink")


def gradients_of(network: torch.nn.Module, mixture: torch.Tensor, dtype: torch.dtype) -> dict:
    """The gradients of all parameters of a copy, by the names of all modules that share them."""
    twin = copy.deepcopy(network).to(dtype)
    gradient(twin, mixture.to(dtype))
    parameters = twin.named_parameters(remove_duplicate=False)
    return {key: parameter.grad for key, parameter in parameters}


@pytest.mark.parametrize(
    "name", ["bsrnn", "bsrnn_tac_tanh", "bsrnn_attention1", "obsrnn", "obsrnn_simo"]
)
def test_gradients_of_parameters_equal_those_of_the_plain_form(name):
    network, plain, mixture = forms_of(name)
    expected, rounded = (
        reference.translate(gradients_of(plain, mixture, dtype), network)
        for dtype in (torch.float64, torch.float32)
    )
    norm = max(other.norm() for other in expected.values())
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        for mode in MODES_OF[dtype]:
            set_activation_checkpointing(network, mode)
            found = gradients_of(network, mixture, dtype)
            found = {key: found[key] for key in expected}
            assert deviation(found, expected) < tolerance, (dtype, mode)
            if dtype == torch.float32:
                limit = 1.5 * deviation(rounded, expected)
                assert deviation(found, expected) < limit, "as precise as the plain form"
            for key, other in expected.items():
                # Biases before a normalisation have no gradient but for rounding.
                error = (found[key].double() - other).norm() / max(other.norm(), norm / 100)
                assert error < tolerance, (key, dtype, mode)


def test_the_report(tmp_path, monkeypatch):
    page = tmp_path / "memory.md"
    command = ["memory.py", "--networks", "bsrnn_gru", "--output", str(page), "--seconds", "0.1"]
    monkeypatch.setattr(sys, "argv", command)
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # as it is set; afterwards it is unset again
    # With one block of eight it takes a fifth of the time.
    monkeypatch.setattr(presets, "build", functools.partial(presets.build, n_repeats=1))
    memory.main()
    assert "| bsrnn_gru | package, CPU, float32 | " in page.read_text()
    assert "plain" not in page.read_text(), "it has no plain form"
    assert page.read_text().count("| bsrnn_gru | package, CPU, ") == 2 * len(MODES)


def test_it_is_a_program(tmp_path):
    page = tmp_path / "memory.md"
    command = [python(), BENCHMARKS / "memory.py", "--networks", "--output", page]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "| network | form | total | " in page.read_text()
