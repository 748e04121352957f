"""An FFT-based short-time Fourier transform as an `asteroid_filterbanks` filterbank.

`FFTSTFTFB` has no learned weights and nothing in its state dict. With the `Encoder` and `Decoder`
of `asteroid_filterbanks` it is computed as a convolution, like `TorchSTFTFB`. With those of this
module it is computed by `torch.stft` and `torch.istft`, many times faster for long windows.
"""

from __future__ import annotations

from numbers import Integral

import asteroid_filterbanks
import torch
from asteroid_filterbanks import Filterbank, TorchSTFTFB
from scipy.signal import get_window
from torch.nn import functional


class FFTSTFTFB(TorchSTFTFB):
    """STFT filterbank with the conventions of `torch.stft` and `torch.istft`.

    Analysis and synthesis use the same window. Synthesis divides by the overlapped squared window,
    so that it inverts the analysis.

    Args:
        n_filters: size of the FFT; must be even. There are `n_filters // 2 + 1` bins.
        kernel_size: length of the window; must equal `n_filters`. None means `n_filters`.
        stride: hop in samples; None means a quarter of the window.
        window: name of a periodic window, as in `scipy.signal.get_window`.
        center: whether frames are centred on multiples of the hop, with padding at the ends.
        pad_mode: mode of the padding, as in `torch.stft`.
        sample_rate: in hertz.

    Raises:
        ValueError: if `n_filters` is odd, `kernel_size` differs from it, `stride` is not in
            1 ... `n_filters // 2`, or one of them is not a whole number.
    """

    def __init__(
        self,
        n_filters: int = 2048,
        kernel_size: int | None = None,
        stride: int | None = None,
        window: str = "hann",
        center: bool = True,
        pad_mode: str = "reflect",
        sample_rate: float = 44100.0,
    ):
        kernel_size = n_filters if kernel_size is None else kernel_size
        stride = n_filters // 4 if stride is None else stride
        for name, value in (("n_filters", n_filters), ("stride", stride)):
            if not isinstance(value, Integral):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
        if n_filters < 2 or n_filters % 2:
            raise ValueError(f"n_filters must be even and positive, got {n_filters}")
        if kernel_size != n_filters:
            raise ValueError(f"kernel_size ({kernel_size}) must equal n_filters ({n_filters})")
        if not 1 <= stride <= n_filters // 2:
            raise ValueError(f"stride must be in 1 ... {n_filters // 2}, got {stride}")
        # TorchSTFTFB's own constructor would store its convolution kernels, n_filters squared.
        Filterbank.__init__(self, n_filters, kernel_size, stride, sample_rate)
        self.cutoff = n_filters // 2 + 1
        self.n_feats_out = 2 * self.cutoff
        self.window_name, self.center, self.pad_mode = window, center, pad_mode
        self.window = get_window(window, kernel_size)
        self.register_buffer("torch_window", torch.from_numpy(self.window).float(), False)

    def _apply(self, fn, recurse=True):
        # The window moves with the module but is never half precision. In float64 it is computed
        # from its exact values instead of those rounded to float32.
        super()._apply(fn, recurse)
        dtype = torch.promote_types(self.torch_window.dtype, torch.float32)
        device = self.torch_window.device
        self.torch_window = torch.as_tensor(self.window, dtype=dtype, device=device)
        return self

    def filters(self) -> torch.Tensor:
        """Return the transform as convolution kernels (n_filters + 2, 1, kernel_size)."""
        window = torch.from_numpy(self.window)
        twin = TorchSTFTFB(self.n_filters, self.kernel_size, self.stride, window=window)
        return twin.filters().to(self.torch_window)

    def stft(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return the complex spectrogram (..., bins, frames) of a waveform (..., time).

        Half-precision input is transformed in float32.

        Raises:
            ValueError: if `waveform` is too short for the padding at its ends.
        """
        shortest = self.n_filters // 2 + 1 if self.center and self.pad_mode == "reflect" else 1
        # A traced length is a tensor, which the check would freeze.
        if not torch.jit.is_tracing() and waveform.shape[-1] < shortest:
            raise ValueError(
                f"a waveform of {waveform.shape[-1]} samples is too short for this STFT, "
                f"which needs at least {shortest}"
            )
        waveform = waveform.to(torch.promote_types(waveform.dtype, torch.float32))
        spectrogram = torch.stft(
            waveform.reshape(-1, waveform.shape[-1]),
            self.n_filters,
            self.stride,
            window=self.torch_window.to(waveform.dtype),
            center=self.center,
            pad_mode=self.pad_mode,
            return_complex=True,
        )
        return spectrogram.reshape(waveform.shape[:-1] + spectrogram.shape[-2:])

    def istft(self, spectrogram: torch.Tensor, length: int | None = None) -> torch.Tensor:
        """Return the waveform (..., time) of a complex spectrogram (..., bins, frames).

        `length` None means as many samples as the frames hold.
        """
        flat = spectrogram.reshape((-1,) + spectrogram.shape[-2:])
        if (
            spectrogram.is_cuda
            and not torch.jit.is_tracing()
            and self.center
            and (length is None or length < flat.shape[-1] * self.stride)
        ):
            waveform = self.overlap_add(flat, length)
        else:
            waveform = torch.istft(
                flat,
                self.n_filters,
                self.stride,
                window=self.torch_window.to(spectrogram.real.dtype),
                center=self.center,
                length=length,
            )
        return waveform.reshape(spectrogram.shape[:-2] + waveform.shape[-1:])

    def overlap_add(self, spectrogram: torch.Tensor, length: int | None = None) -> torch.Tensor:
        """Compute `torch.istft` of centred frames (B, bins, frames) without the window-sum check.

        The check would synchronise the device. `length` is below `frames * stride`; None means
        `(frames - 1) * stride`.
        """
        n_frames = spectrogram.shape[-1]
        window = self.torch_window.to(spectrogram.real.dtype).unsqueeze(-1)
        frames = window * torch.fft.irfft(spectrogram, self.n_filters, dim=-2)
        squares = window.square().expand(1, -1, n_frames)
        start = self.n_filters // 2
        stop = start + ((n_frames - 1) * self.stride if length is None else length)
        # The cut comes before the division because the windows are 0 at the ends.
        waveform, weight = (
            functional.fold(
                columns,
                output_size=(1, self.n_filters + self.stride * (n_frames - 1)),
                kernel_size=(1, self.n_filters),
                stride=(1, self.stride),
            )[:, 0, 0, start:stop]
            for columns in (frames, squares)
        )
        return waveform / weight

    def get_config(self) -> dict:
        """Return the name of the filterbank and its arguments."""
        config = super().get_config()
        config.update(window=self.window_name, center=self.center, pad_mode=self.pad_mode)
        return config


class Encoder(asteroid_filterbanks.Encoder):
    """Waveform -> spectrogram by FFT, with the shapes of the encoder of `asteroid_filterbanks`.

    Real and imaginary parts are stacked over frequency, as everywhere in `asteroid_filterbanks`,
    whose arguments it takes, with an `FFTSTFTFB`. `is_pinv` and `padding` use its convolution.

    Shape:
        (time,) -> (2 * bins, frames)
        (batch, time) -> (batch, 2 * bins, frames)
        (batch, 1, time) -> (batch, 2 * bins, frames), with as_conv1d
        (batch, channels, time) -> (batch, channels, 2 * bins, frames)
        (batch, ..., time) -> (batch, ..., 2 * bins, frames)
    """

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Transform `waveform`; the result of half precision is float32."""
        if self.is_pinv or self.padding:
            return super().forward(waveform)
        if self.as_conv1d and waveform.ndim == 3 and waveform.shape[1] == 1:
            waveform = waveform.squeeze(1)
        spectrogram = self.filterbank.stft(waveform)
        return torch.cat([spectrogram.real, spectrogram.imag], dim=-2)


class Decoder(asteroid_filterbanks.Decoder):
    """Spectrogram -> waveform by FFT, with the shapes of the decoder of `asteroid_filterbanks`.

    It takes the arguments of `asteroid_filterbanks`, with an `FFTSTFTFB`. `is_pinv`, `padding` and
    `output_padding` use its convolution.

    Shape:
        (2 * bins, frames) -> (time,)
        (batch, 2 * bins, frames) -> (batch, 1, time)
        (batch, channels, ..., 2 * bins, frames) -> (batch, channels, ..., time)
    """

    def forward(self, spec: torch.Tensor, length: int | None = None) -> torch.Tensor:
        """Transform `spec` to `length` samples (None: as many as the frames hold)."""
        if self.is_pinv or self.padding or self.output_padding:
            return super().forward(spec, length)
        spec = spec.to(torch.promote_types(spec.dtype, torch.float32))
        real, imag = spec.chunk(2, dim=-2)
        waveform = self.filterbank.istft(torch.complex(real, imag), length)
        return waveform.unsqueeze(1) if spec.ndim == 3 else waveform
