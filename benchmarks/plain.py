"""A plain Band-Split RNN, the baseline of the speed measurements.

It has a module for each band, `torch.nn.LSTM` with the batch first, and a transpose between the
layers along time and bands. Parameters have the names of the replication study's code, so its
weights load unchanged. A test compares the outputs with the study's.
"""

from __future__ import annotations

import torch
from torch import nn

from asteroid_bsrnn.bands import band_widths, default_table
from asteroid_bsrnn.models import BSRNN

EPS = 1e-7


class PlainLSTM(nn.Module):
    """Residual LSTM layer on (batch, N, steps): normalise, LSTM, linear, add."""

    def __init__(self, n_features: int, expansion: int):
        super().__init__()
        n_hidden = expansion * n_features
        self.norm = nn.GroupNorm(1, n_features, eps=EPS)
        self.main_layer = nn.LSTM(n_features, n_hidden, batch_first=True, bidirectional=True)
        self.proj = nn.Linear(2 * n_hidden, n_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Process every sequence of the batch."""
        hidden, _ = self.main_layer(self.norm(x).transpose(1, 2))
        return x + self.proj(hidden).transpose(1, 2)


class PlainTAC(nn.Module):
    """TAC on (batch, channels, N, K, T): transform, average, concatenate, add."""

    def __init__(self, n_features: int, expansion: int, activation: str):
        super().__init__()
        n_hidden = expansion * n_features
        shared = nn.PReLU() if activation == "prelu" else nn.Tanh()
        self.transform = nn.Sequential(nn.Linear(n_features, n_hidden), shared)
        self.average = nn.Sequential(nn.Linear(n_hidden, n_hidden), shared)
        self.concat = nn.Sequential(nn.Linear(2 * n_hidden, n_features), shared)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Exchange information between channels."""
        features = x.permute(0, 3, 4, 1, 2)
        transformed = self.transform(features)
        average = self.average(transformed.mean(dim=3, keepdim=True)).expand_as(transformed)
        joined = self.concat(torch.cat([transformed, average], dim=-1))
        return x + joined.permute(0, 3, 4, 1, 2)


class PlainNorm(nn.Module):
    """Normalisation of (batch, features, T, K) over features and bands."""

    def __init__(self, n_features: int, n_bands: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, n_features, 1, n_bands))
        self.beta = nn.Parameter(torch.zeros(1, n_features, 1, n_bands))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise each frame."""
        mean = x.mean(dim=(1, 3), keepdim=True)
        variance = x.var(dim=(1, 3), unbiased=False, keepdim=True)
        return (x - mean) / torch.sqrt(variance + EPS) * self.gamma + self.beta


class PlainAttention(nn.Module):
    """Residual attention over the frames of (batch, N, T, K), head by head."""

    def __init__(self, n_features: int, n_bands: int, n_heads: int, head_dim: int):
        super().__init__()
        self.n_heads = n_heads
        for head in range(n_heads):
            for letter, size in (("Q", head_dim), ("K", head_dim), ("V", n_features // n_heads)):
                projection = self._projection(n_features, size, n_bands)
                self.add_module(f"attn_conv_{letter}_{head}", projection)
        self.attn_concat_proj = self._projection(n_features, n_features, n_bands)

    @staticmethod
    def _projection(n_in: int, n_out: int, n_bands: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(n_in, n_out, 1), nn.PReLU(), PlainNorm(n_out, n_bands))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Attend over frames and add the result to the input."""
        outputs = []
        for head in range(self.n_heads):
            query, key, value = (
                getattr(self, f"attn_conv_{letter}_{head}")(x).transpose(1, 2) for letter in "QKV"
            )
            scores = query.flatten(2) @ key.flatten(2).transpose(1, 2)
            weights = torch.softmax(scores / query.flatten(2).shape[-1] ** 0.5, dim=-1)
            attended = (weights @ value.flatten(2)).unflatten(2, value.shape[2:])
            outputs.append(attended.transpose(1, 2))
        return x + self.attn_concat_proj(torch.cat(outputs, dim=1))


class PlainBlock(nn.Module):
    """Block on (batch * channels, N, K, T): time, bands, then optional TAC and attention."""

    def __init__(self, config: dict, n_bands: int):
        super().__init__()
        n = config["feature_dim"]
        self.time_net = PlainLSTM(n, config["rnn_expansion"])
        self.band_net = PlainLSTM(n, config["rnn_expansion"])
        if config["stereo"] == "tac":
            self.tac_module = PlainTAC(n, config["tac_expansion"], config["tac_activation"])
        if config["attention_heads"]:
            heads = (config["attention_heads"], config["attention_dim"])
            self.attn_block = PlainAttention(n, n_bands, *heads)

    def forward(self, x: torch.Tensor, n_channels: int) -> torch.Tensor:
        """Apply the layers along time, along bands, and the optional ones."""
        batch, n, bands, frames = x.shape
        y = self.time_net(x.transpose(1, 2).reshape(batch * bands, n, frames))
        y = y.reshape(batch, bands, n, frames).permute(0, 3, 2, 1)
        y = self.band_net(y.reshape(batch * frames, n, bands))
        x = y.reshape(batch, frames, n, bands).permute(0, 2, 3, 1)
        if hasattr(self, "tac_module"):
            x = self.tac_module(x.unflatten(0, (-1, n_channels))).flatten(0, 1)
        if hasattr(self, "attn_block"):
            x = self.attn_block(x.transpose(2, 3)).transpose(2, 3)
        return x


class PlainMasker(nn.Module):
    """Masks from (batch, N, K, T): a list of (batch, 2 * width, T), one for each band."""

    def __init__(self, widths: tuple[int, ...], n_features: int, expansion: int):
        super().__init__()
        n_hidden = expansion * n_features
        self.mask = nn.ModuleList(
            nn.Sequential(
                nn.GroupNorm(1, n_features, eps=EPS),
                nn.Conv1d(n_features, n_hidden, 1),
                nn.Tanh(),
                nn.Conv1d(n_hidden, n_hidden, 1),
                nn.Tanh(),
                nn.Conv1d(n_hidden, 4 * width, 1),
                nn.GLU(dim=1),
            )
            for width in widths
        )

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the masks band by band."""
        return [mask(x[:, :, band]) for band, mask in enumerate(self.mask)]


class PlainBSRNN(nn.Module):
    """The plain form of a `BSRNN` with LSTMs, for separate channels or with TAC.

    Args:
        like: the network of the package whose arguments are used.

    Raises:
        ValueError: if that network has an option without a plain form.
    """

    def __init__(self, like: BSRNN):
        super().__init__()
        config = like.get_model_args()
        plain = {"time_layer": "lstm", "band_layer": "lstm", "feature_groups": 1, "norm_groups": 1}
        plain |= {"causal": False, "bidirectional": True, "last_source_as_residual": False}
        other = {name for name, value in plain.items() if config.get(name) != value}
        if other or config["stereo"] == "naive":
            raise ValueError(f"no plain form of {sorted(other) or 'naive stereo'}")
        self.n_fft, self.hop = config["n_filters"], config["stride"]
        table = config["bands"] or default_table(like.sources)
        self.widths = band_widths(table, config["sample_rate"], self.n_fft)
        n = config["feature_dim"]
        self.BN = nn.ModuleList(
            nn.Sequential(nn.GroupNorm(1, 2 * width, eps=EPS), nn.Conv1d(2 * width, n, 1))
            for width in self.widths
        )
        self.separator = nn.ModuleList(
            PlainBlock(config, len(self.widths)) for _ in range(config["n_repeats"])
        )
        self.maskers = nn.ModuleList(
            PlainMasker(self.widths, n, config["mask_expansion"]) for _ in like.sources
        )

    def forward(self, mixture: torch.Tensor) -> torch.Tensor:
        """Map (batch, channels, time) to (batch, sources, channels, time)."""
        batch, channels, length = mixture.shape
        window = torch.hann_window(self.n_fft, dtype=mixture.dtype, device=mixture.device)
        stft = {"n_fft": self.n_fft, "hop_length": self.hop, "window": window}
        spectrogram = torch.stft(mixture.flatten(0, 1), **stft, return_complex=True)
        bands = spectrogram.split(self.widths, dim=1)
        features = [
            layer(torch.cat([band.real, band.imag], dim=1))
            for layer, band in zip(self.BN, bands, strict=True)
        ]
        x = torch.stack(features, dim=2)
        for block in self.separator:
            x = block(x, channels)
        estimates = []
        for masker in self.maskers:
            masks = [torch.complex(*mask.chunk(2, dim=1)) for mask in masker(x)]
            masked = [mask * band for mask, band in zip(masks, bands, strict=True)]
            waveform = torch.istft(torch.cat(masked, dim=1), **stft, length=length)
            estimates.append(waveform.unflatten(0, (batch, channels)))
        return torch.stack(estimates, dim=1)
