"""A band that writes unlimited songs: harmony, form, drums, bass, comping, melody and leads."""

from .band import compose

__all__ = ["compose"]
