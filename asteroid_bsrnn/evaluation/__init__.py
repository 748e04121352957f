"""Evaluation of separators on data sets, and comparison of the results."""

from .comparison import compare
from .records import find_records, read_record
from .running import evaluate, evaluate_model, evaluate_oracle

__all__ = [
    "compare",
    "evaluate",
    "evaluate_model",
    "evaluate_oracle",
    "find_records",
    "read_record",
]
