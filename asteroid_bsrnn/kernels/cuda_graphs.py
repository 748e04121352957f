"""CUDA graphs: launch all kernels of a call at once, for calls that are bound by launches.

A graph replays recorded kernels at fixed addresses, so each shape of the input has its own graph
with its own buffers.
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
    """A method of a module that is replayed from CUDA graphs without gradients.

    The first call with a shape is an ordinary one, which compiles kernels. The second call records
    the graph, and later calls replay it. Shapes that occur once, such as the last chunks of a
    recording, are never recorded. All calls are ordinary ones outside CUDA, with gradients, for
    more shapes than `MOST_GRAPHS`, and after a recording has failed.

    Args:
        module: owns the method and its parameters. These may change in place; if they move to
            other addresses, the graphs are recorded again.
        name: name of the method, which maps a tensor to a tensor. The shape of the result depends
            only on that of the input.
    """

    def __init__(self, module: nn.Module, name: str):
        self._module, self._name = module, name
        self._graphs: dict[tuple, Call] = {}
        self._seen: set[tuple] = set()
        self._places: list[int] = []
        self._failed = False

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Return the result of the method, never a buffer of the graph."""
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
        """Drop the graphs if the parameters have moved since they were recorded."""
        tensors = [*self._module.parameters(), *self._module.buffers()]
        places = [tensor.data_ptr() for tensor in tensors]
        if places != self._places:
            self._graphs.clear()
            self._places = places

    def _record(self, key: tuple, method: Call, x: torch.Tensor) -> bool:
        """Record the graph of a shape; on failure warn once and return False."""
        try:
            self._graphs[key] = record(method, x)
        # Recording fails for many reasons: layers, driver, memory. The plain call always works.
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn(f"CUDA graphs do not work here, left out: {reason}", stacklevel=4)
            self._failed = True
            self._graphs.clear()
        return not self._failed

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Let the module call the graphs instead of its method within a `with` block."""
        # Autocast would free cached casts with its context while the graph still reads them.
        cached = torch.is_autocast_cache_enabled()
        torch.set_autocast_cache_enabled(False)
        setattr(self._module, self._name, self)
        try:
            yield
        finally:
            delattr(self._module, self._name)
            torch.set_autocast_cache_enabled(cached)


def can_record(x: torch.Tensor) -> bool:
    """Whether a call with `x` may be recorded, which needs CUDA and no gradients."""
    return x.is_cuda and not torch.is_grad_enabled()


def record(function: Call, x: torch.Tensor) -> Call:
    """Return a function of tensors like `x` that replays `function` on a GPU."""
    given = x.clone()
    current, side = torch.cuda.current_stream(x.device), torch.cuda.Stream(x.device)
    side.wait_stream(current)
    # Libraries initialise in their first calls on a stream, which cannot be recorded.
    with torch.cuda.stream(side):
        for _ in range(2):
            function(given)
    current.wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    # "thread_local" lets other threads work meanwhile, such as those that pin memory.
    with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
        result = function(given)

    def replay(x: torch.Tensor) -> torch.Tensor:
        given.copy_(x)
        graph.replay()
        return result.clone()

    return replay
