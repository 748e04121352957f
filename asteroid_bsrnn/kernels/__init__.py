"""Fused operations, their twins in plain torch, and the choice between them."""

from .choose import implementation, lstm, use

__all__ = ["implementation", "lstm", "use"]
