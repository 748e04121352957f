"""Band-Split RNN for music separation, as a plugin for the Asteroid toolkit.

Importing the package registers its models with `asteroid.models` and its filterbank with
`asteroid_filterbanks`, and lets Asteroid's `separate` functions handle stereo for them.
"""

from . import data, metrics, presets, zoo
from ._version import __version__
from .errors import UserError
from .filterbank import FFTSTFTFB
from .models import BSCNN, BSRNN, PerSourceSeparator
from .registration import register
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

register()
