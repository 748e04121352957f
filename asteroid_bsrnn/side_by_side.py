"""A network on several inputs at once, each in a thread of its own with its share of the cores.

The threads of one operation wait for each other at its end, some thousand times in a forward of a
band-split network, and its recurrent layers are too narrow for many of them. Whole chunks of a
recording don't wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event

import torch
from torch import nn


class _Stopped(Exception):
    """Ends a forward whose result nobody waits for any more."""


def run(
    network: Callable[[torch.Tensor], torch.Tensor],
    inputs: Sequence[torch.Tensor],
    model: nn.Module,
) -> list[torch.Tensor]:
    """`network` of each input, without gradients and side by side.

    torch's threads are shared among the inputs; a single one has all of them. What fails, or is
    interrupted, ends all the others between two layers.

    Args:
        network: calls `model`, which must keep no state from call to call.
        inputs: on the CPU.
        model: whose layers are asked to stop.
    """
    if len(inputs) == 1:
        return [network(inputs[0])]
    n_threads, stop = torch.get_num_threads(), Event()
    share = max(n_threads // len(inputs), 1)
    pool = ThreadPoolExecutor(len(inputs), initializer=torch.set_num_threads, initargs=(share,))
    try:
        with _stoppable(model, stop), pool:
            futures = [pool.submit(torch.no_grad()(network), one) for one in inputs]
            try:
                finished, _ = wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
        # What failed, before those that were stopped because of it.
        for future in finished:
            future.result()
        return [future.result() for future in futures]
    finally:
        # A thread's number is also the default of threads to come.
        torch.set_num_threads(n_threads)


@contextmanager
def _stoppable(model: nn.Module, stop: Event) -> Iterator[None]:
    """All layers of `model` look whether they are to stop, before they begin."""

    def look(module: nn.Module, inputs: tuple) -> None:
        if stop.is_set():
            raise _Stopped

    handles = [module.register_forward_pre_hook(look) for module in model.modules()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
