"""Lossy formats: their bit rates and sample rates, and an encoder of AAC.

libsndfile encodes mp3, Vorbis and Opus. FFmpeg's libraries encode AAC through PyAV.
"""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np

from ..errors import UserError

LOSSY = ("mp3", "ogg", "opus", "m4a")
"""Formats that have a bit rate instead of a sample type."""

OPUS_SAMPLE_RATES = (48000, 24000, 16000, 12000, 8000)

# libsndfile's mp3 files of lower bit rates have no room for the length of the music.
_MP3_BIT_RATES = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
# Nominal bit rates of Vorbis in kbit/s, of 44.1 kHz stereo, by quality from 0 to 10.
_VORBIS_NOMINAL = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
_VORBIS_QUALITY = 8
# Bits per second of a channel.
_OPUS_RANGE, _OPUS_DEFAULT = (16000, 256000), 96000
_AAC_LOWEST, _AAC_DEFAULT = 16000, 128000


def check_bitrate(format: str, bitrate: int | None, sample_rate: int, channels: int) -> None:
    """Refuse a bit rate that a format does not have.

    Args:
        format: of the file.
        bitrate: in bits per second, of all channels together; None means the format's default.
        sample_rate: in hertz.
        channels: number of channels.

    Raises:
        UserError: the message names the valid values.
    """
    if bitrate is None:
        return
    if format not in LOSSY:
        raise UserError(f"{format} files have no bit rate; leave it out, or choose mp3 or ogg")
    if format == "mp3":
        valid = _mp3_bitrates(sample_rate)
        if bitrate not in [1000 * kilo for kilo in valid]:
            raise UserError(
                f"mp3 files of {sample_rate} Hz cannot have a bit rate of {_kilo(bitrate)}; choose "
                f"from {', '.join(f'{kilo}k' for kilo in valid)}"
            )
        return
    low, high = _range(format, sample_rate, channels)
    if not low <= bitrate <= high:
        raise UserError(
            f"{format} files of {sample_rate} Hz and {channels} channel(s) cannot have a bit rate "
            f"of {_kilo(bitrate)}; choose {_kilo(low)} to {_kilo(high)}"
        )


def compression_level(format: str, bitrate: int | None, sample_rate: int, channels: int) -> float:
    """Return libsndfile's compression level, from 0 to 1, for a bit rate.

    Arguments as for `check_bitrate`. Vorbis has the quality whose nominal bit rate this is.
    """
    if format == "mp3":
        valid = _mp3_bitrates(sample_rate)
        lowest = 32 if sample_rate >= 32000 else 8
        return 0.0 if bitrate is None else (valid[-1] - bitrate / 1000) / (valid[-1] - lowest)
    if format == "opus":
        per_channel = _OPUS_DEFAULT if bitrate is None else bitrate / channels
        return 1 - (per_channel - 6000) / (256000 - 6000)
    if bitrate is None:
        return 1 - _VORBIS_QUALITY / 10
    kilo = bitrate / 1000 * 2 / channels * 44100 / sample_rate
    return 1 - float(np.interp(kilo, _VORBIS_NOMINAL, range(11))) / 10


def opus_sample_rate(sample_rate: int) -> int:
    """Return the sample rate of an Opus file for a recording: its own if Opus has it, or 48 kHz."""
    return sample_rate if sample_rate in OPUS_SAMPLE_RATES else max(OPUS_SAMPLE_RATES)


class AacFile:
    """An m4a file that is written block by block.

    Args:
        path: the file; an existing one is overwritten.
        sample_rate: in hertz.
        channels: 1 or 2.
        bitrate: in bits per second; None means 128 kbit/s for each channel.

    Raises:
        OSError: the file cannot be written.
        av.FFmpegError: the encoder refuses the properties.
    """

    def __init__(
        self, path: str | os.PathLike, sample_rate: int, channels: int, bitrate: int | None
    ):
        import av

        self._rate, self._layout = sample_rate, "mono" if channels == 1 else "stereo"
        self._frames = 0
        # A file object reports a full disk, which FFmpeg's own output does not always do.
        self._file = open(Path(path), "wb")  # noqa: SIM115
        # In the default unit of milliseconds, the length would not be exact to the sample.
        options = {"movie_timescale": str(sample_rate), "brand": "M4A "}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._stream = self._container.add_stream("aac", rate=sample_rate, layout=self._layout)
        highest = _range("m4a", sample_rate, channels)[1]
        self._stream.bit_rate = bitrate or min(_AAC_DEFAULT * channels, highest)
        self._stream.codec_context.open()
        self._waiting = av.AudioFifo()

    def write(self, samples: np.ndarray) -> None:
        """Append samples, an array (L, C) of floats."""
        import av

        planes = np.ascontiguousarray(samples.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts = self._rate, self._frames
        frame.time_base = Fraction(1, self._rate)
        self._frames += planes.shape[1]
        self._waiting.write(frame)
        size = self._stream.codec_context.frame_size
        while self._waiting.samples >= size:
            self._container.mux(self._stream.encode(self._waiting.read(size)))

    def close(self) -> None:
        """Write what is left, and close the file."""
        try:
            if self._waiting.samples:
                self._container.mux(self._stream.encode(self._waiting.read(0, partial=True)))
            if self._frames:
                self._container.mux(self._stream.encode(None))
        finally:
            try:
                self._container.close()
            finally:
                self._file.close()


def _mp3_bitrates(sample_rate: int) -> list[int]:
    highest = 320 if sample_rate >= 32000 else 160 if sample_rate >= 16000 else 64
    return [kilo for kilo in _MP3_BIT_RATES if kilo <= highest]


def _range(format: str, sample_rate: int, channels: int) -> tuple[int, int]:
    """Return the lowest and the highest bit rate of a format other than mp3."""
    if format == "opus":
        return _OPUS_RANGE[0] * channels, _OPUS_RANGE[1] * channels
    if format == "m4a":  # AAC has at most 6144 bits in 1024 samples of a channel
        return _AAC_LOWEST * channels, 6 * sample_rate * channels
    nominal = (_VORBIS_NOMINAL[0], _VORBIS_NOMINAL[-1])
    low, high = (round(1000 * kilo * channels / 2 * sample_rate / 44100) for kilo in nominal)
    return low, high


def _kilo(bitrate: int) -> str:
    return f"{bitrate / 1000:g}k"
