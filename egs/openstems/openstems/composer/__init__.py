"""Composer of songs: form, harmony, drums, bass, accompaniment, melody and leads."""

from .band import compose

__all__ = ["compose"]
