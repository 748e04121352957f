"""Waveform transforms of the augmentations: two of torch-audiomentations, others in its style.

Importing this module needs torch-audiomentations; `augmentations` imports it on demand.
"""

from __future__ import annotations

import math
from collections.abc import Callable

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


class _Transform(BaseWaveformTransform):
    """Base class: any number of channels, any rate, one result type.

    Subclasses have a method `transform` from and to examples `(B, C, L)`.

    Args:
        p: probability that an example is transformed.
    """

    supported_modes = {"per_example"}
    supports_multichannel = True
    requires_sample_rate = False
    supports_target = True
    requires_target = False

    def __init__(self, p: float = 0.5):
        super().__init__(mode="per_example", p=p, output_type="dict")

    def apply_transform(self, samples, sample_rate=None, targets=None, target_rate=None):
        """Transform the chosen examples `(B, C, L)`."""
        return ObjectDict(
            samples=self.transform(samples),
            sample_rate=sample_rate,
            targets=targets,
            target_rate=target_rate,
        )


class _UniformTransform(_Transform):
    """Base class of transforms that draw uniformly from `low` to `high` for each example."""

    draws = 1  # for each example

    def __init__(self, low: float, high: float, p: float = 0.5):
        super().__init__(p)
        self.low, self.high = low, high

    def randomize_parameters(self, samples, sample_rate=None, targets=None, target_rate=None):
        """Draw for each of the chosen examples: (B, draws)."""
        drawn = torch.empty(len(samples), self.draws, device=samples.device)
        self.transform_parameters["drawn"] = drawn.uniform_(self.low, self.high)


class LinearGain(_UniformTransform):
    """Gain whose factor is drawn uniformly; `Gain` draws uniformly in decibels."""

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Multiply by the factors drawn."""
        return samples * self.transform_parameters["drawn"][..., None]


class SwapChannels(_Transform):
    """Reversal of the channels: left becomes right.

    `ShuffleChannels` draws a permutation instead, and half of the permutations of two channels
    change nothing.
    """

    supports_target = False

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Reverse the channels."""
        return samples.flip(1)


class Silence(_Transform):
    """Replacement by silence."""

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Replace by zeros; unlike multiplication by zero, this removes NaN too."""
        return torch.zeros_like(samples)


class StereoWidth(_UniformTransform):
    """Scaling of the channels' differences from their mean by a factor drawn uniformly.

    The mean itself does not change: with 0 all channels become their mean, and mono never changes.
    """

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Move the channels towards their mean, or away from it."""
        mean = samples.mean(dim=1, keepdim=True)
        return mean + self.transform_parameters["drawn"][..., None] * (samples - mean)


class Equaliser(_UniformTransform):
    """Zero-phase filter with a smooth random curve of gains.

    Gains are drawn uniformly in decibels at points an octave apart, downwards from half the sample
    rate. The curve is linear between them over the logarithm of frequency, and constant below the
    last point. The filter is circular: the end of an example affects its start a little.
    """

    OCTAVES = 9  # at 44.1 kHz down to 43 Hz
    draws = OCTAVES + 1

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Multiply the spectrum by each example's curve."""
        points = self.transform_parameters["drawn"]
        length = samples.shape[-1]
        bins = torch.arange(length // 2 + 1, device=samples.device)
        octaves = (math.log2(length / 2) - bins.clamp(min=1).log2()).clamp(0, self.OCTAVES)
        point = octaves.long().clamp(max=self.OCTAVES - 1)
        decibels = torch.lerp(points[:, point], points[:, point + 1], octaves - point)
        curve = 10 ** (decibels / 20)
        return torch.fft.irfft(torch.fft.rfft(samples) * curve[:, None], n=length)


class BandLimit(_UniformTransform):
    """Low-pass, as lossy codecs have it; the cutoff is drawn as a share of the sample rate."""

    # Zero crossings of julius' filter: it falls by about 40 dB within a tenth of the cutoff.
    ZEROS = 32

    def transform(self, samples: torch.Tensor) -> torch.Tensor:
        """Filter each example."""
        cutoffs = self.transform_parameters["drawn"].squeeze(1).tolist()
        limited = [
            lowpass_filter(example, cutoff, zeros=self.ZEROS)
            for example, cutoff in zip(samples, cutoffs, strict=True)
        ]
        return torch.stack(limited)


def _gain(low: float, high: float, p: float) -> Gain:
    return Gain(low, high, mode="per_example", p=p, output_type="dict")


def _shift(low: float, high: float, p: float) -> Shift:
    # The transform requires a sample rate even though it is not used for shares of the example.
    return Shift(low, high, rollover=False, p=p, sample_rate=1, output_type="dict")


TRANSFORMS: dict[str, Callable[..., BaseWaveformTransform]] = {
    "gain_db": _gain,
    "gain_linear": LinearGain,
    "equaliser": Equaliser,
    "stereo_width": StereoWidth,
    "channel_swap": SwapChannels,
    "silent_source": Silence,
    "silent_target": Silence,
    "shift": _shift,
    "band_limit": BandLimit,
}
