"""Measures of separation: (sources, channels, time) tensors or arrays in, decibels out."""

from .bss_eval import museval_many, museval_scores, museval_sdr
from .sdr import csdr, frame_sdr, si_sdr, usdr

__all__ = ["csdr", "frame_sdr", "museval_many", "museval_scores", "museval_sdr", "si_sdr", "usdr"]
