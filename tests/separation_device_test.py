"""The device of a separator: precision "auto", and copies as far as they can be seen on a CPU."""

from __future__ import annotations

import pytest
import stempeg
import torch
from torch import nn

from asteroid_bsrnn import Separator, presets
from asteroid_bsrnn.audio import AudioFile
from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.kernels import has_bfloat16
from asteroid_bsrnn.separation.device import Arrival, arriving, resolve_precision, send

from .sounds import decibels

CPU = torch.device("cpu")
HERE = "bf16" if has_bfloat16() else "32"
SMALL = {"feature_dim": 16, "n_repeats": 1}


@pytest.mark.parametrize(
    "name, expected",
    [("obsrnn_simo", HERE), ("obsrnn", HERE), ("bsrnn_large", HERE), ("bsrnn_gru", HERE),
     ("bscnn", "32"), ("simo_bsrnn_subtract", "32")],
)  # fmt: skip
def test_what_auto_takes_for_a_network(name, expected):
    network = presets.build_separator(name, **SMALL)
    separator = Separator(network, device="cpu")
    assert separator.settings["precision"] == expected
    assert Separator(network, device="cpu", precision=32).settings["precision"] == "32"


def test_what_auto_takes_for_others():
    assert resolve_precision("auto", nn.Linear(1, 1), CPU) == "32"
    assert (
        resolve_precision("auto", presets.build("obsrnn_simo", **SMALL), torch.device("mps"))
        == "32"
    )
    conv = presets.build("bsrnn", "vocals", **SMALL, time_layer="conv")
    assert resolve_precision("auto", conv, CPU) == "32"
    assert resolve_precision("bf16", conv, CPU) == "bf16"
    # Its last stem is the mixture minus the others.
    assert Separator("small", device="cpu").settings["precision"] == "32"
    with pytest.raises(UserError, match="64.*auto, 32, bf16, 16"):
        resolve_precision("64", conv, CPU)


@pytest.mark.skipif(not has_bfloat16(), reason="needs a CPU that computes in bfloat16")
@pytest.mark.parametrize("name", ["obsrnn_simo", "bsrnn_large"])
def test_bfloat16_stays_within_45_db_of_float32(name):
    torch.manual_seed(0)
    network = presets.build_separator(name, feature_dim=64, n_repeats=3)
    mixture = AudioFile(stempeg.example_stem_path(), start=2.0, duration=1.0).read()
    exact, rounded = (
        Separator(network, device="cpu", precision=precision).separate(mixture)
        for precision in ("32", "auto")
    )
    for source, stem in exact.items():
        assert 45 < decibels(stem, rounded[source]) < 100  # and it is not the same


def test_a_tensor_arrives_without_its_gradient():
    tensor = torch.randn(3, requires_grad=True)
    arrived = Arrival(2 * tensor).wait()
    assert not arrived.requires_grad and torch.equal(arrived, 2 * tensor.detach())


def test_what_is_sent_keeps_its_gradient():
    tensor = torch.randn(3, requires_grad=True)
    send(tensor, torch.device("cpu")).sum().backward()
    assert torch.equal(tensor.grad, torch.ones(3))


@pytest.mark.parametrize(("n_blocks", "ahead"), [(0, 1), (1, 3), (5, 0), (5, 3)])
def test_blocks_arrive_in_order_while_later_ones_are_asked_for(n_blocks, ahead):
    asked = []

    def blocks():
        for number in range(n_blocks):
            asked.append(number)
            yield torch.full((2,), float(number))

    for number, block in enumerate(arriving(blocks(), ahead)):
        assert block.tolist() == [number, number]
        assert len(asked) == min(number + 1 + ahead, n_blocks)
    assert len(asked) == n_blocks
