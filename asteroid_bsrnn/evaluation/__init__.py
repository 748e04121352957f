"""Evaluation of separators on data sets, and comparison of the results."""

from .running import evaluate, evaluate_model

__all__ = ["evaluate", "evaluate_model"]
