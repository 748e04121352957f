"""Picture of a separation: waveforms and spectrograms of the mixture and its stems."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from ..errors import UserError

LOWEST_HERTZ = 30.0
RANGE_DB = 80.0  # below the loudest bin of the mixture, where the colours end
COLUMNS = 1200  # of a waveform: more than a picture has pixels for
WINDOW = 4096  # samples of a frame of the spectrogram


def draw_separation(
    path: str | Path,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray],
    sample_rate: float,
    captions: Mapping[str, str] | None = None,
) -> Path:
    """Draw the waveforms and spectrograms of a mixture and its stems.

    Waveforms share a scale and spectrograms a range of colours, so that levels can be compared.
    Spectrograms are averages over the channels, on a logarithmic frequency axis.

    Args:
        path: path of the picture; its suffix (.png, .svg, .pdf) is the format.
        mixture: (channels, time).
        stems: source -> (channels, time).
        sample_rate: in hertz.
        captions: source (or "mixture") -> text beside its name, such as its uSDR.

    Returns:
        The path.

    Raises:
        UserError: if matplotlib is missing, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError('pictures need matplotlib: pip install "asteroid-bsrnn[report]"') from error
    rows = {"mixture": np.asarray(mixture), **{name: np.asarray(x) for name, x in stems.items()}}
    hop = max(WINDOW // 4, mixture.shape[-1] // COLUMNS)
    spectra = {name: spectrogram(signal, sample_rate, hop)[0] for name, signal in rows.items()}
    loudest = spectra["mixture"].max()
    peak = max(float(np.abs(signal).max()) for signal in rows.values()) or 1.0

    figure = Figure(figsize=(13, 2.1 * len(rows)), dpi=120, layout="constrained")
    axes = figure.subplots(len(rows), 2, sharex=True, squeeze=False, width_ratios=(2, 3))
    for (wave_axes, spectrum_axes), (name, signal) in zip(axes, rows.items(), strict=True):
        _draw_waveform(wave_axes, signal, sample_rate, peak)
        caption = (captions or {}).get(name)
        wave_axes.set_title(f"{name}   {caption}" if caption else name, loc="left", fontsize=10)
        image = _draw_spectrum(
            spectrum_axes, spectra[name] - loudest, signal.shape[-1] / sample_rate, sample_rate
        )
    for last in axes[-1]:
        last.set_xlabel("time in s")
    figure.colorbar(image, ax=axes[:, 1], label="dB below the mixture's peak", aspect=60, pad=0.01)
    path = Path(path)
    try:
        figure.savefig(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: the picture cannot be written ({error})") from error
    return path


def spectrogram(signal: np.ndarray, sample_rate: float, hop: int) -> tuple[np.ndarray, int]:
    """Return the power of (channels, time) in dB, (bins, frames), averaged over the channels.

    The second result is the number of frames centred before the first sample; `hop` is in samples.
    """
    transform = ShortTimeFFT(hann(WINDOW, sym=False), hop, sample_rate)
    if signal.shape[-1] < WINDOW:
        signal = np.pad(signal, ((0, 0), (0, WINDOW - signal.shape[-1])))
    power = sum(transform.spectrogram(channel.astype(np.float64)) for channel in signal)
    return 10 * np.log10(power / len(signal) + 1e-12), -transform.p_min


def _draw_waveform(axes, signal: np.ndarray, sample_rate: float, peak: float) -> None:
    """Draw the highest and lowest sample of each column of pixels."""
    step = max(signal.shape[-1] // COLUMNS, 1)
    starts = np.arange(0, signal.shape[-1], step)
    high = np.maximum.reduceat(signal.max(axis=0), starts)
    low = np.minimum.reduceat(signal.min(axis=0), starts)
    axes.fill_between(starts / sample_rate, low, high, linewidth=0.3, color="#3b6fb6")
    axes.set_ylim(-1.05 * peak, 1.05 * peak)
    axes.margins(x=0)
    axes.grid(alpha=0.3)


def _draw_spectrum(axes, decibels: np.ndarray, seconds: float, sample_rate: float):
    """Draw the spectrogram, and return the image for the colour bar."""
    image = axes.pcolormesh(
        np.linspace(0, seconds, decibels.shape[1]),
        np.linspace(0, sample_rate / 2, decibels.shape[0]),
        decibels,
        vmin=-RANGE_DB,
        vmax=0,
        cmap="magma",
        shading="nearest",
        # As vectors, a quarter of a million rectangles would make huge files.
        rasterized=True,
    )
    axes.set_yscale("log")
    axes.set_ylim(LOWEST_HERTZ, sample_rate / 2)
    axes.set_ylabel("Hz")
    return image
