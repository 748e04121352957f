"""The device of a separator: its choice, its precision, copies from and to it, and CUDA graphs."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from ..errors import UserError
from ..kernels import has_bfloat16
from ..options import PRECISIONS

Call = Callable[[torch.Tensor], torch.Tensor]

TYPES = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}
"""The type that autocast uses for each precision; None means no autocast."""


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of a name; "auto" means a GPU if there is one, else the CPU.

    Raises:
        UserError: the name is unknown or there is no such device.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"unknown device {device!r}; valid: auto, cpu, cuda, mps") from error
    try:
        torch.zeros(1, device=resolved).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {str(device)!r}: torch can compute on no such device here; use --device cpu "
            "or auto"
        ) from error
    return resolved


def check_precision(precision: str | int) -> None:
    """Refuse an unknown precision.

    Raises:
        UserError: the precision is not one of `PRECISIONS`.
    """
    if str(precision) not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; valid: {', '.join(PRECISIONS)}")


def resolve_precision(precision: str | int, model: nn.Module, device: torch.device) -> str:
    """Return the precision in which a network computes on a device: "32", "bf16" or "16".

    "auto" means "bf16" if the device computes in bfloat16 (CPUs for which oneDNN supports it,
    NVIDIA GPUs of compute capability 8.0 or above) and the model's `suits_bfloat16` is true, that
    is, networks of its kind have been measured to stay within -45 dB of float32. Otherwise it
    means "32".

    Raises:
        UserError: the precision is unknown.
    """
    check_precision(precision)
    if str(precision) != "auto":
        return str(precision)
    if device.type == "cuda" and torch.version.hip is None:
        supported = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        supported = device.type == "cpu" and has_bfloat16()
    return "bf16" if supported and getattr(model, "suits_bfloat16", False) else "32"


class Arrival:
    """An asynchronous copy of a tensor to the CPU.

    The copy is queued at once, because a later read would wait for all work that is queued then.

    Args:
        tensor: a tensor on any device.
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
        """Wait for the copy and return the tensor on the CPU."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._tensor.cpu()


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy a tensor to a device; to CUDA without waiting for queued work."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def arriving(blocks: Iterable[torch.Tensor], ahead: int = 0) -> Iterator[torch.Tensor]:
    """Yield blocks of any device on the CPU, in order.

    `ahead` blocks are requested before the first one is waited for. A GPU computes them while the
    CPU processes earlier ones.
    """
    copies: deque[Arrival] = deque()
    for block in blocks:
        copies.append(Arrival(block))
        if len(copies) > ahead:
            yield copies.popleft().wait()
    while copies:
        yield copies.popleft().wait()


# --- CUDA graphs ----------------------------------------------------------------------------------


# Each graph holds the memory of a whole forward pass.
MOST_GRAPHS = 2


class GraphedCall:
    """A method of a module that is replayed from CUDA graphs without gradients.

    A graph launches all kernels of a call at once, for calls that are bound by launches. It
    replays recorded kernels at fixed addresses, so each shape of the input has its own graph.

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
    """Return whether a call with `x` may be recorded, which needs CUDA and no gradients."""
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


def graphs_of(model: nn.Module, device: torch.device) -> GraphedCall | None:
    """Return CUDA graphs of the computation between the transforms; None, and warn, if impossible.

    The inverse STFT reads its window on the CPU, which a graph cannot record.
    """
    if device.type != "cuda":
        obstacle = f"they need an NVIDIA GPU, and this is {device.type}"
    elif not hasattr(type(model), "estimate_spectrogram"):
        obstacle = f"{type(model).__name__} has no estimate_spectrogram to record"
    else:
        return GraphedCall(model, "estimate_spectrogram")
    warnings.warn(f"no CUDA graphs: {obstacle}", stacklevel=3)
    return None
