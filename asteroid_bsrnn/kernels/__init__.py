"""Fused operations, their twins in plain torch, and the choice between them."""

from .choose import implementation, lstm, use
from .cpu import ROWS, SEQUENCES, attention, in_pieces, var_mean

__all__ = [
    "ROWS",
    "SEQUENCES",
    "attention",
    "implementation",
    "in_pieces",
    "lstm",
    "use",
    "var_mean",
]
