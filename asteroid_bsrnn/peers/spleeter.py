"""Spleeter's separator of vocals and accompaniment (JOSS 10.21105/joss.02154), ready trained.

The network is written here from its published configuration. `spleeter_weights` gets its weights.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..filterbank import FFTSTFTFB, Decoder, Encoder
from ..models.arguments import records_arguments
from .base import Peer

SOURCES = ("vocals", "accompaniment")
N_BINS = 1024
"""Bins of the STFT that the networks see, from 0 Hz to 11 kHz."""
N_FRAMES = 512
"""Frames that the networks see at once, 11.9 s."""
WIDTHS = (16, 32, 64, 128, 256, 512)
"""Features of the U-Net's levels, each at half the resolution of the one before."""
EPSILON = 1e-10


class UNet(nn.Module):
    """Estimates the magnitudes of one source of a stereo mixture.

    Shape:
        (B, 2, T, F) -> (B, 2, T, F), both T and F multiples of 64
    """

    def __init__(self):
        super().__init__()
        above = WIDTHS[:-1]
        self.down = nn.ModuleList(
            nn.Conv2d(n_in, n_out, kernel_size=5, stride=2)
            for n_in, n_out in zip((2, *above), WIDTHS, strict=True)
        )
        self.down_activations = nn.ModuleList(
            nn.Sequential(_normalisation(width), nn.LeakyReLU(0.2)) for width in above
        )
        # All but the deepest level get the features of the way down too.
        inputs = (WIDTHS[-1], *(2 * width for width in reversed(above)))
        outputs = (*reversed(above), 1)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(n_in, n_out, kernel_size=5, stride=2)
            for n_in, n_out in zip(inputs, outputs, strict=True)
        )
        self.up_activations = nn.ModuleList(
            nn.Sequential(nn.ReLU(), _normalisation(width), nn.Dropout(0.5 if level < 3 else 0.0))
            for level, width in enumerate(outputs)
        )
        self.mask = nn.Conv2d(1, 2, kernel_size=4, dilation=2, padding=3)

    def forward(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Magnitudes of the mixture to those of the source."""
        features = magnitudes
        skipped = []
        for level, convolution in enumerate(self.down):
            if level:
                features = self.down_activations[level - 1](features)
            # As TensorFlow pads an even size for a stride of 2.
            features = convolution(functional.pad(features, (1, 2, 1, 2)))
            skipped.append(features)
        skipped.pop()
        for convolution, activation in zip(self.up, self.up_activations, strict=True):
            features = activation(convolution(features)[..., 1:-2, 1:-2])
            if skipped:
                features = torch.cat([skipped.pop(), features], dim=1)
        return magnitudes * torch.sigmoid(self.mask(features))


class SpleeterPeer(Peer):
    """Spleeter with two stems: a U-Net each for the magnitudes of vocals and accompaniment.

    The vocals are the mixture times the share that they have in the estimated power, up to 11 kHz.
    The accompaniment is the mixture minus the vocals, so that the two add up to it at any level.
    The networks see magnitudes as they are: at other levels than those of mastered music the
    shares are other ones.

    Shape:
        (B, 2, L) -> (B, 2, 2, L)
    """

    @records_arguments
    def __init__(self):
        super().__init__(SOURCES, 44100, in_channels=2, shortest=1)
        filterbank = FFTSTFTFB(4096, 4096, 1024, pad_mode="constant", sample_rate=44100)
        self.analysis = Encoder(filterbank, as_conv1d=False)
        self.synthesis = Decoder(filterbank)
        self.networks = nn.ModuleDict({source: UNet() for source in SOURCES})

    def estimate_shares(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Share of the vocals in the mixture's power.

        Args:
            magnitudes: (B, 2, N_BINS, T) of the mixture.

        Returns:
            (B, 2, N_BINS, T), from 0 to 1.
        """
        n_frames = magnitudes.shape[-1]
        filled = functional.pad(magnitudes, (0, -n_frames % N_FRAMES))
        pieces = filled.unflatten(-1, (-1, N_FRAMES)).permute(0, 3, 1, 4, 2)
        batch = pieces.flatten(0, 1)
        vocals, accompaniment = (
            self.networks[source](batch).float().square() for source in self.sources
        )
        shares = (vocals + EPSILON / 2) / (vocals + accompaniment + EPSILON)
        shares = shares.unflatten(0, pieces.shape[:2]).permute(0, 2, 4, 1, 3)
        return shares.flatten(-2)[..., :n_frames]

    def estimate(self, mixture: torch.Tensor) -> torch.Tensor:
        """(B, 2, L) of a mixture -> (B, 2, 2, L) of its sources."""
        parts = self.analysis(mixture).chunk(2, dim=-2)
        shares = self.estimate_shares(torch.hypot(*parts)[..., :N_BINS, :])
        shares = functional.pad(shares, (0, 0, 0, parts[0].shape[-2] - N_BINS))
        vocals = self.synthesis(torch.cat([shares * part for part in parts], -2), mixture.shape[-1])
        return torch.stack([vocals, mixture - vocals], dim=1)


def _normalisation(width: int) -> nn.BatchNorm2d:
    # TensorFlow's defaults; its momentum is the complement of torch's.
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
