"""Stems from rendered parts, as a producer would mix them.

Each module draws the parameters of its stem as plain data and applies them, so that a manifest
holds the whole mix.
"""

from .form import arrange, silence, stem_of
from .mixdown import Track, mix_stems

__all__ = ["Track", "arrange", "mix_stems", "silence", "stem_of"]
