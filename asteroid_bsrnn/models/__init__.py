"""Networks from waveform to waveform on Asteroid's `BaseModel`, registered with Asteroid."""

from ..filterbank import FFTSTFTFB
from ..registration import register_filterbank, register_models
from .base import SourceModel
from .bscnn import BSCNN
from .bsrnn import BSRNN, BandSplitMasker, BandSplitModel
from .ensemble import Ensemble
from .per_source import PerSourceSeparator, build_network

__all__ = [
    "BSCNN",
    "BSRNN",
    "BandSplitMasker",
    "BandSplitModel",
    "Ensemble",
    "PerSourceSeparator",
    "SourceModel",
    "build_network",
]

register_models(BSRNN, BSCNN, Ensemble, PerSourceSeparator)
register_filterbank("fft_stft", FFTSTFTFB)
