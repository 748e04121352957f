"""The fused LSTM, its twin in plain torch, and the choice between implementations."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from asteroid_bsrnn import UserError, kernels, presets
from asteroid_bsrnn.kernels import choose
from asteroid_bsrnn.kernels.lstm_fused import bidirectional_lstm

from .kernels_checks import TOLERANCES, lstm_errors
from .warm_python import python

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("shape", [(1, 1, 5, 64), (2, 5000, 8, 64), (57, 7, 24, 128)], ids=str)
def test_twin_is_nn_lstm(shape):
    errors = lstm_errors(shape, recurrence="plain", strided=shape[0] > 2)
    assert max(errors.values()) <= TOLERANCES[torch.float32], errors


@pytest.mark.parametrize("dtype", list(TOLERANCES))
@pytest.mark.parametrize("shape", [(259, 1, 8, 64), (41, 3, 16, 256)], ids=str)
def test_twin_in_each_type(shape, dtype):
    errors = lstm_errors(shape, dtype=dtype, recurrence="plain")
    assert max(errors.values()) <= TOLERANCES[dtype], errors


def in_interpreter(*arguments: str) -> subprocess.CompletedProcess:
    """The kernels' tests in a process that has chosen Triton's interpreter."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--no-header"]
    return subprocess.run(
        [*command, "tests/kernels_triton_test.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=3000,
    )


@pytest.mark.parametrize(
    "which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)], ids=["fast", "slow"]
)
def test_triton_kernels_in_the_interpreter(which):
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    done = in_interpreter("-m", which)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


# --- the operation -------------------------------------------------------------------------------


@pytest.fixture
def layer():
    torch.manual_seed(0)
    return nn.LSTM(6, 16, bidirectional=True), torch.randn(5, 3, 6, requires_grad=True)


def test_operation_keeps_torchs_rules(layer):
    _, x = layer
    sizes = ((128, 6), (2, 64, 16), (128,))
    weights = [torch.randn(*size, requires_grad=True) for size in sizes]
    operation = torch.ops.asteroid_bsrnn.lstm.default
    torch.library.opcheck(operation, (x, *weights, "plain", True, False))


def test_second_derivative_is_refused(layer):
    module, x = layer
    output = bidirectional_lstm(x, module, "plain")
    (gradient,) = torch.autograd.grad(output.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivative.*use\('torch'\)"):
        gradient.sum().backward()


def test_autocast_decides_the_type(layer):
    module, x = layer
    with torch.autocast("cpu", torch.bfloat16):
        output = bidirectional_lstm(x, module, "plain")
        output.float().sum().backward()
    assert output.dtype == torch.bfloat16
    assert {p.grad.dtype for p in module.parameters()} == {torch.float32} == {x.grad.dtype}
    assert bidirectional_lstm(x, module, "plain").dtype == torch.float32


def saved(function) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """What a function returns, and the memory that it keeps for its gradients."""
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = function()
    return result, list(kept.values())


def test_only_inputs_states_and_cells_are_kept(layer):
    module, x = layer
    output, kept = saved(lambda: bidirectional_lstm(x, module, "plain"))
    activations = [tensor for tensor in kept if tensor.shape[:2] == (5, 3)]
    assert sum(t.numel() for t in activations) == x.numel() + 2 * output.numel()
    with torch.no_grad():
        _, kept = saved(lambda: bidirectional_lstm(x, module, "plain"))
    assert not kept


def test_compiles_as_one_graph(layer):
    module, x = layer
    with torch._dynamo.config.patch(allow_rnn=True):
        compiled = torch.compile(bidirectional_lstm, fullgraph=True, backend="aot_eager")
        output = compiled(x, module, "plain")
        output.sum().backward()
    gradient, x.grad = x.grad, None
    expected = module(x)[0]
    expected.sum().backward()
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(gradient, x.grad)


# --- the choice ----------------------------------------------------------------------------------


def test_networks_hold_their_outputs_with_the_fused_layer(monkeypatch):
    torch.manual_seed(0)
    network = presets.build("obsrnn", "vocals", feature_dim=8, n_repeats=1).eval()
    mixture = torch.randn(1, 2, 8000)
    calls = []

    def plain(x, module, recurrence, *norm):
        calls.append(recurrence)
        return bidirectional_lstm(x, module, "plain", *norm)

    with torch.no_grad():
        expected = network(mixture)
        monkeypatch.setattr(choose, "bidirectional_lstm", plain)
        monkeypatch.setattr(choose, "_obstacle", lambda *_: None)
        with kernels.use("triton"):
            torch.testing.assert_close(network(mixture), expected, rtol=1e-4, atol=1e-5)
    assert calls == ["triton", "triton"]


def test_use_sets_or_lends():
    assert kernels.implementation() == "auto"
    with kernels.use("torch"):
        assert kernels.implementation() == "torch"
        with kernels.use("triton"):
            assert kernels.implementation() == "triton"
        assert kernels.implementation() == "torch"
    assert kernels.implementation() == "auto"
    kernels.use("torch")
    assert kernels.implementation() == "torch"
    kernels.use("auto")
    with pytest.raises(UserError, match="'cudnn'.* auto, torch, triton"):
        kernels.use("cudnn")
    assert kernels.implementation() == "auto"


def test_cpu_runs_nn_lstm(layer, monkeypatch):
    module, x = layer
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    expected = module(x)[0]
    for implementation in ("auto", "torch", None):
        assert torch.equal(kernels.lstm(x, module, implementation), expected)


def test_auto_means_nn_lstm_where_nothing_was_measured(layer, monkeypatch):
    module, x = layer
    assert not choose.MEASURED, "an entry needs a run of benchmarks/gpu.sh on that GPU"
    calls = []

    class OnGPU:
        is_cuda, device, dtype = True, "cuda:0", torch.bfloat16

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GPU A")
    monkeypatch.setattr(choose, "torch_lstm", lambda *_: calls.append("torch"))
    monkeypatch.setattr(choose, "bidirectional_lstm", lambda *_: calls.append("triton"))
    monkeypatch.setattr(choose, "_obstacle", lambda *_: None)
    bfloat16, float32 = torch.bfloat16, torch.float32
    others = [
        {},
        {"GPU B": {bfloat16: {16}}},
        {"GPU A": {float32: {16}}},
        {"GPU A": {bfloat16: {8}}},
    ]
    for measured in [*others, {"GPU A": {bfloat16: {16}}}]:
        monkeypatch.setattr(choose, "MEASURED", measured)
        kernels.lstm(OnGPU, module)
    assert calls == 4 * ["torch"] + ["triton"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "needs a GPU, and the tensors are on cpu"),
        ({"num_layers": 2}, "one bidirectional layer"),
        ({"bidirectional": False}, "one bidirectional layer"),
        ({"batch_first": True}, "one bidirectional layer"),
        ({"bias": False}, "one bidirectional layer"),
        ({"hidden_size": 20}, "multiple of 16, not 20"),
        ({"dtype": torch.float64}, "not in torch.float64"),
    ],
)
def test_where_triton_cannot_serve(settings, words, monkeypatch):
    monkeypatch.setitem(os.environ, "TRITON_INTERPRET", "1" if settings else "0")
    pytest.importorskip("triton")
    settings = {"hidden_size": 16, "bidirectional": True, "dtype": torch.float32, **settings}
    module = nn.LSTM(6, **settings)
    with pytest.raises(UserError, match=f"cannot run on Triton: .*{words}.*; choose") as raised:
        kernels.lstm(torch.randn(4, 3, 6, dtype=settings["dtype"]), module, "triton")
    assert "\n" not in str(raised.value)


def test_a_broken_triton_is_told_once():
    pytest.importorskip("triton")
    choose._failure.cache_clear()
    # Kernels cannot start on a CPU: what a machine without a compiler is like.
    with pytest.warns(UserWarning, match="Triton does not work here, using nn.LSTM: "):
        reason = choose._failure("cpu")
    assert reason.startswith("Triton does not work here: ") and "\n" not in reason
    assert choose._failure("cpu") == reason
    choose._failure.cache_clear()


def test_environment_variable_chooses():
    # The variable is read when the module is imported.
    script = (
        "import importlib, sys\n"
        "for name in ('asteroid_bsrnn.kernels', 'asteroid_bsrnn.kernels.choose'):\n"
        "    del sys.modules[name]\n"
        "print(importlib.import_module('asteroid_bsrnn.kernels').implementation())"
    )
    for value, printed in (("torch", "torch"), ("Torch", "")):
        environment = {**os.environ, "ASTEROID_BSRNN_LSTM": value}
        done = subprocess.run(
            [python(), "-c", script], env=environment, capture_output=True, text=True
        )
        assert done.stdout.strip() == printed
        assert ("ASTEROID_BSRNN_LSTM is 'Torch'" in done.stderr) == (printed == "")
