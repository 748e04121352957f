"""Fused operations, their twins in plain torch, and the choice between them."""

from .choose import implementation, lstm, use
from .cpu import ROWS, SEQUENCES, affine, attention, has_bfloat16, in_pieces, var_mean

__all__ = [
    "ROWS",
    "SEQUENCES",
    "affine",
    "attention",
    "has_bfloat16",
    "implementation",
    "in_pieces",
    "lstm",
    "use",
    "var_mean",
]
