"""Arguments of model constructors: recorded as plain types, and checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np


def records_arguments(init: Callable) -> Callable:
    """Record the arguments of a keyword-only `__init__` in `self.model_args`, as plain types.

    They include the defaults; Asteroid builds the model again from them. The decorated
    constructor raises a `TypeError` that lists the valid names for a positional or an unknown
    argument.
    """
    names = list(inspect.signature(init).parameters)[1:]
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(init).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }

    @functools.wraps(init)
    def wrapper(self, *args, **kwargs):
        unknown = [name for name in kwargs if name not in names]
        if args or unknown:
            wrong = f"unknown argument {unknown[0]!r}" if unknown else "positional arguments"
            raise TypeError(f"{type(self).__name__}: {wrong}; by keyword only: {', '.join(names)}")
        init(self, **kwargs)
        self.model_args = {name: plain(value) for name, value in {**defaults, **kwargs}.items()}

    return wrapper


def plain(value: Any) -> Any:
    """Convert tuples to lists and NumPy numbers and arrays to Python's, at every level.

    Files that contain only such types load under `torch.load(weights_only=True)`.
    """
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def check_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """Refuse a value that is not one of the choices.

    Raises:
        ValueError: with the name, the value and the choices.
    """
    choices = list(choices)
    if value not in choices:
        valid = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"unknown {name} {value!r}; valid: {valid}")


def check_positive(**values: int) -> None:
    """Refuse values that are not whole numbers of at least 1.

    Raises:
        ValueError: with the name and the value.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")


def check_sources(sources: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the sources as a tuple.

    Raises:
        ValueError: if there is no name, or a name is empty, not a string or repeated.
    """
    sources = (sources,) if isinstance(sources, str) else tuple(sources)
    if not sources or not all(isinstance(name, str) and name for name in sources):
        raise ValueError(f"sources must be one or more names, got {sources!r}")
    if len(set(sources)) < len(sources):
        raise ValueError(f"sources must differ from each other, got {sources!r}")
    return sources
