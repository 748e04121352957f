"""Separate a WAV file with an exported masker: numpy, soundfile and onnxruntime, without PyTorch.

    asteroid-bsrnn export small -o small.onnx
    python examples/separate_onnx.py small.onnx song.wav stems

The file is read, separated and written in chunks of 11 s with a cross-fade of 1 s, as `Separator`
does by default.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile

SEGMENT, FADE = 10.0, 1.0  # seconds


def hann(n_fft: int) -> np.ndarray:
    """Return the periodic Hann window."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)


def stft(waveform: np.ndarray, n_fft: int, hop: int) -> np.ndarray:
    """Return the complex spectrogram (..., frames, bins) of a waveform (..., time)."""
    pad = [(0, 0)] * (waveform.ndim - 1) + [(n_fft // 2, n_fft // 2)]
    padded = np.pad(waveform, pad, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[..., ::hop, :]
    return np.fft.rfft(frames * hann(n_fft)).astype(np.complex64)


def istft(spectrogram: np.ndarray, n_fft: int, hop: int, length: int) -> np.ndarray:
    """Return the waveform (..., time) of a complex spectrogram (..., frames, bins)."""
    n_frames = spectrogram.shape[-2]
    window = hann(n_fft)
    frames = np.fft.irfft(spectrogram, n_fft) * window
    total = np.zeros((*spectrogram.shape[:-2], n_fft + hop * (n_frames - 1)))
    weight = np.zeros(total.shape[-1])
    for index in range(n_frames):
        place = slice(index * hop, index * hop + n_fft)
        total[..., place] += frames[..., index, :]
        weight[place] += window**2
    inside = slice(n_fft // 2, n_fft // 2 + length)
    return (total[..., inside] / weight[inside]).astype(np.float32)


class Masker:
    """An exported masker with the transforms around it.

    Args:
        path: the ONNX file.
    """

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        stored = self.session.get_modelmeta().custom_metadata_map
        self.facts = {name: json.loads(value) for name, value in stored.items()}

    def __call__(self, mixture: np.ndarray) -> np.ndarray:
        """Separate a mixture (channels, time) and return (sources, channels, time)."""
        n_fft, hop = self.facts["n_fft"], self.facts["hop"]
        n_channels, length = mixture.shape
        if n_channels == 1 and self.facts["channels"] == 2:
            mixture = np.repeat(mixture, 2, axis=0)
        missing = max(n_fft // 2 + 1 - length, 0)
        spectrogram = stft(np.pad(mixture, ((0, 0), (0, missing))), n_fft, hop)
        pairs = np.stack([spectrogram.real, spectrogram.imag], axis=-1)  # (channels, T, F, 2)
        (estimates,) = self.session.run(None, {"mixture": pairs[None]})
        spectrograms = estimates[0, ..., 0] + 1j * estimates[0, ..., 1]
        stems = istft(spectrograms, n_fft, hop, length + missing)[..., :length]
        return stems.mean(axis=1, keepdims=True) if n_channels < stems.shape[1] else stems


def chunks(length: int, rate: int):
    """Yield start and stop of every chunk, in samples."""
    period, fade = int((SEGMENT + FADE) * rate), int(FADE * rate)
    start = 0
    while start < length:
        stop = start + period + (fade if start else 0)
        yield start, min(stop, length)
        if stop >= length:
            return
        start = stop - fade


def separate(masker: Masker, song: Path, folder: Path) -> list[Path]:
    """Write `<folder>/<source>.wav` for every source, as 32-bit float."""
    info = soundfile.info(song)
    rate, sources = masker.facts["sample_rate"], masker.facts["sources"]
    if info.samplerate != rate:
        raise SystemExit(f"{song}: resample it to {rate} Hz first, it has {info.samplerate} Hz")
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{source}.wav" for source in sources]
    options = {"samplerate": rate, "channels": info.channels, "subtype": "FLOAT"}
    files = [soundfile.SoundFile(path, "w", **options) for path in paths]
    fade = int(FADE * rate)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    tail = None
    with soundfile.SoundFile(song) as file:
        for start, stop in chunks(info.frames, rate):
            file.seek(start)
            stems = masker(file.read(stop - start, dtype="float32", always_2d=True).T)
            if tail is not None:
                overlap = tail.shape[-1]
                stems[..., :overlap] = stems[..., :overlap] * ramp + tail
            last = stop == info.frames
            tail = None if last else stems[..., -fade:] * ramp[::-1]
            for target, stem in zip(files, stems if last else stems[..., :-fade], strict=True):
                target.write(stem.T)
    for target in files:
        target.close()
    return paths


def main() -> None:
    """Separate one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an exported masker, .onnx")
    parser.add_argument("song", type=Path, help="a WAV file, or what else soundfile reads")
    parser.add_argument("folder", type=Path, help="of the stems")
    options = parser.parse_args()
    for path in separate(Masker(options.model), options.song, options.folder):
        print(path)


if __name__ == "__main__":
    main()
