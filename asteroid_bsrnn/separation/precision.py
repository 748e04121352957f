"""The floating-point type that a separator's network computes in."""

from __future__ import annotations

import torch
from torch import nn

from ..errors import UserError
from ..kernels import has_bfloat16

PRECISIONS = ("auto", "32", "bf16", "16")
TYPES = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}
"""The type that autocast takes for each precision; None where it is off."""


def check_precision(precision: str | int) -> None:
    """Refuse what is no precision.

    Raises:
        UserError: if it is not one of `PRECISIONS`.
    """
    if str(precision) not in PRECISIONS:
        raise UserError(f"unknown precision {precision!r}; valid: {', '.join(PRECISIONS)}")


def resolve_precision(precision: str | int, model: nn.Module, device: torch.device) -> str:
    """The precision that a user's choice means for a network on a device.

    "auto" is "bf16" where two things hold: the device computes in bfloat16 (CPUs whose oneDNN does,
    NVIDIA GPUs of compute capability 8.0 or above), and the model's `suits_bfloat16` is true: its
    kind has been measured to stay within -45 dB of float32. Anywhere else "auto" is "32".

    Args:
        precision: one of `PRECISIONS`.
        model: the network.
        device: where it runs.

    Returns:
        "32", "bf16" or "16".

    Raises:
        UserError: for any other precision.
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
