"""Writing audio files block by block."""

import os
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from asteroid_bsrnn.audio.headers import sound_name
from asteroid_bsrnn.errors import UserError

_SUBTYPES = {
    "wav": ("PCM_16", "PCM_24", "FLOAT"),
    "flac": ("PCM_16", "PCM_24"),
    "mp3": ("MPEG_LAYER_III",),
}
_MAX_CHANNELS = {"wav": 1024, "flac": 8, "mp3": 2}
_MP3_SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}

# The sizes in a WAV header are 32-bit numbers of bytes; leaves room for the other chunks.
_WAV_LIMIT = 2**32 - 2**16


def check_output(format: str, subtype: str | None, sample_rate: int, channels: int) -> str:
    """Checks that such a file can be written, before any work is done for it.

    Args:
        format: `"wav"`, `"flac"` or `"mp3"`.
        subtype: `"PCM_16"`, `"PCM_24"` or (wav alone) `"FLOAT"`; None for the format's own. An
            mp3 has no choice of them.
        sample_rate: in hertz.
        channels: their number.

    Returns:
        The subtype to give to `AudioWriter`.

    Raises:
        UserError: there is no such file; the message says which choices work.
    """
    if format not in _SUBTYPES:
        raise UserError(f"no output format {format!r}; choose from {', '.join(_SUBTYPES)}")
    subtypes = _SUBTYPES[format]
    if subtype is not None and subtype not in subtypes:
        advice = "leave it out" if format == "mp3" else f"choose from {', '.join(subtypes)}"
        raise UserError(f"{format} files have no subtype {subtype!r}; {advice}")
    if not 1 <= channels <= _MAX_CHANNELS[format]:
        advice = "" if format == "wav" else "; choose wav for more"
        raise UserError(
            f"{format} files hold 1 to {_MAX_CHANNELS[format]} channels, not {channels}{advice}"
        )
    _check_sample_rate(format, sample_rate)
    return subtypes[0] if subtype is None else subtype


def _check_sample_rate(format: str, sample_rate: int) -> None:
    if format == "mp3" and sample_rate not in _MP3_SAMPLE_RATES:
        rates = ", ".join(map(str, _MP3_SAMPLE_RATES))
        raise UserError(
            f"mp3 files cannot have a sample rate of {sample_rate} Hz (only {rates}); choose wav"
        )
    if format == "flac" and not (
        1 <= sample_rate <= 65535 or (sample_rate <= 655350 and sample_rate % 10 == 0)
    ):
        raise UserError(
            f"flac files cannot have a sample rate of {sample_rate} Hz (1 to 65535, or multiples"
            " of 10 up to 655350); choose wav"
        )
    if not 1 <= sample_rate < 2**31:
        raise UserError(f"a sample rate of {sample_rate} Hz cannot be written; give 1 Hz or more")


def default_subtype(format: str, source_subtype: str) -> str | None:
    """The subtype that keeps an input's depth.

    Args:
        format: `"wav"`, `"flac"` or `"mp3"`.
        source_subtype: the input's, `AudioFile.subtype`.

    Returns:
        `"PCM_16"`, `"PCM_24"` or `"FLOAT"`; None for mp3, which has no depth.
    """
    if format == "mp3":
        return None
    if source_subtype in ("FLOAT", "DOUBLE"):
        return "FLOAT" if format == "wav" else "PCM_24"
    deep = ("PCM_24", "PCM_32", "ALAC_20", "ALAC_24", "ALAC_32")
    return "PCM_24" if source_subtype in deep else "PCM_16"


class AudioWriter:
    """Writes one file, block by block, as a context manager.

    Integer subtypes get the nearest step, and +-1 for what lies beyond; wav and flac so hold the
    same samples. An mp3 has a constant bit rate, the highest of its sample rate. A wav beyond
    4 GiB becomes an RF64, which most programs read under the same suffix.

    Args:
        path: the file; one that exists is overwritten.
        sample_rate: in hertz.
        channels: their number.
        format: `"wav"`, `"flac"` or `"mp3"`.
        subtype: as `check_output` returns it; None for the format's own.
        frames: number of samples to come, if known. Spares a wav beyond 4 GiB the copy with which
            it otherwise becomes an RF64 on the way.

    Raises:
        UserError: the file cannot be written: no such format, no rights, no space left.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        sample_rate: int,
        channels: int,
        format: str,
        subtype: str | None,
        frames: int | None = None,
    ):
        self.path = Path(path)
        self.sample_rate = sample_rate
        self.channels = channels
        self.subtype = check_output(format, subtype, sample_rate, channels)
        self.frames = 0
        self._container = format.upper()
        if self._exceeds_wav(frames or 0):
            self._container = "RF64"
        self._sound: soundfile.SoundFile | None = None

    def __enter__(self) -> "AudioWriter":
        try:
            self._sound = self._open()
        except (soundfile.LibsndfileError, OSError) as error:
            raise self._failure(error) from None
        return self

    def write(self, block: np.ndarray) -> None:
        """Appends samples.

        Args:
            block: array `(C, L)`, full scale being +-1.

        Raises:
            UserError: they cannot be written; the message has the cause, such as a full disk.
            ValueError: the shape is wrong, or some are NaN or infinite.
        """
        block = np.asarray(block)
        if block.ndim != 2 or block.shape[0] != self.channels:
            raise ValueError(f"expected ({self.channels}, samples), got {block.shape}")
        if not np.isfinite(block).all():
            raise ValueError(f"NaN or infinite samples for {self.path}")
        try:
            if self._exceeds_wav(self.frames + block.shape[1]):
                self._continue_as_rf64()
            self._sound.write(self._to_samples(block))
        # AssertionError: what soundfile makes of a write that ended in the middle.
        except (soundfile.LibsndfileError, OSError, AssertionError) as error:
            raise self._failure(error) from None
        self.frames += block.shape[1]

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._sound.close()
            # Encoders write their last samples on closing, where libsndfile reports no errors.
            finished = exception_type is None and self.frames > 0
            if finished and soundfile.info(sound_name(self.path)).frames != self.frames:
                raise OSError("the file was not written to its end")
        except (soundfile.LibsndfileError, OSError) as error:
            if exception_type is None:
                raise self._failure(error) from None

    def _open(self) -> soundfile.SoundFile:
        # libsndfile's own choice for mp3 is about 140 kbit/s, too little for stems to be mixed.
        quality = {"compression_level": 0.0, "bitrate_mode": "CONSTANT"}
        return soundfile.SoundFile(
            sound_name(self.path),
            "w",
            self.sample_rate,
            self.channels,
            self.subtype,
            format=self._container,
            **(quality if self._container == "MP3" else {}),
        )

    def _to_samples(self, block: np.ndarray) -> np.ndarray:
        if self.subtype not in ("PCM_16", "PCM_24"):
            return np.ascontiguousarray(block.T, dtype=np.float32)
        # libsndfile rounds to nearest for flac but always downwards for wav.
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
        # libsndfile says "System error." and no more; a plain write to the file, which is broken
        # anyway, meets the same hindrance and names it.
        cause = str(error)
        try:
            with open(self.path, "ab") as file:
                file.write(bytes(65536))
        except OSError as plain_error:
            cause = plain_error.strerror
        return UserError(
            f"{self.path}: cannot be written ({cause}); free space there or choose another folder"
        )
