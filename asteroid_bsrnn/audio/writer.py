"""Writing audio block by block, and what each format can hold.

libsndfile writes all formats but AAC, which FFmpeg's libraries encode through PyAV.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ..errors import UserError
from ..options import SUBTYPES
from .reader import sound_name

if TYPE_CHECKING:
    from .pyav import AacFile

LOSSY = ("mp3", "ogg", "opus", "m4a")
"""Formats that have a bit rate instead of a sample type."""

_MAX_CHANNELS = {"wav": 1024, "flac": 8, **dict.fromkeys(LOSSY, 2)}
_MP3_SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_SAMPLE_RATES = (48000, 24000, 16000, 12000, 8000)
_ONLY = {
    "mp3": _MP3_SAMPLE_RATES,
    "m4a": (*_MP3_SAMPLE_RATES, 64000, 88200, 96000),
    "opus": _OPUS_SAMPLE_RATES,
}
_CONTAINERS = {"opus": "OGG", "m4a": "MP4"}
_BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}

# libsndfile's mp3 files of lower bit rates have no room for the length of the music.
_MP3_BIT_RATES = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
# Nominal bit rates of Vorbis in kbit/s, of 44.1 kHz stereo, by quality from 0 to 10.
_VORBIS_NOMINAL = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500)
_VORBIS_QUALITY = 8
# Bits per second of a channel.
_OPUS_RANGE, _OPUS_DEFAULT = (16000, 256000), 96000
_AAC_LOWEST, _AAC_DEFAULT = 16000, 128000

# Sizes in a WAV header are 32-bit numbers of bytes. The margin is for the other chunks.
_WAV_LIMIT = 2**32 - 2**16
_LONGEST_WRITE = 2**16


# --- what a format can hold ----------------------------------------------------------------------


def check_output(
    format: str, subtype: str | None, sample_rate: int, channels: int, bitrate: int | None = None
) -> str:
    """Check the properties of a file before any work is done; return its subtype for `AudioWriter`.

    Args:
        format: one of `SUBTYPES`.
        subtype: `"PCM_16"`, `"PCM_24"` or (wav only) `"FLOAT"`; None means the format's default.
            Lossy formats have no subtypes.
        sample_rate: in hertz.
        channels: number of channels.
        bitrate: of a lossy format, in bits per second; None means its default.

    Raises:
        UserError: the format does not allow this; the message names the valid values.
    """
    if format not in SUBTYPES:
        raise UserError(f"no output format {format!r}; choose from {', '.join(SUBTYPES)}")
    subtypes = SUBTYPES[format]
    if subtype is not None and subtype not in subtypes:
        advice = "leave it out" if format in LOSSY else f"choose from {', '.join(subtypes)}"
        raise UserError(f"{format} files have no subtype {subtype!r}; {advice}")
    if not 1 <= channels <= _MAX_CHANNELS[format]:
        advice = "" if format == "wav" else "; choose wav for more"
        raise UserError(
            f"{format} files hold 1 to {_MAX_CHANNELS[format]} channels, not {channels}{advice}"
        )
    _check_sample_rate(format, sample_rate)
    if bitrate is not None:
        _check_bitrate(format, bitrate, sample_rate, channels)
    return subtypes[0] if subtype is None else subtype


def _check_sample_rate(format: str, sample_rate: int) -> None:
    valid = None
    if format in _ONLY and sample_rate not in _ONLY[format]:
        valid = f"only {', '.join(map(str, sorted(_ONLY[format])))}"
    elif format == "ogg" and not 8000 <= sample_rate <= 192000:
        valid = "8000 to 192000"
    elif format == "flac" and not (
        1 <= sample_rate <= 65535 or (sample_rate <= 655350 and sample_rate % 10 == 0)
    ):
        valid = "1 to 65535, or multiples of 10 up to 655350"
    if valid:
        raise UserError(
            f"{format} files cannot have a sample rate of {sample_rate} Hz ({valid}); choose wav"
        )
    if not 1 <= sample_rate < 2**31:
        raise UserError(f"a sample rate of {sample_rate} Hz cannot be written; give 1 Hz or more")


def _check_bitrate(format: str, bitrate: int, sample_rate: int, channels: int) -> None:
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
    low, high = _bitrate_range(format, sample_rate, channels)
    if not low <= bitrate <= high:
        raise UserError(
            f"{format} files of {sample_rate} Hz and {channels} channel(s) cannot have a bit rate "
            f"of {_kilo(bitrate)}; choose {_kilo(low)} to {_kilo(high)}"
        )


def _mp3_bitrates(sample_rate: int) -> list[int]:
    highest = 320 if sample_rate >= 32000 else 160 if sample_rate >= 16000 else 64
    return [kilo for kilo in _MP3_BIT_RATES if kilo <= highest]


def _bitrate_range(format: str, sample_rate: int, channels: int) -> tuple[int, int]:
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


def default_subtype(format: str, source_subtype: str) -> str | None:
    """Return the subtype that keeps the depth of an input (`AudioFile.subtype`); None if lossy."""
    if format in LOSSY:
        return None
    if source_subtype in ("FLOAT", "DOUBLE"):
        return "FLOAT" if format == "wav" else "PCM_24"
    deep = ("PCM_24", "PCM_32", "ALAC_20", "ALAC_24", "ALAC_32")
    return "PCM_24" if source_subtype in deep else "PCM_16"


def output_rate(format: str, sample_rate: int) -> int:
    """Return the sample rate of a file for a recording: 48 kHz where Opus lacks its own."""
    if format == "opus" and sample_rate not in _OPUS_SAMPLE_RATES:
        return max(_OPUS_SAMPLE_RATES)
    return sample_rate


# --- writing -------------------------------------------------------------------------------------


class AudioWriter:
    """A context manager that writes one file block by block.

    Integer subtypes are rounded to the nearest step and clipped at full scale, so that wav and flac
    hold the same samples. An mp3 has a constant bit rate. A wav beyond 4 GiB becomes an RF64, which
    most programs read under the same suffix.

    Args:
        path: the file; an existing one is overwritten.
        frames: number of samples per channel to come, if known. With it, a wav beyond 4 GiB is
            written as RF64 from the start, rather than copied to one later.

        The other arguments are those of `check_output`.

    Raises:
        UserError: the file cannot be written: unknown format, missing rights or no space left.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        sample_rate: int,
        channels: int,
        format: str,
        subtype: str | None,
        frames: int | None = None,
        bitrate: int | None = None,
    ):
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self.subtype = check_output(format, subtype, sample_rate, channels, bitrate)
        self.frames = 0
        self._format, self._bitrate = format, bitrate
        self._container = _CONTAINERS.get(format, format.upper())
        if self._exceeds_wav(frames or 0):
            self._container = "RF64"
        self._sound: soundfile.SoundFile | AacFile | None = None

    def __enter__(self) -> AudioWriter:
        try:
            self._sound = self._open()
        except (soundfile.LibsndfileError, OSError) as error:
            raise self._failure(error) from None
        return self

    def write(self, block: np.ndarray) -> None:
        """Append samples.

        Args:
            block: array `(C, L)`; full scale is +-1.

        Raises:
            UserError: the samples cannot be written, for example because the disk is full.
            ValueError: the shape is wrong, or samples are NaN or infinite.
        """
        block = np.asarray(block)
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"expected ({self.channels}, samples), got {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError(f"NaN or infinite samples for {self.path}")
        try:
            if self._exceeds_wav(self.frames + block.shape[1]):
                self._continue_as_rf64()
            samples = self._to_samples(block)
            # libsndfile's Vorbis encoder keeps a whole block on the stack.
            for start in range(0, len(samples), _LONGEST_WRITE):
                self._sound.write(samples[start : start + _LONGEST_WRITE])
        # soundfile raises AssertionError if a write ends early.
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            raise self._failure(error) from None
        self.frames += block.shape[1]

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        try:
            self._sound.close()
            # Encoders write their last samples when closed, and libsndfile reports no errors there.
            if kind is None and self.frames > 0 and self._is_cut():
                raise OSError("the file was not written to its end")
        except (soundfile.LibsndfileError, OSError) as error:
            if kind is None:
                raise self._failure(error) from None

    def _is_cut(self) -> bool:
        if self._format == "m4a":  # its file object reports what cannot be written
            return False
        return soundfile.info(sound_name(self.path)).frames != self.frames

    def _open(self) -> soundfile.SoundFile | AacFile:
        if self._format == "m4a":
            from .pyav import AacFile  # importing av takes time

            highest = _bitrate_range("m4a", self.sample_rate, self.channels)[1]
            bitrate = self._bitrate or min(_AAC_DEFAULT * self.channels, highest)
            return AacFile(self.path, self.sample_rate, self.channels, bitrate)
        quality: dict = {}
        if self._format in LOSSY:
            # libsndfile's default for mp3 is about 140 kbit/s, too low for stems that are mixed.
            quality["compression_level"] = _compression_level(
                self._format, self._bitrate, self.sample_rate, self.channels
            )
        if self._format == "mp3":
            quality["bitrate_mode"] = "CONSTANT"
        return soundfile.SoundFile(
            sound_name(self.path),
            "w",
            self.sample_rate,
            self.channels,
            self.subtype,
            format=self._container,
            **quality,
        )

    def _to_samples(self, block: np.ndarray) -> np.ndarray:
        if self.subtype not in ("PCM_16", "PCM_24"):
            return np.ascontiguousarray(block.T, dtype=np.float32)
        # libsndfile rounds to the nearest step for flac but down for wav.
        bits = _BITS[self.subtype]
        full_scale = 2 ** (bits - 1)
        steps = np.clip(np.rint(block.T * full_scale), -full_scale, full_scale - 1)
        return np.ascontiguousarray(steps.astype(np.int32) << (32 - bits))

    def _exceeds_wav(self, frames: int) -> bool:
        if self._container != "WAV":
            return False
        return frames * self.channels * _BITS[self.subtype] // 8 > _WAV_LIMIT

    def _continue_as_rf64(self) -> None:
        self._sound.close()
        part = self.path.with_name(f"{self.path.name}.part")
        os.replace(self.path, part)
        try:
            self._container = "RF64"
            self._sound = self._open()
            with soundfile.SoundFile(sound_name(part)) as written:
                dtype = "float32" if self.subtype == "FLOAT" else "int32"
                for samples in written.blocks(65536, dtype=dtype):
                    self._sound.write(samples)
        finally:
            part.unlink()

    def _failure(self, error: Exception) -> UserError:
        # libsndfile only reports "System error."; a plain write to the broken file fails for the
        # same reason and names it.
        cause = str(error)
        try:
            with open(self.path, "ab") as file:
                file.write(bytes(65536))
        except OSError as plain_error:
            cause = plain_error.strerror
        return UserError(
            f"{self.path}: cannot be written ({cause}); free space there or choose another folder"
        )


def _compression_level(format: str, bitrate: int | None, sample_rate: int, channels: int) -> float:
    """Return libsndfile's compression level, from 0 to 1, for a bit rate (None: the default).

    Vorbis gets the quality whose nominal bit rate this is.
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
