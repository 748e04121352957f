"""Waveform -> waveform networks on Asteroid's `BaseModel`."""

from .base import BandSplitModel, SourceModel
from .bscnn import BSCNN
from .bsrnn import BSRNN
from .per_source import PerSourceSeparator, build_network

__all__ = [
    "BSCNN",
    "BSRNN",
    "BandSplitModel",
    "PerSourceSeparator",
    "SourceModel",
    "build_network",
]
