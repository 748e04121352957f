"""Copies from a device and to it, as far as they can be seen on a CPU."""

from __future__ import annotations

import pytest
import torch

from asteroid_bsrnn.transfers import Arrival, arriving, send


def test_a_tensor_arrives_without_its_gradient():
    tensor = torch.randn(3, requires_grad=True)
    arrived = Arrival(2 * tensor).wait()
    assert not arrived.requires_grad and torch.equal(arrived, 2 * tensor.detach())


def test_what_is_sent_keeps_its_gradient():
    tensor = torch.randn(3, requires_grad=True)
    send(tensor, torch.device("cpu")).sum().backward()
    assert torch.equal(tensor.grad, torch.ones(3))


@pytest.mark.parametrize("n_blocks", [0, 1, 2, 5])
@pytest.mark.parametrize("ahead", [0, 1, 3])
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
