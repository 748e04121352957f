"""Epochs, ranks and resumption."""

import pytest
import torch
from torch.utils.data import DataLoader

from asteroid_bsrnn.data import EpochSampler
from asteroid_bsrnn.errors import UserError


def epoch(sampler, number):
    sampler.set_epoch(number)
    return list(sampler)


def test_epochs_go_on_from_each_other():
    sampler = EpochSampler(5)
    assert [list(sampler), epoch(sampler, 1), epoch(sampler, 3)] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9],
        [15, 16, 17, 18, 19],
    ]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6])
def test_ranks_share_the_same_examples(world_size):
    ranks = [epoch(EpochSampler(12, rank, world_size), 2) for rank in range(world_size)]
    assert sorted(index for rank in ranks for index in rank) == list(range(24, 36))
    assert {len(rank) for rank in ranks} == {12 // world_size}


def test_steps_of_two_ranks_are_those_of_one_with_twice_the_batch():
    one = list(DataLoader(list(range(16)), batch_size=4, sampler=EpochSampler(16)))
    two = [
        list(DataLoader(list(range(16)), batch_size=2, sampler=EpochSampler(16, rank, 2)))
        for rank in (0, 1)
    ]
    for step, batch in enumerate(one):
        assert sorted(torch.cat([two[0][step], two[1][step]]).tolist()) == batch.tolist()


def test_every_rank_takes_as_many_steps():
    ranks = [EpochSampler(11, rank, 3) for rank in range(3)]
    assert [len(list(rank)) for rank in ranks] == [len(rank) for rank in ranks] == [3, 3, 3]
    assert sorted(index for rank in ranks for index in epoch(rank, 1)) == list(range(11, 20))


@pytest.mark.parametrize("rank", [0, 1])
def test_resumption_leaves_out_what_was_done(rank):
    whole = EpochSampler(12, rank, 2)
    resumed = EpochSampler(12, rank, 2)
    resumed.resume(epoch=3, samples_done=4)
    assert list(resumed) == epoch(whole, 3)[4:]
    assert epoch(resumed, 3) == epoch(whole, 3)[4:]  # Lightning sets the epoch once more
    assert len(resumed) == 6  # and counts all its steps
    assert epoch(resumed, 4) == epoch(whole, 4)


def test_resumption_after_all_was_done():
    sampler = EpochSampler(4)
    sampler.resume(epoch=1, samples_done=4)
    assert list(sampler) == []


@pytest.mark.parametrize("numbers", [(0, 0, 1), (4, 2, 2), (4, -1, 2), (1, 0, 2)])
def test_numbers_out_of_range_are_refused(numbers):
    with pytest.raises(UserError, match="rank="):
        EpochSampler(*numbers)
    with pytest.raises(UserError, match="samples_done"):
        EpochSampler(4).resume(0, -1)
