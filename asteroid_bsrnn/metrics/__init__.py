"""Measures of separation: from (sources, channels, time) tensors or arrays to decibels."""

from .bss_eval import museval_many, museval_scores, museval_sdr
from .sdr import csdr, frame_sdr, si_sdr, usdr

__all__ = ["csdr", "frame_sdr", "museval_many", "museval_scores", "museval_sdr", "si_sdr", "usdr"]
