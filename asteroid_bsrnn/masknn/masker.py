"""Band split, dual-path separator and mask estimator as one Asteroid masker."""

from __future__ import annotations

import torch
from torch import nn

from .band_split import BandSplit
from .mask import MaskEstimator
from .separator import DualPathSeparator


class BandSplitMasker(nn.Module):
    """Estimate complex masks from a spectrogram.

    Args:
        band_split: (B, P, F, T) -> (T, K, B, N).
        separator: (T, K, B, N) -> (T, K, B, N).
        mask_estimator: (T, K, B, N) -> (B, S, P, F, T).
        channels_as_features: whether the channels of a recording are planes of one spectrogram
            ("naive" stereo); otherwise each channel is a spectrogram of its own.

    Shape:
        (B, C, 2F, T) -> (B, S, C, 2F, T), real and imaginary parts stacked over frequency.
    """

    def __init__(
        self,
        band_split: BandSplit,
        separator: DualPathSeparator,
        mask_estimator: MaskEstimator,
        *,
        channels_as_features: bool = False,
    ):
        super().__init__()
        self.band_split = band_split
        self.separator = separator
        self.mask_estimator = mask_estimator
        self.channels_as_features = channels_as_features

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Masks of every source for `spectrogram`, in its precision."""
        n_channels = 1 if self.channels_as_features else spectrogram.shape[1]
        planes = spectrogram.unflatten(2, (2, -1))  # (B, C, 2, F, T)
        planes = planes.flatten(1, 2) if self.channels_as_features else planes.flatten(0, 1)
        overwrite = not torch.is_grad_enabled()
        features = self.separator(self.band_split(planes), n_channels, overwrite=overwrite)
        masks = self.mask_estimator(features).to(spectrogram.dtype)
        if self.channels_as_features:
            return masks.unflatten(2, (-1, 2)).flatten(3, 4)
        return masks.flatten(2, 3).unflatten(0, (-1, n_channels)).transpose(1, 2)
