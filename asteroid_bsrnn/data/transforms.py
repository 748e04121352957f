"""Waveform transforms that torch-audiomentations lacks, in its style.

Importing this module needs the extra `train`; `augmentations` does so where one is asked for.
"""

from __future__ import annotations

import math

import torch

from ..errors import UserError

try:
    from julius import lowpass_filter
    from torch_audiomentations import Gain, Shift
    from torch_audiomentations.core.transforms_interface import BaseWaveformTransform
    from torch_audiomentations.utils.object_dict import ObjectDict
except ImportError as error:
    raise UserError(
        f"augmentations need torch-audiomentations ({error}); run: pip install"
        " 'asteroid-bsrnn[train]'"
    ) from error

__all__ = [
    "BandLimit",
    "Equaliser",
    "Gain",
    "LinearGain",
    "Shift",
    "Silence",
    "StereoWidth",
    "SwapChannels",
]


class _Transform(BaseWaveformTransform):
    """What the transforms here share: any number of channels, any rate, one result type.

    Args:
        p: probability for an example to be transformed.
        mode: in torch-audiomentations' words, what shares a draw.
    """

    supports_multichannel = True
    requires_sample_rate = False
    supports_target = True
    requires_target = False

    def __init__(self, p: float = 0.5, mode: str = "per_example"):
        super().__init__(mode=mode, p=p, output_type="dict")

    def apply_transform(self, samples, sample_rate=None, targets=None, target_rate=None):
        """Transforms the chosen examples `(B, C, L)`."""
        return ObjectDict(
            samples=self.transform(samples),
            sample_rate=sample_rate,
            targets=targets,
            target_rate=target_rate,
        )

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """What becomes of examples `(B, C, L)`."""
        raise NotImplementedError


class _UniformTransform(_Transform):
    """Draws uniformly between two bounds, for each of the chosen examples.

    Args:
        low: lowest draw.
        high: highest draw.
        p: probability for an example to be transformed.
    """

    draws = 1  # an example

    def __init__(self, low: float, high: float, p: float = 0.5):
        super().__init__(p=p)
        self.low = low
        self.high = high

    def randomize_parameters(self, samples, sample_rate=None, targets=None, target_rate=None):
        """Draws for each of the chosen examples: (B, draws)."""
        drawn = torch.empty(len(samples), self.draws, device=samples.device)
        self.transform_parameters["drawn"] = drawn.uniform_(self.low, self.high)


class LinearGain(_UniformTransform):
    """Multiplies by a factor drawn uniformly; `Gain` draws uniformly in decibels."""

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Multiplies by the factors drawn."""
        return samples * self.transform_parameters["drawn"][..., None]


class SwapChannels(_Transform):
    """Reverses the channels: left becomes right.

    `ShuffleChannels` draws a permutation for the chosen examples, of which every other one leaves
    stereo as it was.

    Args:
        p: probability for an example's channels to be swapped.
    """

    supported_modes = {"per_example"}
    supports_target = False

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Reverses the channels."""
        return samples.flip(1)


class Silence(_Transform):
    """Replaces by silence.

    Args:
        p: probability for an example to be silenced.
    """

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Replaces by zeros, which, unlike a product, stop NaN too."""
        return torch.zeros_like(samples)


class StereoWidth(_UniformTransform):
    """Multiplies what the channels differ in by a factor drawn uniformly.

    What they have in common, their mean, stays as it is: with 0 all channels become their mean,
    and mono is never changed.
    """

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Brings the channels closer to their mean, or takes them away from it."""
        mean = samples.mean(dim=1, keepdim=True)
        return mean + self.transform_parameters["drawn"][..., None] * (samples - mean)


class Equaliser(_UniformTransform):
    """Raises and lowers frequencies along a smooth curve, without shifts of phase.

    Gains are drawn uniformly in decibels at points an octave apart, downwards from half the sample
    rate, and the curve is linear between them over the logarithm of frequency; below the last point
    it is level. As the whole example is filtered at once, its end reaches a little into its start.
    """

    OCTAVES = 9  # at 44.1 kHz down to 43 Hz
    draws = OCTAVES + 1

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Multiplies the spectrum by each example's curve."""
        points = self.transform_parameters["drawn"]
        length = samples.shape[-1]
        bins = torch.arange(length // 2 + 1, device=samples.device)
        octaves = (math.log2(length / 2) - bins.clamp(min=1).log2()).clamp(0, self.OCTAVES)
        point = octaves.long().clamp(max=self.OCTAVES - 1)
        decibels = torch.lerp(points[:, point], points[:, point + 1], octaves - point)
        curve = 10 ** (decibels / 20)
        return torch.fft.irfft(torch.fft.rfft(samples) * curve[:, None], n=length)


class BandLimit(_UniformTransform):
    """Takes away what lies above a frequency, drawn as a share of the sample rate, as codecs do."""

    # Of julius' filter: a slope of about 40 dB within a tenth of the cutoff.
    ZEROS = 32

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Filters each example."""
        cutoffs = self.transform_parameters["drawn"].squeeze(1).tolist()
        limited = [
            lowpass_filter(example, cutoff, zeros=self.ZEROS)
            for example, cutoff in zip(samples, cutoffs, strict=True)
        ]
        return torch.stack(limited)
