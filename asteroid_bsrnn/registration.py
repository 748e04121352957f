"""Registration of this project's classes with Asteroid, which finds models by name."""

from __future__ import annotations

from types import ModuleType

import asteroid_filterbanks
from asteroid import models


def register_models(*classes: type) -> None:
    """Register models with `asteroid.models`, each once.

    A class of an earlier import of this package is replaced.
    """
    for model_class in classes:
        if _is_new(model_class, models):
            models.register_model(model_class)


def register_filterbank(name: str, filterbank: type) -> None:
    """Register a filterbank with `asteroid_filterbanks`, once.

    Args:
        name: name for `asteroid_filterbanks.get`, in addition to that of the class.
        filterbank: the class.
    """
    if _is_new(filterbank, asteroid_filterbanks):
        asteroid_filterbanks.register_filterbank(filterbank)
        setattr(asteroid_filterbanks, name, filterbank)


def _is_new(new: type, registry: ModuleType) -> bool:
    """Return whether a class is not registered yet; drop the class of an earlier import."""
    registered = getattr(registry, new.__name__, None)
    if registered is not None and registered is not new and registered.__module__ == new.__module__:
        delattr(registry, new.__name__)
        return True
    return registered is None
