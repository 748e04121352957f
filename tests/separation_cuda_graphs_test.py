"""CUDA graphs where there is no GPU: when they are recorded, replayed and left out."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from asteroid_bsrnn import BSRNN, Separator
from asteroid_bsrnn.separation import device
from asteroid_bsrnn.separation.device import MOST_GRAPHS, GraphedCall


class Doubler(nn.Module):
    """Counts the calls of its method."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.calls = 0

    def double(self, x):
        self.calls += 1
        return self.weight * x

    def forward(self, x):
        return self.double(x)


@pytest.fixture
def recorded(monkeypatch):
    """The shapes that were recorded, by a recorder that needs no GPU."""
    shapes = []

    def record(function, x):
        shapes.append(tuple(x.shape))
        return lambda x: 2 * x

    monkeypatch.setattr(device, "can_record", lambda x: not torch.is_grad_enabled())
    monkeypatch.setattr(device, "record", record)
    return shapes


@torch.no_grad()
def call(graphs, module, *shape):
    x = torch.randn(shape)
    with graphs.installed():
        torch.testing.assert_close(module(x), 2 * x)
    assert "double" not in vars(module)


def test_the_second_call_of_a_shape_records_and_later_ones_replay(recorded):
    module = Doubler()
    graphs = GraphedCall(module, "double")
    for calls, shape in ((1, (3,)), (1, (3,)), (1, (3,)), (2, (2,)), (2, (3,)), (2, (2,))):
        call(graphs, module, *shape)
        assert module.calls == calls
    assert recorded == [(3,), (2,)]
    for _ in range(3):
        call(graphs, module, 7)
    assert MOST_GRAPHS == 2 and recorded == [(3,), (2,)], "no more graphs than that"
    assert module.calls == 5


def test_graphs_are_recorded_anew_where_the_weights_moved(recorded):
    module = Doubler()
    graphs = GraphedCall(module, "double")
    for _ in range(2):
        call(graphs, module, 3)
    with torch.no_grad():
        module.weight.mul_(1)
    call(graphs, module, 3)
    assert recorded == [(3,)]
    held = module.weight.data
    module.weight.data = held.clone()
    call(graphs, module, 3)
    assert recorded == [(3,), (3,)]


def test_gradients_are_not_lost(recorded):
    module = Doubler()
    graphs = GraphedCall(module, "double")
    for _ in range(3):
        with graphs.installed():
            module(torch.ones(3)).sum().backward()
    assert not recorded and module.calls == 3 and module.weight.grad == 9


def test_a_recording_that_fails_warns_once_and_the_plain_call_serves(recorded, monkeypatch):
    def fail(function, x):
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(device, "record", fail)
    module = Doubler()
    graphs = GraphedCall(module, "double")
    call(graphs, module, 3)
    with pytest.warns(UserWarning, match="do not work here, left out: operation not permitted"):
        call(graphs, module, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for shape in (3, 2, 2):
            call(graphs, module, shape)
    assert module.calls == 5


def test_the_module_is_put_back_after_an_error():
    module, cached = Doubler(), torch.is_autocast_cache_enabled()
    with pytest.raises(KeyError), GraphedCall(module, "double").installed():
        assert not torch.is_autocast_cache_enabled()
        raise KeyError
    assert "double" not in vars(module) and torch.is_autocast_cache_enabled() is cached


@pytest.fixture
def network():
    torch.manual_seed(0)
    return BSRNN(sources=["vocals"], feature_dim=8, n_repeats=1, mask_expansion=1).eval()


def test_a_separator_without_a_gpu_says_so_once_and_separates_alike(network):
    x = torch.randn(2, 44100)
    plain = Separator(network, segment=0.25, device="cpu").separate(x)
    with pytest.warns(UserWarning, match="no CUDA graphs: they need an NVIDIA GPU"):
        separator = Separator(network, segment=0.25, device="cpu", cuda_graphs=True)
    assert torch.equal(separator.separate(x)["vocals"], plain["vocals"])


def test_a_separator_replays_all_but_the_last_chunks(network, monkeypatch):
    recorded = []

    def record(function, x):
        recorded.append(tuple(x.shape))
        return lambda x: function(x).clone()

    monkeypatch.setattr(device, "can_record", lambda x: True)
    monkeypatch.setattr(device, "record", record)
    x = torch.randn(2, 2 * 44100)
    options = {"segment": 0.25, "device": "cpu", "batch_size": 2}
    separator = Separator(network, **options)
    plain = separator.separate(x)
    separator._graphs = GraphedCall(network, "estimate_spectrogram")
    assert torch.equal(separator.separate(x)["vocals"], plain["vocals"])
    assert len(recorded) == 1 and recorded[0][:2] == (2, 2)
