"""How good a separator is on a data set, and beside others: per track, and in all."""

from .comparison import compare
from .records import find_records, read_record
from .tracks import evaluate

__all__ = ["compare", "evaluate", "find_records", "read_record"]
