"""The modules that are exported: the masker, and the whole network at a fixed length."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from ..models import Ensemble, SourceModel


class Masker(nn.Module):
    """The network between the transforms, with real and imaginary parts as the last axis.

    In memory a spectrogram is an array of complex numbers, frame by frame.

    Args:
        model: a `BSRNN`, `BSCNN` or `PerSourceSeparator`.

    Shape:
        (B, C, T, F, 2) -> (B, S, C, T, F, 2)
    """

    def __init__(self, model: SourceModel):
        super().__init__()
        self.model = model

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """Estimate the spectrograms of the sources."""
        stacked = spectrogram.permute(0, 1, 4, 3, 2).flatten(2, 3)  # (B, C, 2F, T)
        estimates = self.model.estimate_spectrogram(stacked)  # (B, S, C, 2F, T)
        return estimates.unflatten(3, (2, -1)).permute(0, 1, 2, 5, 4, 3)


class Waveform(nn.Module):
    """The whole network at a fixed length, with both transforms as convolutions.

    ONNX has no inverse STFT. One kernel serves both transforms.

    Args:
        model: a `BSRNN`, `BSCNN` or `PerSourceSeparator`.
        length: number of samples L, more than half a window.

    Shape:
        (B, C, L) -> (B, S, C, L)
    """

    def __init__(self, model: SourceModel, length: int):
        super().__init__()
        filterbank = model.encoder.filterbank
        self.model, self.length = model, length
        self.sources, self.in_channels = model.sources, model.in_channels
        self.n_fft, self.hop = filterbank.n_filters, filterbank.stride
        window = torch.as_tensor(filterbank.window, dtype=torch.float64)
        bins, samples = torch.arange(filterbank.cutoff), torch.arange(self.n_fft)
        angles = 2 * torch.pi / self.n_fft * (bins[:, None] * samples % self.n_fft).double()
        kernel = torch.cat([angles.cos(), -angles.sin()]) * window  # (2F, n_fft)
        # The bins between the first and the last one stand for two of the full spectrum.
        share = torch.full((filterbank.cutoff,), 2 / self.n_fft, dtype=torch.float64)
        share[[0, -1]] = 1 / self.n_fft
        squares = window.square().repeat(1 + length // self.hop, 1).T[None]  # (1, n_fft, T)
        weight = _overlap_add(squares, self.hop)[..., self.n_fft // 2 :][..., :length]
        self.register_buffer("kernel", kernel.unsqueeze(1).float())
        self.register_buffer("share", torch.cat([share, share]).unsqueeze(-1).float())
        self.register_buffer("weight", weight[0].float())

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Estimate the sources of a mixture."""
        half = self.n_fft // 2
        n_channels = mixture.shape[1]
        padded = F.pad(mixture.reshape(-1, 1, self.length), (half, half), mode="reflect")
        spectrogram = F.conv1d(padded, self.kernel, stride=self.hop)  # (B * C, 2F, T)
        spectrogram = spectrogram.unflatten(0, (-1, n_channels))
        estimates = self.model.estimate_spectrogram(spectrogram)  # (B, S, C, 2F, T)
        frames = (estimates * self.share).flatten(0, 2)
        waveforms = F.conv_transpose1d(frames, self.kernel, stride=self.hop)
        waveforms = waveforms[..., half : half + self.length] / self.weight
        return waveforms.reshape(-1, len(self.model.sources), n_channels, self.length)


def _overlap_add(frames: torch.Tensor, hop: int) -> torch.Tensor:
    """Return the sum (1, 1, L) of overlapping frames (1, n_fft, T)."""
    kernel = torch.eye(frames.shape[1], dtype=frames.dtype).unsqueeze(1)
    return F.conv_transpose1d(frames, kernel, stride=hop)


def waveform(model: SourceModel, length: int) -> nn.Module:
    """Return a model as a module from waveform to waveforms of a fixed length."""
    if not isinstance(model, Ensemble):
        return Waveform(model, length)
    model.networks = nn.ModuleList(Waveform(network, length) for network in model.networks)
    return model
