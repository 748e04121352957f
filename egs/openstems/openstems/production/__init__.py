"""Mixing of rendered parts into stems.

Each module draws the parameters of its stem as plain data, which go into the manifest, and applies
them.
"""

from .form import arrange, silence, stem_of
from .mixdown import mix_stems
from .other import Track

__all__ = ["Track", "arrange", "mix_stems", "silence", "stem_of"]
