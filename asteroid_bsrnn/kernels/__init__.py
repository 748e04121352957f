"""Fast implementations of layers, and the choice between them."""

from .choose import implementation, lstm, use
from .cpu import (
    ROWS,
    affine,
    affine_gradients,
    attention,
    computing_type,
    estimates_in_bfloat16,
    has_bfloat16,
    in_pieces,
    keeps_inputs,
    linear,
    pieces_of,
    prelu_gradients,
    sequences_at_once,
    serves,
    var_mean,
)
from .lstm_onednn import keeps_little, normalised_lstm

__all__ = [
    "ROWS",
    "affine",
    "affine_gradients",
    "attention",
    "computing_type",
    "estimates_in_bfloat16",
    "has_bfloat16",
    "implementation",
    "in_pieces",
    "keeps_inputs",
    "keeps_little",
    "linear",
    "lstm",
    "normalised_lstm",
    "pieces_of",
    "prelu_gradients",
    "sequences_at_once",
    "serves",
    "use",
    "var_mean",
]
