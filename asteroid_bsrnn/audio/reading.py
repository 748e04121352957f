"""Audio files as a stream of blocks, checked on the way."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from asteroid_bsrnn.audio.headers import is_cut_short, mp3_tells_length, read_data_chunk, sound_name
from asteroid_bsrnn.errors import UserError

if TYPE_CHECKING:
    from asteroid_bsrnn.audio.pyav import PyAVDecoder

# Seeking is off by up to a page in Vorbis near its end, and can lose what an MP3's frame borrows
# from those before it; these are decoded from their beginning.
_DECODED_FROM_START = ("MP3", "OGG")

# libsndfile's number of samples for a stream that does not tell.
_UNKNOWN_FRAMES = 2**63 - 1


class AudioFile:
    """A file, or a part of one, that can be read again and again.

    libsndfile reads what it reads exactly (most wav, flac, ogg, mp3, aiff and more), FFmpeg's
    libraries read the rest through PyAV (m4a, mp4, webm and more). The samples have the file's
    own rate. Decoding is exact to the sample: the same part always gives the same samples.

    Where the audio of a video starts later than the picture, silence of that length comes first,
    so that the samples line up with the picture.

    Args:
        path: the file.
        start: where the part begins, in seconds from the beginning of the file.
        duration: the part's length in seconds, None for all that follows. A part may reach beyond
            the end of the file; it is then as much shorter.
        audio_track: number of the audio track in files that hold several, from 1. None takes the
            one that the file flags as default, and the first one if it flags none.

    Raises:
        UserError: the file cannot be read, is not audio, holds no samples or fewer than its header
            promises; there is no such track; or the part is empty.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        start: float = 0.0,
        duration: float | None = None,
        audio_track: int | None = None,
    ):
        self._path = Path(path)
        if not (math.isfinite(start) and start >= 0):
            raise UserError(f"{self._path}: the start must be 0 s or more, got {start}")
        if duration is not None and not (math.isfinite(duration) and duration > 0):
            raise UserError(f"{self._path}: the duration must be above 0 s, got {duration}")
        _check_regular_file(self._path)
        self._decoder = _open_decoder(self._path, audio_track)
        self._start = round(start * self.sample_rate)
        self._limit = None if duration is None else max(1, round(duration * self.sample_rate))
        if self._decoder.frames is not None and self._start >= self._decoder.frames:
            raise self._nothing_to_read(self._decoder.frames)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def sample_rate(self) -> int:
        """In hertz."""
        return self._decoder.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._decoder.channels

    @property
    def frames(self) -> int | None:
        """Number of samples (of each channel) in the part; None where only decoding can tell."""
        if self._decoder.frames is None:
            return None
        following = self._decoder.frames - self._start
        return following if self._limit is None else min(following, self._limit)

    @property
    def subtype(self) -> str:
        """How the file keeps its samples, in soundfile's words, such as `PCM_24` or `VORBIS`."""
        return self._decoder.subtype

    def blocks(self, block_frames: int = 65536) -> Iterator[np.ndarray]:
        """Reads the part from its beginning.

        Args:
            block_frames: number of samples in a block; the last may be shorter.

        Yields:
            Float32 arrays `(C, L)`, contiguous, full scale being +-1.

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
            raise _cut_short(self._path, (self._start + delivered) / self.sample_rate)
        if delivered == 0:
            raise self._nothing_to_read(None)

    def read(self) -> np.ndarray:
        """Reads the whole part at once.

        Returns:
            A float32 array `(C, L)`.

        Raises:
            UserError: as `blocks`.
        """
        return np.concatenate(list(self.blocks()), axis=1)

    def _check_finite(self, block: np.ndarray, position: int) -> None:
        finite = np.isfinite(block).all(axis=0)
        if not finite.all():
            second = (position + int(np.argmin(finite))) / self.sample_rate
            raise UserError(
                f"{self._path}: NaN or infinite samples at {second:.3f} s; mend or export the"
                " file again"
            )

    def _nothing_to_read(self, frames: int | None) -> UserError:
        if self._start == 0:
            return UserError(f"{self._path}: the file holds no samples; give one with sound")
        length = "" if frames is None else f" of {frames / self.sample_rate:.2f} s"
        start = self._start / self.sample_rate
        return UserError(
            f"{self._path}: the start ({start:g} s) is beyond the end{length}; start earlier"
        )


class _SoundfileDecoder:
    """What libsndfile reads; attributes and `blocks` are those of `PyAVDecoder`."""

    def __init__(self, path: Path, sound: soundfile.SoundFile):
        self.path = path
        self.sample_rate = sound.samplerate
        self.channels = sound.channels
        self.frames = sound.frames
        self.subtype = sound.subtype
        self._seeks = sound.format not in _DECODED_FROM_START

    def blocks(self, start: int, frames: int, block_frames: int) -> Iterator[np.ndarray]:
        """Decodes `frames` samples from `start` on, or as many as there are."""
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
    if audio_track in (None, 1):  # libsndfile knows of no others
        try:
            with soundfile.SoundFile(sound_name(path)) as sound:
                if _counts_samples(path, sound):
                    if is_cut_short(path, sound.extra_info):
                        raise _cut_short(path, sound.frames / sound.samplerate)
                    # libsndfile takes the floats of some W64 files for integers.
                    if (sound.format, sound.subtype) != ("W64", "PCM_32"):
                        return _SoundfileDecoder(path, sound)
        except (soundfile.LibsndfileError, TypeError):  # TypeError: for a .raw soundfile asks more
            pass
    from asteroid_bsrnn.audio.pyav import PyAVDecoder  # imports av, which takes time

    return PyAVDecoder(path, audio_track)


def _counts_samples(path: Path, sound: soundfile.SoundFile) -> bool:
    """Tells whether libsndfile knows the length of a file, and can go to any place in it.

    It guesses the length of MPEG audio from the first frame's bit rate, in whatever container,
    but for an MP3 with a count of its frames. PyAV reads all of what it does not know.
    """
    if sound.subtype.startswith("MPEG"):
        return sound.format == "MP3" and mp3_tells_length(path)
    if sound.frames == 0:
        # A stream whose length its writer never filled in, unlike a file that is truly empty.
        chunk = read_data_chunk(path)
        return chunk is None or chunk.promised is not None or chunk.held == 0 or chunk.closed
    return sound.frames != _UNKNOWN_FRAMES and sound.seekable()
