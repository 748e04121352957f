"""Separation of recordings of any length, chunk by chunk, by any network.

A network is a callable (batch, channels, time) -> (batch, sources, channels, time). A schedule
cuts the time line into chunks: `CrossFade` and `OverlapAdd` are the two of the replication study
(arXiv 2603.09187), `Whole` is one chunk. Samples stream in and out in blocks, so that memory
depends on the chunks and not on the recording. Levels are kept: nothing is normalised.
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
    """A part of the time line, in samples.

    Attributes:
        start: first sample; may lie before the recording, where it is silent.
        stop: sample after the last; may lie behind the recording, where it is silent.
        fade_in: samples over which the weight rises linearly from 0 to 1.
        fade_out: samples over which it falls again.
        settled: no later chunk has a sample before this one.
    """

    start: int
    stop: int
    fade_in: int
    fade_out: int
    settled: int


class Whole:
    """The whole recording as one chunk."""

    def chunks(self, stream: SampleStream) -> Iterator[Chunk]:
        """The one chunk of `stream`."""
        length = stream.length_up_to(None)
        yield Chunk(0, length, 0, 0, length)


class CrossFade:
    """Segments that overlap their neighbours and fade into each other linearly.

    With `segment = 10` and `overlap = 0.1` at 44.1 kHz, a chunk begins every 11 s and reaches 1 s
    back into the one before. A recording that is no longer than that is one chunk.

    Args:
        segment: in seconds.
        overlap: length of a cross-fade as a share of the segment, from 0 to below 1.
        sample_rate: in hertz.

    Raises:
        UserError: if a value is out of its range.
    """

    def __init__(self, segment: float, overlap: float, sample_rate: float):
        if not 0 <= overlap < 1:
            raise UserError(f"overlap must be from 0 to below 1, got {overlap:g}")
        self.period = int(sample_rate * segment * (1 + overlap))
        self.overlap = int(overlap * segment * sample_rate)
        if self.period < 1:
            raise UserError(f"segment must be at least one sample long, got {segment:g} s")

    def chunks(self, stream: SampleStream) -> Iterator[Chunk]:
        """The chunks of `stream`."""
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
    """Segments at a regular hop; every sample is the mean of all segments that hold it.

    The recording is taken as silent before its start and after its end, so that its first and
    last samples lie in as many segments as the others. One that is no longer than a segment is
    one chunk.

    Args:
        segment: in seconds.
        hop: in seconds, at most the segment.
        sample_rate: in hertz.

    Raises:
        UserError: if a value is out of its range.
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
        """The chunks of `stream`."""
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
    """The schedule that a user's choice of values asks for.

    Args:
        segment: in seconds; None for the whole recording at once.
        overlap: the cross-fade's share of a segment.
        hop: in seconds; other than None it asks for overlap-add.
        sample_rate: in hertz.

    Raises:
        UserError: if a value is out of its range.
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
    """Blocks of samples (channels, n), read as far as they are asked for and forgotten behind.

    Args:
        blocks: consecutive blocks of one recording.

    Attributes:
        forgets: whether samples that have been passed are dropped.
    """

    def __init__(self, blocks: Iterable[torch.Tensor]):
        self._blocks = iter(blocks)
        self._held: list[torch.Tensor] = []
        self._first = self._end = 0
        self._ended = False
        self.forgets = True

    def length_up_to(self, position: int | None) -> int | None:
        """Number of samples of the recording if it is at most `position`, else None.

        None as `position` reads to the end.
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
        """Samples from `start` to `stop`, silent outside of the recording.

        Those before `start` can't be asked for again where they are forgotten.
        """
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
    """Weighted estimates of chunks, added up where they overlap."""

    def __init__(self):
        self._sum = self._weight = None
        self._first = 0

    def add(self, chunk: Chunk, estimates: torch.Tensor) -> None:
        """Add the estimates (sources, channels, chunk) of `chunk`."""
        weight = estimates.new_ones(estimates.shape[-1])
        # Made where they are used: from elsewhere they would come after all that is queued.
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
        """Give and forget the estimates before `position`."""
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
    """Separate a recording that comes in blocks.

    Args:
        network: (batch, channels, time) -> (batch, sources, channels, time).
        blocks: (channels, n) each, in order.
        schedule: how the time line is cut into chunks.
        batch_size: number of chunks of one length that the network gets at once.
        smaller: called with the error if the first batch of chunks does not fit in memory; returns
            the schedule and batch size to try instead, or None to give up.

    Yields:
        (sources, channels, n) in order; together as long as the recording.

    Raises:
        UserError: if the recording has no samples.
    """
    stream = SampleStream(blocks)
    if stream.length_up_to(0) is not None:
        raise UserError("the recording has no samples; there is nothing to separate")
    stream.forgets = smaller is None
    # Where memory is short, the second batch counts too: its chunks fade in and are longer.
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
        # The error, which refers to the tensors of the chunk that did not fit, is gone here.
        schedule, batch_size = attempt
        proofs = 2
    stream.forgets = True
    yield from first
    yield from separated


def _separate_stream(
    network: Network, stream: SampleStream, schedule: Schedule, batch_size: int
) -> Iterator[torch.Tensor]:
    """`separate_blocks` of a stream, by one schedule."""
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
    """Separate a recording that is held in memory.

    Args:
        network: (batch, channels, time) -> (batch, sources, channels, time).
        mixture: (channels, time), on any device.
        schedule: how the time line is cut into chunks.
        batch_size: number of chunks of one length that the network gets at once.

    Returns:
        (sources, channels, time)
    """
    blocks = separate_blocks(network, [mixture], schedule, batch_size=batch_size)
    return torch.cat(list(blocks), dim=-1)


def any_channels(network: Network, in_channels: int | None) -> Network:
    """`network` for recordings of any number of channels.

    Music networks know mono and stereo: channels are separated in consecutive pairs (1-2, 3-4,
    ...), and a single one, or the last of an odd number, as mono. Where the network needs stereo,
    mono is put on both of its channels, and its two estimates are averaged.

    Args:
        network: (batch, channels, time) -> (batch, sources, channels, time).
        in_channels: number of channels that it needs: 1, 2, or None for either.

    Raises:
        UserError: if it needs more than two channels.
    """
    if in_channels not in (None, 1, 2):
        raise UserError(
            f"the network needs {in_channels} channels; only mono and stereo can be fed"
        )

    def separate_channels(mixture: torch.Tensor) -> torch.Tensor:
        estimates = []
        for part in mixture.split(in_channels or 2, dim=1):
            if in_channels == 2 and part.shape[1] == 1:
                estimates.append(network(part.expand(-1, 2, -1)).mean(dim=2, keepdim=True))
            else:
                estimates.append(network(part))
        return torch.cat(estimates, dim=2)

    return separate_channels


def shifted(network: Network, shifts: int, stride: int) -> Network:
    """The average of `network` over shifts of the recording by fractions of its STFT's hop.

    The frames of an STFT begin where a recording happens to begin: what depends on that averages
    out, at the price of one pass for each shift.

    Args:
        network: (batch, channels, time) -> (batch, sources, channels, time).
        shifts: number of passes; 1 returns `network` itself.
        stride: hop of its STFT in samples.
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
