"""Networks from waveform to waveform on Asteroid's `BaseModel`, registered with Asteroid."""

from __future__ import annotations

from types import ModuleType

import asteroid_filterbanks
from asteroid import models

from ..filterbank import FFTSTFTFB
from .base import SourceModel
from .bscnn import BSCNN
from .bsrnn import BSRNN, BandSplitMasker, BandSplitModel
from .combined import Ensemble, PerSourceSeparator, build_network

__all__ = [
    "BSCNN",
    "BSRNN",
    "BandSplitMasker",
    "BandSplitModel",
    "Ensemble",
    "PerSourceSeparator",
    "SourceModel",
    "build_network",
    "register_models",
]


def register_models(*classes: type) -> None:
    """Register models with `asteroid.models`, each once.

    A class of an earlier import of this package is replaced.
    """
    for model_class in classes:
        if _is_new(model_class, models):
            models.register_model(model_class)


def _is_new(new: type, registry: ModuleType) -> bool:
    """Return whether a class is not registered yet; drop the class of an earlier import."""
    registered = getattr(registry, new.__name__, None)
    if registered is not None and registered is not new and registered.__module__ == new.__module__:
        delattr(registry, new.__name__)
        return True
    return registered is None


register_models(BSRNN, BSCNN, Ensemble, PerSourceSeparator)
if _is_new(FFTSTFTFB, asteroid_filterbanks):
    asteroid_filterbanks.register_filterbank(FFTSTFTFB)
    asteroid_filterbanks.fft_stft = FFTSTFTFB
