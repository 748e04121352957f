"""The LSTM in bfloat16 on a CPU, against float64."""

import copy

import pytest
import torch
from torch import nn

from asteroid_bsrnn import kernels, presets
from asteroid_bsrnn.kernels import lstm_onednn

SHAPES = [(1, 1, 16, 64), (2, 5, 48, 96), (41, 30, 64, 128), (57, 82, 48, 96), (259, 7, 128, 256)]


def close(value, expected, tolerance=1e-2):
    """Within a share of the expected norm: a gradient that is zero must be zero."""
    return (value.double() - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("steps,batch,n_features,n_hidden", SHAPES)
def test_outputs_and_gradients(steps, batch, n_features, n_hidden, bidirectional):
    torch.manual_seed(0)
    module = nn.LSTM(n_features, n_hidden, bidirectional=bidirectional)
    exact = copy.deepcopy(module).double()
    # Every second sequence of a wider tensor: strided, as a caller's may be.
    x = torch.randn(steps, 2 * batch, n_features)[:, ::2].requires_grad_()
    exact_x = x.detach().double().requires_grad_()
    expected = exact(exact_x)[0]
    gradient = torch.randn_like(expected)
    expected.backward(gradient)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = kernels.lstm(x, module)
    hidden.backward(gradient.to(hidden.dtype))
    assert hidden.dtype == torch.bfloat16
    assert close(hidden, expected)
    assert x.grad.dtype == torch.float32
    assert close(x.grad, exact_x.grad)
    for parameter, exact_parameter in zip(module.parameters(), exact.parameters(), strict=True):
        assert parameter.grad.dtype == torch.float32
        assert close(parameter.grad, exact_parameter.grad)


@pytest.mark.parametrize("batch", [33, 82, 88, 358])
def test_sequences_that_fill_the_last_tile_leave_no_trace(batch, monkeypatch):
    torch.manual_seed(0)
    module, x = nn.LSTM(16, 64, bidirectional=True), torch.randn(9, batch, 16)
    gradient = torch.randn(9, batch, 128)
    results = []
    for has_tiles in (False, True):
        monkeypatch.setattr(lstm_onednn, "_has_tiles", lambda has=has_tiles: has)
        module.zero_grad()
        own = x.clone().requires_grad_()
        hidden = lstm_onednn._bfloat16(own, module, None)
        hidden.backward(gradient.to(hidden.dtype))
        results.append([hidden, own.grad, *(weight.grad for weight in module.parameters())])
    for plain, padded in zip(*results, strict=True):
        assert padded.shape == plain.shape
        assert close(padded.double(), plain.double())


@pytest.mark.parametrize(
    ("settings", "calls"),
    [
        ({}, 2),
        ({"bidirectional": False}, 1),
        ({"num_layers": 2}, 4),
        ({"batch_first": True}, 2),
        ({"bias": False}, 2),
    ],
    ids=str,
)
@pytest.mark.parametrize("in_bfloat16", [False, True])
@pytest.mark.parametrize("steps,batch,n_features,n_hidden", SHAPES[:3])
def test_a_linear_layer_behind_it(steps, batch, n_features, n_hidden, in_bfloat16, settings, calls):
    torch.manual_seed(0)
    module = nn.LSTM(n_features, n_hidden, **{"bidirectional": True, **settings})
    linear = nn.Linear(n_hidden * (2 if module.bidirectional else 1), n_features)
    # Every second sequence, and the steps not first in memory: strided, as a caller's may be.
    x = torch.randn(2 * batch, steps, n_features)[::2].transpose(0, 1)
    exact = copy.deepcopy(linear).double()(copy.deepcopy(module).double()(x.double())[0])
    cast = torch.autocast("cpu", torch.bfloat16, enabled=in_bfloat16)
    with_gradients = kernels_lstm(x, module, linear, cast)
    with torch.no_grad(), torch.profiler.profile() as profile:
        without = kernels_lstm(x, module, linear, cast)
    for result in (with_gradients, without):
        assert result.dtype == (torch.bfloat16 if in_bfloat16 else torch.float32)
        assert close(result, exact, 1e-2 if in_bfloat16 else 1e-6)
    events = {event.key: event.count for event in profile.key_averages()}
    if not in_bfloat16 or kernels.has_bfloat16():
        assert events["aten::mkldnn_rnn_layer"] == calls
        # Where the processor has no bfloat16, `nn.LSTM` itself runs, and joins them.
        joined = "aten::cat" in events
        assert settings or not joined, "the states of both directions are not joined"


def kernels_lstm(x, module, linear, cast):
    with cast:
        return kernels.lstm(x, module, linear=linear)


def test_without_autocast_nothing_is_rounded():
    torch.manual_seed(0)
    module, x = nn.LSTM(16, 32, bidirectional=True), torch.randn(9, 3, 16)
    assert torch.equal(kernels.lstm(x, module), module(x)[0])


@pytest.mark.skipif(not kernels.has_bfloat16(), reason="the processor has no bfloat16")
def test_a_network_under_autocast_takes_one_call_a_layer():
    torch.manual_seed(0)
    network = presets.build("obsrnn_simo", feature_dim=16, n_repeats=2).eval()
    mixture = torch.randn(1, 2, 8192)
    with torch.no_grad():
        expected = network(mixture)
        with torch.profiler.profile() as profile, torch.autocast("cpu", torch.bfloat16):
            estimates = network(mixture)
    calls = {event.key: event.count for event in profile.key_averages()}
    # A time and a band layer in each of two blocks, two directions each.
    assert calls["aten::mkldnn_rnn_layer"] == 8
    assert close(estimates, expected.double(), 2e-2)
