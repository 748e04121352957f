"""Copies between the CPU and a GPU for which neither waits: from and to pinned memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch


class Arrival:
    """A tensor on its way to the CPU.

    Read from a GPU later, it would come after all that is queued by then.

    Args:
        tensor: on any device; from CUDA the copy is queued behind the work that makes it.
    """

    def __init__(self, tensor: torch.Tensor):
        tensor = tensor.detach()
        self._tensor, self._arrived = tensor, None
        if tensor.is_cuda:
            self._tensor = torch.empty_like(tensor, device="cpu", pin_memory=True)
            self._tensor.copy_(tensor, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(tensor.device))

    def wait(self) -> torch.Tensor:
        """The tensor on the CPU, as soon as it is there."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensor.cpu()


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device; to CUDA from pinned memory, without waiting for what is queued."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def arriving(blocks: Iterable[torch.Tensor], ahead: int = 0) -> Iterator[torch.Tensor]:
    """Blocks on the CPU, in their order.

    Args:
        blocks: on any device.
        ahead: how many more blocks are asked for before one is waited for: a GPU works on them
            while the CPU does what it does with that one.
    """
    under_way: deque[Arrival] = deque()
    for block in blocks:
        under_way.append(Arrival(block))
        if len(under_way) > ahead:
            yield under_way.popleft().wait()
    while under_way:
        yield under_way.popleft().wait()
