"""Reading audio: finding the files, and decoding them as a stream of checked blocks."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from ..errors import UserError
from ..files import is_url, list_files
from .headers import is_cut_short, mp3_tells_length, read_data_chunk, sound_name

if TYPE_CHECKING:
    from .pyav import PyAVDecoder

# Suffixes of the files that a folder is searched for. A file named by the user may have any suffix.
# fmt: off
READABLE_SUFFIXES = frozenset({
    # sound, by libsndfile
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif",
    ".aiff", ".aifc", ".au", ".snd", ".caf",
    # sound, through ffmpeg
    ".m4a", ".m4b", ".aac", ".wma", ".ape", ".wv", ".tta", ".mpc", ".mp2", ".ac3", ".eac3",
    ".dts", ".amr", ".spx", ".mka",
    # video, for its sound
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".wmv", ".asf", ".mpg", ".mpeg", ".m2ts",
    ".flv", ".ogv", ".3gp",
})
# fmt: on

# Seeking in Vorbis is off by up to a page near the end of the file, and seeking in MP3 can lose
# what a frame borrows from earlier ones. These formats are decoded from their beginning.
_DECODED_FROM_START = ("MP3", "OGG")

# Formats and subtypes that libsndfile misreads: the floats of some W64 files as integers, and the
# headers of the second and later blocks of a VOC file as samples.
_MISREAD = (("W64", "PCM_32"), ("VOC", "PCM_16"), ("VOC", "PCM_U8"))

# Number of samples that libsndfile reports for a stream of unknown length.
_UNKNOWN_FRAMES = 2**63 - 1


def find_inputs(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Return the files to read.

    Args:
        paths: files and folders, or one of them. Files may have any suffix. Folders and all
            folders below them are searched for audio and video files. Hidden files are left out.
            Links to folders are followed, each folder once.

    Returns:
        The files in the order given, those of a folder sorted, none of them twice.

    Raises:
        UserError: a path does not exist or is a URL, or a folder holds no audio.
    """
    if isinstance(paths, (str, os.PathLike)):
        paths = [paths]
    files: dict[str, Path] = {}
    for path in paths:
        if os.path.isdir(path):
            found = list_files(path, READABLE_SUFFIXES, recursive=True)
            if not found:
                raise UserError(f"{path}: the folder holds no audio files; name one that does")
        else:
            _refuse_url(path)
            try:
                os.stat(path)
            except OSError as error:
                raise UserError(f"{path}: {error.strerror}; check the name of the file") from None
            found = [Path(path)]
        for file in found:
            files.setdefault(os.path.realpath(file), file)
    return list(files.values())


def _refuse_url(path: str | os.PathLike) -> None:
    if is_url(path):  # Path() would turn "https://" into "https:/"
        raise UserError(
            f"{os.fspath(path)}: a URL, not a file; download it and give the path of the file"
        )


class AudioFile:
    """An audio file, or a part of one, that can be read repeatedly.

    libsndfile reads what it reads exactly (most wav, flac, ogg, mp3, aiff and more). FFmpeg's
    libraries read the rest through PyAV (m4a, mp4, webm and more). Samples have the sample rate of
    the file. Decoding is exact to the sample: a part always has the same samples.

    If the audio of a video starts later than the picture, silence of that length comes first, so
    that the samples are aligned with the picture.

    Args:
        path: the file.
        start: start of the part, in seconds from the beginning of the file.
        duration: length of the part in seconds; None means to the end of the file. A part that
            reaches beyond the end of the file is shortened.
        audio_track: number of the audio track in files with several, from 1. None means the one
            that the file flags as default, or the first if it flags none.

    Attributes:
        path: the file.
        sample_rate: in hertz.
        channels: number of channels.
        frames: number of samples per channel in the part; None if only decoding can tell.
        subtype: sample type of the file in soundfile's terms, such as `PCM_24` or `VORBIS`.

    Raises:
        UserError: the file cannot be read, is not audio, holds no samples or fewer than its header
            says, or has no such track; or the part is empty.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        start: float = 0.0,
        duration: float | None = None,
        audio_track: int | None = None,
    ):
        _refuse_url(path)
        self.path = Path(path)
        if not (math.isfinite(start) and start >= 0):
            raise UserError(f"{self.path}: the start must be 0 s or more, got {start}")
        if duration is not None and not (math.isfinite(duration) and duration > 0):
            raise UserError(f"{self.path}: the duration must be above 0 s, got {duration}")
        _check_regular_file(self.path)
        decoder = self._decoder = _open_decoder(self.path, audio_track)
        self.sample_rate, self.channels = decoder.sample_rate, decoder.channels
        self.subtype = decoder.subtype
        self._start = round(start * self.sample_rate)
        self._limit = None if duration is None else max(1, round(duration * self.sample_rate))
        self.frames = None
        if decoder.frames is not None:
            self.frames = decoder.frames - self._start
            if self.frames <= 0:
                raise self._nothing_to_read(decoder.frames)
            self.frames = min(self.frames, self._limit or self.frames)

    def blocks(self, block_frames: int = 65536) -> Iterator[np.ndarray]:
        """Read the part from its beginning.

        Args:
            block_frames: number of samples per channel in a block; the last may be shorter.

        Yields:
            Contiguous float32 arrays `(C, L)`; full scale is +-1.

        Raises:
            UserError: the file is damaged, ends too early, or holds NaN or infinite samples.
        """
        wanted = self._limit if self.frames is None else self.frames
        delivered = 0
        with closing(self._decoder.blocks(self._start, wanted, block_frames)) as blocks:
            for block in blocks:
                self._check_finite(block, self._start + delivered)
                delivered += block.shape[1]
                yield block
        if self.frames is not None and delivered < self.frames:
            raise _cut_short(self.path, (self._start + delivered) / self.sample_rate)
        if delivered == 0:
            raise self._nothing_to_read(None)

    def read(self) -> np.ndarray:
        """Return the whole part as a float32 array `(C, L)`.

        Raises:
            UserError: as in `blocks`.
        """
        return np.concatenate(list(self.blocks()), axis=1)

    def _check_finite(self, block: np.ndarray, position: int) -> None:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            second = (position + int(np.argmin(finite))) / self.sample_rate
            raise UserError(
                f"{self.path}: NaN or infinite samples at {second:.3f} s; mend or export the"
                " file again"
            )

    def _nothing_to_read(self, frames: int | None) -> UserError:
        if self._start == 0:
            return UserError(f"{self.path}: the file holds no samples; give one with sound")
        length = "" if frames is None else f" of {frames / self.sample_rate:.2f} s"
        start = self._start / self.sample_rate
        return UserError(
            f"{self.path}: the start ({start:g} s) is beyond the end{length}; start earlier"
        )


class _SoundfileDecoder:
    """A decoder of files that libsndfile reads, with the interface of `PyAVDecoder`."""

    def __init__(self, path: Path, sound: soundfile.SoundFile):
        self.path = path
        self.sample_rate = sound.samplerate
        self.channels = sound.channels
        self.frames = sound.frames
        self.subtype = sound.subtype
        self._seeks = sound.format not in _DECODED_FROM_START

    def blocks(self, start: int, frames: int, block_frames: int) -> Iterator[np.ndarray]:
        """Decode up to `frames` samples from `start`."""
        position = start if self._seeks else 0
        try:
            with soundfile.SoundFile(sound_name(self.path)) as sound:
                sound.seek(position)
                while position < start + frames:
                    limit = start if position < start else start + frames
                    size = min(block_frames, limit - position)
                    block = sound.read(size, dtype="float32", always_2d=True)
                    if len(block) == 0:
                        return
                    if position >= start:
                        yield np.ascontiguousarray(block.T)
                    position += len(block)
        except soundfile.LibsndfileError:
            raise _cut_short(self.path, position / self.sample_rate) from None


def _cut_short(path: Path, second: float) -> UserError:
    return UserError(
        f"{path}: the file is damaged or cut short after {second:.2f} s; get a whole copy, or"
        " convert with ffmpeg what can still be read"
    )


def _check_regular_file(path: Path) -> None:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UserError(f"{path}: a folder, not a file; name the file in it")
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path}: not a regular file; save the audio to one first")
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; check the file's name and rights") from None
    if status.st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes); get a whole copy")


def _open_decoder(path: Path, audio_track: int | None) -> _SoundfileDecoder | PyAVDecoder:
    if audio_track in (None, 1):  # files that libsndfile reads have one track
        try:
            with soundfile.SoundFile(sound_name(path)) as sound:
                if _counts_samples(path, sound):
                    if is_cut_short(path, sound.extra_info):
                        raise _cut_short(path, sound.frames / sound.samplerate)
                    if (sound.format, sound.subtype) not in _MISREAD:
                        return _SoundfileDecoder(path, sound)
        except (soundfile.LibsndfileError, TypeError):  # TypeError: .raw needs more arguments
            pass
    from .pyav import PyAVDecoder  # importing av takes time

    return PyAVDecoder(path, audio_track)


def _counts_samples(path: Path, sound: soundfile.SoundFile) -> bool:
    """Return whether libsndfile knows the length of a file and can seek in it.

    It guesses the length of MPEG audio, in any container, from the bit rate of the first frame,
    except for an MP3 with a frame count.
    """
    if sound.subtype.startswith("MPEG"):
        return sound.format == "MP3" and mp3_tells_length(path)
    if sound.frames == 0:
        # Tells a stream whose length was never written from an empty file.
        chunk = read_data_chunk(path)
        return chunk is None or chunk.promised is not None or chunk.held == 0 or chunk.closed
    return sound.frames != _UNKNOWN_FRAMES and sound.seekable()
