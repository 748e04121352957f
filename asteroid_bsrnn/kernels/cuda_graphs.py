"""CUDA graphs: all kernels of a call launched at once, where launching them takes the time.

A graph replays what it recorded at fixed addresses, so there is one for each shape of the input,
with buffers of its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

Call = Callable[[torch.Tensor], torch.Tensor]

# Each graph holds the memory of a whole forward pass.
MOST_GRAPHS = 2


class GraphedCall:
    """A method of a module, replayed from CUDA graphs without gradients.

    The first call of a shape is an ordinary one, which compiles what is to be compiled; the second
    records the graph, and from then on it is replayed. Shapes that come once, as the last chunks
    of a recording, are never recorded. Off CUDA, with gradients, for more shapes than
    `MOST_GRAPHS`, and after a recording that failed, all calls are ordinary ones.

    Args:
        module: whose parameters the method reads. They may change in place; where they moved,
            the graphs are recorded anew.
        name: of the method, from a tensor to a tensor of a shape that depends on the input's.
    """

    def __init__(self, module: nn.Module, name: str):
        self._module, self._name = module, name
        self._graphs: dict[tuple, Call] = {}
        self._seen: set[tuple] = set()
        self._places: list[int] = []
        self._failed = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """The method's result, never a buffer of the graph."""
        method = getattr(type(self._module), self._name).__get__(self._module)
        if self._failed or not can_record(x):
            return method(x)
        self._forget_if_moved()
        precision = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        key = (tuple(x.shape), x.dtype, x.device, precision)
        if key not in self._graphs:
            new = key not in self._seen
            self._seen.add(key)
            if new or len(self._graphs) >= MOST_GRAPHS or not self._record(key, method, x):
                return method(x)
        return self._graphs[key](x)

    def _forget_if_moved(self) -> None:
        """Drop the graphs where the parameters lie elsewhere than when they were recorded."""
        tensors = [*self._module.parameters(), *self._module.buffers()]
        places = [tensor.data_ptr() for tensor in tensors]
        if places != self._places:
            self._graphs.clear()
            self._places = places

    def _record(self, key: tuple, method: Call, x: torch.Tensor) -> bool:
        """Record the graph of a shape; False, and one warning, where that fails."""
        try:
            self._graphs[key] = record(method, x)
        # What can't be recorded differs by layer, driver and memory; the plain call serves all.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(f"CUDA graphs do not work here, left out: {reason}", stacklevel=4)
            self._failed = True
            self._graphs.clear()
        return not self._failed

    @contextmanager
    def installed(self) -> Iterator[None]:
        """The module calls the graphs in place of its method."""
        # Casts that autocast keeps would be freed with its context, and the graph still read them.
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        setattr(self._module, self._name, self)
        try:
            yield
        finally:
            delattr(self._module, self._name)
            torch.set_autocast_cache_enabled(cached)


def can_record(x: torch.Tensor) -> bool:
    """Whether a call with `x` may be recorded: a graph knows no gradients, and needs CUDA."""
    return x.is_cuda and not torch.is_grad_enabled()


def record(function: Call, x: torch.Tensor) -> Call:
    """A function of tensors like `x` that replays what `function` does, on a GPU."""
    given = x.clone()
    current, side = torch.cuda.current_stream(x.device), torch.cuda.Stream(x.device)
    side.wait_stream(current)
    # Libraries set themselves up in their first calls on a stream, which can't be recorded.
    with torch.cuda.stream(side):
        for _ in range(2):
            function(given)
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # Other threads, such as those that pin memory, may go on with their own work meanwhile.
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        result = function(given)

    def replay(x: torch.Tensor) -> torch.Tensor:
        given.copy_(x)
        graph.replay()
        return result.clone()

    return replay
