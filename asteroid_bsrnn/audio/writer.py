"""Writing audio: files block by block, and folders that receive whole files or none."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile

from ..errors import UserError
from ..options import SUBTYPES
from .headers import sound_name
from .lossy import (
    LOSSY,
    OPUS_SAMPLE_RATES,
    AacFile,
    check_bitrate,
    compression_level,
)

_MAX_CHANNELS = {"wav": 1024, "flac": 8, **dict.fromkeys(LOSSY, 2)}
_MP3_SAMPLE_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_AAC_SAMPLE_RATES = (*_MP3_SAMPLE_RATES, 64000, 88200, 96000)
_ONLY = {"mp3": _MP3_SAMPLE_RATES, "m4a": _AAC_SAMPLE_RATES, "opus": OPUS_SAMPLE_RATES}
_CONTAINERS = {"opus": "OGG", "m4a": "MP4"}
_BITS = {"PCM_16": 16, "PCM_24": 24, "FLOAT": 32}

_LONGEST_WRITE = 2**16

# Sizes in a WAV header are 32-bit numbers of bytes. The margin is for the other chunks.
_WAV_LIMIT = 2**32 - 2**16


def check_output(
    format: str,
    subtype: str | None,
    sample_rate: int,
    channels: int,
    bitrate: int | None = None,
) -> str:
    """Check the properties of a file before any work is done for it.

    Args:
        format: one of `SUBTYPES`.
        subtype: `"PCM_16"`, `"PCM_24"` or (wav only) `"FLOAT"`; None means the format's default.
            Lossy formats have no subtypes.
        sample_rate: in hertz.
        channels: number of channels.
        bitrate: of a lossy format, in bits per second; None means its default.

    Returns:
        The subtype for `AudioWriter`.

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
    check_bitrate(format, bitrate, sample_rate, channels)
    return subtypes[0] if subtype is None else subtype


def _check_sample_rate(format: str, sample_rate: int) -> None:
    if format in _ONLY and sample_rate not in _ONLY[format]:
        rates = ", ".join(map(str, sorted(_ONLY[format])))
        raise UserError(
            f"{format} files cannot have a sample rate of {sample_rate} Hz (only {rates}); choose"
            " wav"
        )
    if format == "ogg" and not 8000 <= sample_rate <= 192000:
        raise UserError(
            f"ogg files cannot have a sample rate of {sample_rate} Hz (8000 to 192000); choose wav"
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
    """Return the subtype that keeps the depth of an input.

    Args:
        format: one of `SUBTYPES`.
        source_subtype: `AudioFile.subtype` of the input.

    Returns:
        `"PCM_16"`, `"PCM_24"` or `"FLOAT"`; None for lossy formats, which have no depth.
    """
    if format in LOSSY:
        return None
    if source_subtype in ("FLOAT", "DOUBLE"):
        return "FLOAT" if format == "wav" else "PCM_24"
    deep = ("PCM_24", "PCM_32", "ALAC_20", "ALAC_24", "ALAC_32")
    return "PCM_24" if source_subtype in deep else "PCM_16"


class AudioWriter:
    """A context manager that writes one file block by block.

    Integer subtypes are rounded to the nearest step and clipped at full scale, so that wav and flac
    hold the same samples. An mp3 has a constant bit rate. A wav beyond 4 GiB becomes an RF64, which
    most programs read under the same suffix.

    Args:
        path: the file; an existing one is overwritten.
        sample_rate: in hertz.
        channels: number of channels.
        format: one of `SUBTYPES`.
        subtype: as returned by `check_output`; None means the format's default.
        frames: number of samples per channel to come, if known. With it, a wav beyond 4 GiB is
            written as RF64 from the start, rather than copied to one later.
        bitrate: of a lossy format, in bits per second; None means its default.

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

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self._sound.close()
            # Encoders write their last samples when closed, and libsndfile reports no errors there.
            finished = exception_type is None and self.frames > 0
            if finished and self._is_cut():
                raise OSError("the file was not written to its end")
        except (soundfile.LibsndfileError, OSError) as error:
            if exception_type is None:
                raise self._failure(error) from None

    def _is_cut(self) -> bool:
        if self._format == "m4a":  # its file object reports what cannot be written
            return False
        return soundfile.info(sound_name(self.path)).frames != self.frames

    def _open(self) -> soundfile.SoundFile | AacFile:
        properties = (self._bitrate, self.sample_rate, self.channels)
        if self._format == "m4a":
            return AacFile(self.path, self.sample_rate, self.channels, self._bitrate)
        quality: dict = {}
        if self._format in LOSSY:
            # libsndfile's default for mp3 is about 140 kbit/s, too low for stems that are mixed.
            quality["compression_level"] = compression_level(self._format, *properties)
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


class OutputDirectory:
    """A context manager for an output folder in which no incomplete file is visible.

    Files are written to the hidden folder `temporary` and then moved by `commit`. On exit, also
    after an error, `temporary` and its contents are deleted, and so are the folders created here
    that are still empty. On entry, what killed processes left in the folder is deleted.

    Args:
        directory: the folder; it is created on entry, with its parents, if it does not exist.

    Attributes:
        directory: the folder.
        temporary: a new folder in it, which exists from entry to exit.

    Raises:
        UserError: the folder cannot be created or written to.
    """

    def __init__(self, directory: str | os.PathLike):
        self.directory = Path(directory)
        self.temporary: Path
        self._created: list[Path] = []
        self._lock = -1

    def __enter__(self) -> OutputDirectory:
        try:
            self._make(self.directory)
            self._remove_left_behind()
            # The folder gets the name that others look for only when it is locked.
            unlocked = Path(tempfile.mkdtemp(prefix=".unlocked-", dir=self.directory))
            self._lock = os.open(unlocked, os.O_RDONLY)
            with contextlib.suppress(OSError):  # some network drives have no locks
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.temporary = unlocked.rename(
                unlocked.with_name(unlocked.name.replace("unlocked", "incomplete", 1))
            )
        except OSError as error:
            self._remove_empty()
            raise UserError(
                f"{self.directory}: files cannot be written there ({error.strerror}); choose"
                " another output folder"
            ) from None
        return self

    def commit(self, files: Mapping[str | os.PathLike, str | os.PathLike]) -> None:
        """Move finished files to their final paths and replace existing files.

        Args:
            files: maps the path of each file in `temporary` to its final path, on the same file
                system. Missing folders are created.

        Raises:
            UserError: a file cannot be moved; the message names its final path.
        """
        for final in map(Path, files.values()):
            if final.is_dir():
                raise UserError(f"{final}: a folder is in the file's place; move it away")
        for temporary, final in files.items():
            try:
                self._make(Path(final).parent)
                os.replace(temporary, final)
            except OSError as error:
                raise UserError(
                    f"{final}: cannot be written ({error.strerror}); choose another output folder"
                ) from None

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)
        os.close(self._lock)
        self._remove_empty()

    def _remove_left_behind(self) -> None:
        """Delete temporary folders that no process holds a lock on."""
        for folder in self.directory.glob(".incomplete-*"):
            # Locked by a process that is writing, removed meanwhile, or on a drive without locks.
            with contextlib.suppress(OSError):
                lock = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder)
                finally:
                    os.close(lock)

    def _make(self, directory: Path) -> None:
        missing = []
        while not directory.exists():
            missing.append(directory)
            directory = directory.parent
        for folder in reversed(missing):
            with contextlib.suppress(FileExistsError):  # another process was faster
                folder.mkdir()
                self._created.append(folder)

    def _remove_empty(self) -> None:
        for folder in reversed(self._created):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        self._created.clear()
