"""A report of evaluations and trainings: a folder of web pages, figures and sounds."""

from .build import Options, build

__all__ = ["Options", "build"]
