"""The device of a separator: its choice, its precision, and copies from and to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from ..errors import UserError
from ..kernels import has_bfloat16
from ..options import PRECISIONS

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
    suits = getattr(model, "suits_bfloat16", False)
    return "bf16" if suits and _computes_in_bfloat16(device) else "32"


def _computes_in_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        return has_bfloat16()
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


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
    """Yield blocks on the CPU, in order.

    Args:
        blocks: tensors on any device.
        ahead: number of blocks that are requested before the first one is waited for. A GPU
            computes them while the CPU processes earlier ones.
    """
    copies: deque[Arrival] = deque()
    for block in blocks:
        copies.append(Arrival(block))
        if len(copies) > ahead:
            yield copies.popleft().wait()
    while copies:
        yield copies.popleft().wait()
