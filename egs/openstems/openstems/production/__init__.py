"""Mixing of rendered parts into stems.

Each module draws the parameters of its stem as plain data, which go into the manifest, and applies
them.
"""

from .form import arrange, silence, stem_of
from .mixdown import Track, mix_stems

__all__ = ["Track", "arrange", "mix_stems", "silence", "stem_of"]
