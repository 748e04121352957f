"""Spleeter's separator of vocals and accompaniment (JOSS 10.21105/joss.02154).

The network follows its published configuration. `spleeter_weights` loads its trained weights.
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
"""Number of STFT bins of the networks' input, from 0 Hz to 11 kHz."""
N_FRAMES = 512
"""Number of frames of the networks' input, 11.9 s."""
WIDTHS = (16, 32, 64, 128, 256, 512)
"""Numbers of features of the U-Net's levels; each level halves the resolution."""
EPSILON = 1e-10


class UNet(nn.Module):
    """A U-Net that estimates the magnitudes of one source of a stereo mixture.

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
        # All levels but the deepest have skip connections.
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
        """Return the magnitudes of the source."""
        features = magnitudes
        skipped = []
        for level, convolution in enumerate(self.down):
            if level:
                features = self.down_activations[level - 1](features)
            # TensorFlow's padding of an even size for a stride of 2.
            features = convolution(functional.pad(features, (1, 2, 1, 2)))
            skipped.append(features)
        skipped.pop()
        for convolution, activation in zip(self.up, self.up_activations, strict=True):
            features = activation(convolution(features)[..., 1:-2, 1:-2])
            if skipped:
                features = torch.cat([skipped.pop(), features], dim=1)
        return magnitudes * torch.sigmoid(self.mask(features))


class SpleeterPeer(Peer):
    """Spleeter with two stems: one U-Net for the vocals and one for the accompaniment.

    The vocals are the mixture times their share of the estimated power, up to 11 kHz. The
    accompaniment is the mixture minus the vocals, so that the two always add up to the mixture.
    Magnitudes are not normalised, so that the shares depend on the level of the mixture.

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
        """Return the share of the vocals in the mixture's power.

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
        """Return the sources (B, 2, 2, L) of a mixture (B, 2, L)."""
        parts = self.analysis(mixture).chunk(2, dim=-2)
        shares = self.estimate_shares(torch.hypot(*parts)[..., :N_BINS, :])
        shares = functional.pad(shares, (0, 0, 0, parts[0].shape[-2] - N_BINS))
        vocals = self.synthesis(torch.cat([shares * part for part in parts], -2), mixture.shape[-1])
        return torch.stack([vocals, mixture - vocals], dim=1)


def _normalisation(width: int) -> nn.BatchNorm2d:
    # TensorFlow's defaults; its momentum is the complement of torch's.
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)
