"""Chunks side by side in threads: the same estimates, and nothing left behind."""

import os
import signal
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from asteroid_bsrnn import BSRNN, PerSourceSeparator, Separator, UserError, side_by_side

RATE = 8000


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "torch's threads are as before"
    torch.set_num_threads(before)


def network(*sources: str) -> BSRNN:
    torch.manual_seed(0)
    model = BSRNN(
        sources=sources or ("vocals", "drums"),
        sample_rate=RATE,
        n_filters=256,
        stride=64,
        bands=[[4, 500], [1, 1000]],
        feature_dim=8,
        n_repeats=1,
    )
    return model.eval()


def noise(frames: int) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, (2, frames)).astype(np.float32)


@pytest.fixture
def callers(monkeypatch) -> list:
    """The threads in which networks are called."""
    found = []
    forward = BSRNN.forward

    def noting(self, wav):
        found.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        return forward(self, wav)

    monkeypatch.setattr(BSRNN, "forward", noting)
    return found


@pytest.mark.parametrize("options", [{}, {"overlap": 0.0}, {"hop": 0.25}, {"shifts": 2}])
@pytest.mark.parametrize("frames", [1, RATE, 5 * RATE + 17])
def test_estimates_are_those_of_one_chunk_at_a_time(options, frames, callers):
    model, mixture = network(), noise(frames)
    wanted = Separator(model, segment=0.5, batch_size=1, **options).separate(mixture)
    here = threading.get_ident()
    assert {thread for thread, _, _ in callers} == {here}
    callers.clear()
    stems = Separator(model, segment=0.5, **options).separate(mixture)
    for name, stem in wanted.items():
        np.testing.assert_allclose(stems[name], stem, rtol=0, atol=1e-6)
    elsewhere = [rest for thread, *rest in callers if thread != here]
    assert bool(elsewhere) == (frames > RATE // 2 * 1.1)
    assert all(rest == [1, False] for rest in elsewhere), "one thread each, without gradients"


def test_networks_of_one_source_are_taken_side_by_side(callers):
    model = PerSourceSeparator.of([network("vocals"), network("bass")]).eval()
    mixture = noise(3 * RATE)
    wanted = Separator(model, segment=0.5, batch_size=1).separate(mixture)
    for name, stem in Separator(model, segment=0.5).separate(mixture).items():
        np.testing.assert_allclose(stem, wanted[name], rtol=0, atol=1e-6)


def test_lower_precision_is_taken_in_every_thread():
    model, mixture = network(), noise(3 * RATE)
    wanted = Separator(model, segment=0.5, batch_size=1, precision="bf16").separate(mixture)
    exact = Separator(model, segment=0.5).separate(mixture)
    for name, stem in Separator(model, segment=0.5, precision="bf16").separate(mixture).items():
        error = np.linalg.norm(stem - wanted[name])
        assert error < 0.2 * np.linalg.norm(exact[name] - wanted[name])


class Foreign(nn.Module):
    """A model of someone else, which may keep what it likes from call to call."""

    sources, sample_rate, in_channels = ("rest",), RATE, None

    def __init__(self):
        super().__init__()
        self.threads = set()

    def forward(self, chunks):
        self.threads.add(threading.get_ident())
        return chunks[:, None]


def test_models_of_others_get_one_chunk_at_a_time():
    model = Foreign()
    Separator(model, segment=0.5).separate(noise(4 * RATE))
    assert model.threads == {threading.get_ident()}


def test_long_chunks_are_not_many_at_once(callers):
    Separator(network(), segment=30.0).separate(noise(61 * RATE))
    assert {thread for thread, _, _ in callers} == {threading.get_ident()}


def test_a_segment_that_is_no_number_is_refused():
    with pytest.raises(UserError, match="segment must be a finite number"):
        Separator(network(), segment=float("nan"))


@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_behind(training):
    model = network().train(training)
    Separator(model, segment=0.5).separate(noise(4 * RATE))
    assert all(module.training == training for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


class Slow(nn.Module):
    """Many layers that take their time; counts those that ran."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Identity() for _ in range(500))
        self.ran = 0

    def forward(self, x):
        if x.isnan().any():
            raise UserError("NaN")
        for layer in self.layers:
            time.sleep(0.01)
            x = layer(x)
            self.ran += 1
        return x


def test_an_error_ends_the_others():
    model, before = Slow(), set(threading.enumerate())
    inputs = [torch.zeros(1), torch.full((1,), float("nan")), torch.zeros(1)]
    with pytest.raises(UserError, match="NaN"):
        side_by_side.run(model, inputs, model)
    assert model.ran < 900
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert set(threading.enumerate()) <= before


def test_an_interruption_ends_all():
    model = Slow()
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    with pytest.raises(KeyboardInterrupt):
        side_by_side.run(model, [torch.zeros(1)] * 2, model)
    assert model.ran < 500
