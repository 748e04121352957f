"""Band-Split RNN for music separation, as a plugin for the Asteroid toolkit.

Importing the package registers its models with `asteroid.models` and its filterbank with
`asteroid_filterbanks`. Other names are imported at first use.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._version import __version__
from .errors import UserError

if TYPE_CHECKING:
    from . import data, metrics, presets, zoo
    from .filterbank import FFTSTFTFB
    from .models import BSCNN, BSRNN, PerSourceSeparator
    from .separation.separator import Separator

__all__ = [
    "BSCNN",
    "BSRNN",
    "FFTSTFTFB",
    "PerSourceSeparator",
    "Separator",
    "UserError",
    "__version__",
    "data",
    "metrics",
    "presets",
    "zoo",
]

_MODULES = {
    "BSCNN": "models",
    "BSRNN": "models",
    "FFTSTFTFB": "filterbank",
    "PerSourceSeparator": "models",
    "Separator": "separation.separator",
}


def __getattr__(name: str) -> Any:
    """Import a public name, or a module of the package, when it is first used."""
    if name in _MODULES:
        module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
        return getattr(module, name)
    if not name.startswith("_") and find_spec(f"{__name__}.{name}"):
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the names of the package, with those that are not imported yet."""
    return sorted({*globals(), *__all__})


def _is_command() -> bool:
    """Return whether this process runs the command line, which prints its help without torch."""
    # While Python looks for the module of "python -m", the program's name is "-m".
    as_module = sys.argv[:1] == ["-m"] and __name__ in sys.orig_argv
    return as_module or Path((sys.argv or [""])[0]).stem == "asteroid-bsrnn"


if not _is_command():
    from . import models as _models  # noqa: F401  registers them with Asteroid
