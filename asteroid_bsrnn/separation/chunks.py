"""Separation of recordings of any length in chunks, by any network.

A network is a callable (batch, channels, time) -> (batch, sources, channels, time). A schedule
divides the recording into chunks: `CrossFade` and `OverlapAdd` are those of the replication study
(arXiv 2603.09187), and `Whole` is one chunk. Samples are read and returned in blocks, so that
memory use depends on the chunks rather than the recording. Nothing is normalised.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import NamedTuple

import torch

from ..errors import UserError
from ..memory import is_out_of_memory

Network = Callable[[torch.Tensor], torch.Tensor]


class Chunk(NamedTuple):
    """A part of a recording, in samples.

    It may reach beyond both ends of the recording, which counts as silent there.
    """

    start: int  # first sample
    stop: int  # sample after the last
    fade_in: int  # samples over which the weight rises linearly from 0 to 1
    fade_out: int  # samples over which the weight falls linearly from 1 to 0
    settled: int  # position before which no later chunk has a sample


class Whole:
    """A schedule of one chunk, the whole recording."""

    def chunks(self, stream: SampleStream) -> Iterator[Chunk]:
        """Yield the one chunk of `stream`."""
        length = stream.length_up_to(None)
        yield Chunk(0, length, 0, 0, length)


class CrossFade:
    """A schedule of segments that overlap their neighbours with a linear cross-fade.

    With a segment of 10 s and an overlap of 0.1 segments, a chunk starts every 11 s, and overlaps
    the previous one by 1 s. A recording of at most 11 s is one chunk.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(self, segment: float, overlap: float, sample_rate: float):
        if not 0 <= overlap < 1:
            raise UserError(f"overlap must be from 0 to below 1, got {overlap:g}")
        self.period = int(sample_rate * segment * (1 + overlap))
        self.overlap = int(overlap * segment * sample_rate)
        if self.period < 1:
            raise UserError(f"segment must be at least one sample long, got {segment:g} s")

    def chunks(self, stream: SampleStream) -> Iterator[Chunk]:
        """Yield the chunks of `stream`."""
        for index in count():
            start = max(index * self.period - self.overlap, 0)
            stop = (index + 1) * self.period
            fade_in = self.overlap if index else 0
            length = stream.length_up_to(stop)
            if length is not None:
                yield Chunk(start, length, fade_in, 0, length)
                return
            yield Chunk(start, stop, fade_in, self.overlap, stop - self.overlap)


class OverlapAdd:
    """A schedule of segments at a regular hop, both in seconds, averaged where they overlap.

    The recording counts as silent before its start and after its end, so that its first and last
    samples lie in as many segments as the others. A recording that is no longer than a segment is
    one chunk.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(self, segment: float, hop: float, sample_rate: float):
        self.segment, self.hop = int(segment * sample_rate), int(hop * sample_rate)
        if self.segment < 1:
            raise UserError(f"segment must be at least one sample long, got {segment:g} s")
        if not 1 <= self.hop <= self.segment:
            raise UserError(
                f"hop must be from one sample to the segment of {segment:g} s, got {hop:g} s"
            )

    def chunks(self, stream: SampleStream) -> Iterator[Chunk]:
        """Yield the chunks of `stream`."""
        length = stream.length_up_to(self.segment)
        if length is not None:
            yield Chunk(0, length, 0, 0, length)
            return
        for start in count(self.hop - self.segment, self.hop):
            length = stream.length_up_to(start + self.segment)
            if length is not None and start >= length:
                return
            yield Chunk(start, start + self.segment, 0, 0, start + self.hop)


Schedule = Whole | CrossFade | OverlapAdd
Smaller = Callable[[Exception], tuple[Schedule, int] | None]


def make_schedule(
    segment: float | None, overlap: float, hop: float | None, sample_rate: float
) -> Schedule:
    """Return the schedule for a user's values, which are those of `Separator`.

    Raises:
        UserError: a value is out of its range.
    """
    for name, value in (("segment", segment), ("overlap", overlap), ("hop", hop)):
        if value is not None and not math.isfinite(value):
            raise UserError(f"{name} must be a finite number, got {value:g}")
    if segment is None:
        if hop is not None:
            raise UserError("a hop needs a segment; leave the hop out or give a segment")
        return Whole()
    if hop is not None:
        return OverlapAdd(segment, hop, sample_rate)
    return CrossFade(segment, overlap, sample_rate)


class SampleStream:
    """A recording of consecutive blocks (channels, n) that is read as far as needed.

    Attributes:
        forgets: whether `take` drops the samples before its start.
    """

    def __init__(self, blocks: Iterable[torch.Tensor]):
        self._blocks = iter(blocks)
        self._held: list[torch.Tensor] = []
        self._first = self._end = 0
        self._ended = False
        self.forgets = True

    def length_up_to(self, position: int | None) -> int | None:
        """Return the length of the recording if it is at most `position`, else None.

        If `position` is None, read to the end.
        """
        while not self._ended and (position is None or self._end <= position):
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
            else:
                self._held.append(block)
                self._end += block.shape[-1]
        return self._end if self._ended and (position is None or self._end <= position) else None

    def take(self, start: int, stop: int) -> torch.Tensor:
        """Return the samples from `start` to `stop`, with zeros outside the recording."""
        self.length_up_to(stop)
        held = torch.cat(self._held, dim=-1) if len(self._held) > 1 else self._held[0]
        self._held = [held]
        held = held[..., max(start, 0) - self._first :]
        if self.forgets:
            self._held, self._first = [held], max(start, 0)
        inside = held[..., : stop - max(start, 0)]
        behind = stop - max(start, 0) - inside.shape[-1]
        return torch.nn.functional.pad(inside, (max(-start, 0), behind))


class _Accumulator:
    """A weighted sum of the estimates of overlapping chunks."""

    def __init__(self):
        self._sum = self._weight = None
        self._first = 0

    def add(self, chunk: Chunk, estimates: torch.Tensor) -> None:
        """Add the estimates (sources, channels, chunk) of `chunk`."""
        weight = estimates.new_ones(estimates.shape[-1])
        # Created on the device: a copy would queue behind other work.
        if chunk.fade_in:
            ramp = torch.linspace(0, 1, chunk.fade_in, device=weight.device).to(weight)
            weight[: chunk.fade_in] *= ramp[: weight.shape[-1]]
        if chunk.fade_out:
            ramp = torch.linspace(1, 0, chunk.fade_out, device=weight.device).to(weight)
            weight[-chunk.fade_out :] *= ramp
        begin = max(chunk.start, 0)
        estimates = (estimates * weight)[..., begin - chunk.start :]
        weight = weight[begin - chunk.start :]
        if self._sum is None:
            self._sum = estimates.new_zeros(estimates.shape[:-1] + (0,))
            self._weight = weight.new_zeros(0)
        missing = max(begin - self._first + weight.shape[-1] - self._weight.shape[-1], 0)
        self._sum = torch.nn.functional.pad(self._sum, (0, missing))
        self._weight = torch.nn.functional.pad(self._weight, (0, missing))
        here = slice(begin - self._first, begin - self._first + weight.shape[-1])
        self._sum[..., here] += estimates
        self._weight[here] += weight

    def settle(self, position: int) -> torch.Tensor:
        """Return the estimates before `position`, and drop them."""
        n = max(position - self._first, 0)
        settled = self._sum[..., :n] / self._weight[:n]
        self._sum, self._weight = self._sum[..., n:].clone(), self._weight[n:].clone()
        self._first += n
        return settled


@torch.no_grad()
def separate_blocks(
    network: Network,
    blocks: Iterable[torch.Tensor],
    schedule: Schedule,
    *,
    batch_size: int = 1,
    smaller: Smaller | None = None,
) -> Iterator[torch.Tensor]:
    """Separate a recording that is read in blocks.

    Args:
        network: (batch, channels, time) -> (batch, sources, channels, time).
        blocks: consecutive blocks (channels, n).
        schedule: division of the recording into chunks.
        batch_size: number of chunks of equal length in a batch.
        smaller: called with the error if the first batch does not fit in memory; returns the
            schedule and batch size to try next, or None to raise the error.

    Yields:
        Consecutive blocks (sources, channels, n), in total as long as the recording.

    Raises:
        UserError: the recording has no samples.
    """
    stream = SampleStream(blocks)
    if stream.length_up_to(0) is not None:
        raise UserError("the recording has no samples; there is nothing to separate")
    stream.forgets = smaller is None
    # After a failure, the second batch is tried too: its chunks are longer by their fade-in.
    proofs = 1
    while True:
        separated = _separate_stream(network, stream, schedule, batch_size)
        try:
            first = list(islice(separated, proofs))
            break
        except (MemoryError, RuntimeError) as error:
            attempt = smaller(error) if smaller and is_out_of_memory(error) else None
            if attempt is None:
                raise
        # Outside the except block the error, and the tensors that it refers to, are freed.
        schedule, batch_size = attempt
        proofs = 2
    stream.forgets = True
    yield from first
    yield from separated


def _separate_stream(
    network: Network, stream: SampleStream, schedule: Schedule, batch_size: int
) -> Iterator[torch.Tensor]:
    """Yield the estimates of a stream, by one schedule."""
    accumulator = _Accumulator()
    batch: list[tuple[Chunk, torch.Tensor]] = []

    def process() -> torch.Tensor:
        estimates = network(torch.stack([samples for _, samples in batch]))
        for (chunk, _), estimate in zip(batch, estimates, strict=True):
            accumulator.add(chunk, estimate)
        settled = batch[-1][0].settled
        length = stream.length_up_to(settled)
        batch.clear()
        return accumulator.settle(settled if length is None else length)

    for chunk in schedule.chunks(stream):
        samples = stream.take(chunk.start, chunk.stop)
        if batch and batch[0][1].shape != samples.shape:
            yield process()
        batch.append((chunk, samples))
        if len(batch) >= batch_size:
            yield process()
    if batch:
        yield process()


def separate(
    network: Network, mixture: torch.Tensor, schedule: Schedule, *, batch_size: int = 1
) -> torch.Tensor:
    """Separate a recording (channels, time) that is held in memory: (sources, channels, time).

    Other arguments are those of `separate_blocks`.
    """
    blocks = separate_blocks(network, [mixture], schedule, batch_size=batch_size)
    return torch.cat(list(blocks), dim=-1)


def any_channels(network: Network, in_channels: int | None) -> Network:
    """Return `network` extended to any number of channels.

    Channels are separated in consecutive pairs (1-2, 3-4, ...); a single channel, or the last of
    an odd number, is separated as mono. If the network needs stereo, mono is passed on both
    channels and the two estimates are averaged.

    Args:
        network: (batch, channels, time) -> (batch, sources, channels, time).
        in_channels: number of channels that the network needs: 1, 2, or None for either.

    Raises:
        UserError: the network needs more than two channels.
    """
    if in_channels not in (None, 1, 2):
        raise UserError(
            f"the network needs {in_channels} channels; only mono and stereo can be fed"
        )

    def separate_channels(mixture: torch.Tensor) -> torch.Tensor:
        # The last chunk of a file may be one sample long. Networks refuse stereo of one sample.
        if not torch.jit.is_tracing() and mixture.shape[-1] == 1:
            return separate_channels(torch.nn.functional.pad(mixture, (0, 1)))[..., :1]
        estimates = []
        for part in mixture.split(in_channels or 2, dim=1):
            if in_channels == 2 and part.shape[1] == 1:
                estimates.append(network(part.expand(-1, 2, -1)).mean(dim=2, keepdim=True))
            else:
                estimates.append(network(part))
        return torch.cat(estimates, dim=2)

    return separate_channels


def shifted(network: Network, shifts: int, stride: int) -> Network:
    """Return `network` averaged over shifts of the recording by fractions of the STFT's hop.

    Averaging reduces errors that depend on the position of the STFT's frame grid. One shift
    returns `network` itself; `stride` is the hop in samples.
    """
    if shifts == 1:
        return network

    def average(mixture: torch.Tensor) -> torch.Tensor:
        total = None
        for number in range(shifts):
            shift = number * stride // shifts
            estimate = network(torch.nn.functional.pad(mixture, (shift, 0)))[..., shift:]
            total = estimate if total is None else total + estimate
        return total / shifts

    return average
