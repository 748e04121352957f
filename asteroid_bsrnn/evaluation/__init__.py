"""How good a separator is on a data set: per track, and in all."""

from .tracks import evaluate

__all__ = ["evaluate"]
