"""Fast implementations of layers, and the choice between them."""

from .choose import implementation, lstm, use
from .cpu import (
    ROWS,
    affine,
    attention,
    computing_type,
    estimates_in_bfloat16,
    has_bfloat16,
    in_pieces,
    linear,
    sequences_at_once,
    serves,
    var_mean,
)

__all__ = [
    "ROWS",
    "affine",
    "attention",
    "computing_type",
    "estimates_in_bfloat16",
    "has_bfloat16",
    "implementation",
    "in_pieces",
    "linear",
    "lstm",
    "sequences_at_once",
    "serves",
    "use",
    "var_mean",
]
