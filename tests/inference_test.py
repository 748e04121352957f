import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from asteroid_bsrnn.errors import UserError
from asteroid_bsrnn.separation.chunks import (
    CrossFade,
    OverlapAdd,
    Whole,
    any_channels,
    make_schedule,
    separate,
    separate_blocks,
)

RATE = 100  # hertz: a segment of 1 s is 100 samples
SCHEDULES = {
    "whole": Whole(),
    "fade": CrossFade(1.0, 0.1, RATE),
    "long fade": CrossFade(1.0, 0.9, RATE),
    "no fade": CrossFade(1.0, 0.0, RATE),
    "hop": OverlapAdd(1.0, 0.25, RATE),
    "uneven hop": OverlapAdd(1.0, 0.3, RATE),
    "hop of a segment": OverlapAdd(1.0, 1.0, RATE),
}
LENGTHS = [1, 2, 99, 100, 101, 109, 110, 111, 190, 219, 220, 221, 1000, 1234]


def identity(chunks):
    """Sources: the mixture, and its double upside down."""
    return torch.stack([chunks, -2 * chunks], dim=1)


def recording(length, channels=2, seed=0):
    return torch.randn(channels, length, generator=torch.Generator().manual_seed(seed))


class Counter:
    """A network whose estimate of every chunk is the chunk's number; remembers the chunks."""

    def __init__(self):
        self.chunks = []

    def __call__(self, chunks):
        numbers = torch.arange(len(self.chunks), len(self.chunks) + len(chunks))
        self.chunks += list(chunks)
        return numbers.reshape(-1, 1, 1, 1).float().expand(-1, 1, *chunks.shape[1:])


class TestIdentity:
    @pytest.mark.parametrize("length", LENGTHS)
    @pytest.mark.parametrize("name", SCHEDULES)
    def test_any_length_comes_back(self, name, length):
        mixture = recording(length)
        for batch_size in (1, 3):
            stems = separate(identity, mixture, SCHEDULES[name], batch_size=batch_size)
            assert stems.shape == (2, 2, length)
            torch.testing.assert_close(stems[0], mixture, rtol=0, atol=1e-6)
            torch.testing.assert_close(stems[1], -2 * mixture, rtol=0, atol=2e-6)

    @pytest.mark.parametrize("name", ["whole", "no fade", "hop of a segment"])
    def test_without_overlap_it_comes_back_to_the_bit(self, name):
        mixture = recording(1234)
        assert torch.equal(separate(identity, mixture, SCHEDULES[name])[0], mixture)

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_gain_and_silence(self, name):
        mixture = recording(777)
        stems = separate(identity, mixture, SCHEDULES[name])
        for gain in (0.25, 1024.0):
            louder = separate(identity, gain * mixture, SCHEDULES[name])
            assert torch.equal(louder, gain * stems)
        assert not separate(identity, 0 * mixture, SCHEDULES[name]).any()

    def test_nothing_is_kept_for_gradients(self):
        weight = torch.ones((), requires_grad=True)
        stems = separate(lambda chunks: identity(chunks) * weight, recording(500), Whole())
        assert not stems.requires_grad


class TestStreaming:
    @pytest.mark.parametrize("name", SCHEDULES)
    def test_sizes_of_blocks_and_batches_do_not_matter(self, name):
        mixture, network = recording(1001), lambda chunks: identity(chunks).cumsum(-1)
        whole = separate(network, mixture, SCHEDULES[name])
        edges = [0, 0, 1, 2, 90, 90, 91, 300, 777, 1001, 1001]
        for size in (1, 7, 100, None):
            steps = edges if size is None else [*range(0, 1001, size), 1001]
            blocks = [mixture[:, a:b] for a, b in zip(steps, steps[1:], strict=False)]
            for batch_size in (1, 2, 100):
                parts = separate_blocks(network, blocks, SCHEDULES[name], batch_size=batch_size)
                torch.testing.assert_close(torch.cat(list(parts), -1), whole, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("name", ["fade", "long fade", "hop", "no fade"])
    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_reads_no_further_than_the_chunks_at_work(self, name, batch_size):
        read = given = lag = 0

        def blocks():
            nonlocal read
            for _ in range(2000):
                read += 10
                yield recording(10)

        for part in separate_blocks(identity, blocks(), SCHEDULES[name], batch_size=batch_size):
            lag = max(lag, read - given)
            given += part.shape[-1]
        assert given == 20_000
        assert lag <= 200 * (batch_size + 1)

    def test_batches_are_as_large_as_asked_for(self):
        sizes = []

        def network(chunks):
            sizes.append(tuple(chunks.shape))
            return identity(chunks)

        separate(network, recording(1000), OverlapAdd(1.0, 0.5, RATE), batch_size=4)
        assert sizes == [(4, 2, 100)] * 5 + [(1, 2, 100)]
        sizes.clear()
        # The first chunk has no fade before it and the last one ends with the recording.
        separate(network, recording(1000), CrossFade(1.0, 0.1, RATE), batch_size=4)
        assert sizes == [(1, 2, 110), (4, 2, 120), (4, 2, 120), (1, 2, 20)]

    def test_no_samples(self):
        for blocks in ([], [recording(0)], [recording(0)] * 3):
            for schedule in SCHEDULES.values():
                with pytest.raises(UserError, match="no samples"):
                    list(separate_blocks(identity, blocks, schedule))

    @pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
    @pytest.mark.parametrize("hop", [None, 5.0])
    def test_memory_does_not_grow_with_the_recording(self, hop):
        minutes, block = 20, torch.ones(2, 65536)
        sizes, given = [], 0
        blocks = (block.clone() for _ in range(minutes * 60 * 44100 // 65536))
        for part in separate_blocks(identity, blocks, make_schedule(10.0, 0.1, hop, 44100)):
            sizes.append(resident_megabytes())
            given += part.shape[-1]
        assert given == minutes * 60 * 44100 // 65536 * 65536
        # All of it would be 423 MB, and its estimates twice as much.
        assert max(sizes) - sizes[2] < 150


def resident_megabytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


class TestSchedules:
    def test_cross_fade_is_linear_between_neighbours(self):
        network = Counter()
        stems = separate(network, recording(250), CrossFade(1.0, 0.2, RATE))[0, 0]
        # Chunks of 120, 140 and 30 samples, the last two reaching back by 20.
        assert [chunk.shape[-1] for chunk in network.chunks] == [120, 140, 30]
        wanted = np.zeros(250)
        wanted[100:120] = np.linspace(0, 1, 20)
        wanted[120:220] = 1
        wanted[220:240] = 1 + np.linspace(0, 1, 20)
        wanted[240:] = 2
        np.testing.assert_allclose(stems, wanted, atol=1e-6)

    def test_cross_fade_cuts_where_the_reference_does(self):
        mixture, network = recording(350), Counter()
        separate(network, mixture, CrossFade(1.0, 0.1, RATE))
        wanted = [mixture[:, :110], mixture[:, 100:220], mixture[:, 210:330], mixture[:, 320:]]
        assert all(torch.equal(a, b) for a, b in zip(network.chunks, wanted, strict=True))

    def test_a_sample_more_than_a_chunk_makes_a_second_one(self):
        for length, chunks in ((109, 1), (110, 1), (111, 2), (220, 2), (221, 3)):
            network = Counter()
            separate(network, recording(length), CrossFade(1.0, 0.1, RATE))
            assert len(network.chunks) == chunks

    def test_overlap_add_averages_all_that_hold_a_sample(self):
        mixture, network = recording(130), Counter()
        stems = separate(network, mixture, OverlapAdd(1.0, 0.3, RATE))[0, 0]
        starts = range(-70, 130, 30)
        padded = torch.nn.functional.pad(mixture, (100, 200))
        wanted = [padded[:, start + 100 : start + 200] for start in starts]
        assert all(torch.equal(a, b) for a, b in zip(network.chunks, wanted, strict=True))
        for sample in range(130):
            holding = [i for i, start in enumerate(starts) if start <= sample < start + 100]
            assert stems[sample].item() == pytest.approx(np.mean(holding), abs=1e-5)
            assert len(holding) in (3, 4)

    def test_whole_is_one_chunk(self):
        network = Counter()
        separate(network, recording(1234), make_schedule(None, 0.1, None, RATE))
        assert [chunk.shape for chunk in network.chunks] == [(2, 1234)]

    @pytest.mark.parametrize(
        "segment, overlap, hop, word",
        [
            (0, 0.1, None, "segment"),
            (-1, 0.1, None, "segment"),
            (0.001, 0.1, None, "segment"),
            (float("nan"), 0.1, None, "segment"),
            (float("inf"), 0.1, None, "segment"),
            (1, 1.0, None, "overlap"),
            (1, -0.1, None, "overlap"),
            (1, float("nan"), None, "overlap"),
            (1, 0.1, 0, "hop"),
            (1, 0.1, -1, "hop"),
            (1, 0.1, 1.01, "hop"),
            (1, 0.1, float("nan"), "hop"),
            (1, 0.1, float("inf"), "hop"),
            (0, 0.1, 0.5, "segment"),
            (None, 0.1, 0.5, "hop"),
        ],
    )
    def test_values_out_of_range(self, segment, overlap, hop, word):
        with pytest.raises(UserError, match=word) as caught:
            make_schedule(segment, overlap, hop, RATE)
        assert "\n" not in str(caught.value)


class TestChannels:
    def test_pairs_and_a_single_one(self):
        seen = []

        def network(chunks):
            seen.append(chunks.shape[1])
            return identity(chunks)

        for channels, parts in ((1, [1]), (2, [2]), (3, [2, 1]), (6, [2, 2, 2])):
            seen.clear()
            mixture = recording(50, channels)
            stems = separate(any_channels(network, None), mixture, Whole())
            assert seen == parts
            assert torch.equal(stems, torch.stack([mixture, -2 * mixture]))

    def test_mono_network_gets_channel_by_channel(self):
        def network(chunks):
            assert chunks.shape[1] == 1
            return identity(chunks)

        mixture = recording(50, 3)
        assert torch.equal(separate(any_channels(network, 1), mixture, Whole())[0], mixture)

    def test_stereo_network_gets_mono_on_both_channels(self):
        def network(chunks):
            assert chunks.shape[1] == 2
            return identity(chunks) * torch.tensor([[1.0], [3.0]])  # right is thrice left

        mixture = recording(50, 3)
        stems = separate(any_channels(network, 2), mixture, Whole())
        assert stems.shape == (2, 3, 50)
        assert torch.equal(stems[0], mixture * torch.tensor([[1.0], [3.0], [2.0]]))

    def test_more_than_stereo_is_refused(self):
        with pytest.raises(UserError, match="4 channels"):
            any_channels(identity, 4)
