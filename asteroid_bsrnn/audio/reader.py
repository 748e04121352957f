"""Reading audio: finding the files, checking their headers, and decoding them block by block.

libsndfile and FFmpeg silently reduce the length of a truncated file, and libsndfile guesses the
length of MPEG audio without a frame count. A part of the music would be taken for the whole, so the
lengths in the headers are compared with what the files hold.
"""

from __future__ import annotations

import math
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import soundfile

from ..errors import UserError
from ..files import is_url, list_files

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


# --- lengths in headers --------------------------------------------------------------------------


# Sizes written by programs that write to a pipe and do not know the length: all ones by ffmpeg,
# limits of signed 32-bit numbers by sox and others, zero by some.
_UNKNOWN_SIZES = frozenset({0, 0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000})

_TRUNCATED_LOG = re.compile(r"^ *(?:riff|Data Size) *: (\d+) \(should be (\d+)\)", re.MULTILINE)


def sound_name(path: Path) -> Path | bytes:
    """Return a name that soundfile accepts; it refuses a `str` that the locale cannot encode."""
    return path if os.name == "nt" else os.fsencode(path)


class DataChunk(NamedTuple):
    """The part of a file that holds the samples."""

    promised: int | None  # bytes of samples by the header; None if the header leaves it open
    held: int  # bytes from the first sample to the end of the file
    closed: bool  # whether the file is exactly as long as its outermost header says


def read_data_chunk(path: Path) -> DataChunk | None:
    """Return the chunk of samples in a WAV (RIFF, RIFX, RF64, BW64) or AIFF file, or None."""
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        container = file.read(12)
        if len(container) < 12 or container[8:] not in (b"WAVE", b"AIFF", b"AIFC"):
            return None
        order = ">" if container[:4] in (b"FORM", b"RIFX") else "<"
        closed = struct.unpack(order + "I", container[4:8])[0] + 8 == length
        long_size = None
        while len(head := file.read(8)) == 8:
            name, size = struct.unpack(order + "4sI", head)
            start = file.tell()
            if name in (b"data", b"SSND"):
                if long_size is not None and size == 0xFFFFFFFF:
                    size = long_size
                promised = None if size in _UNKNOWN_SIZES else size
                return DataChunk(promised, length - start, closed)
            if name == b"ds64":  # RF64 keeps its 64-bit sizes here: of the file, of the samples
                sizes = file.read(16)
                long_size = struct.unpack("<8xQ", sizes)[0] if len(sizes) == 16 else None
            file.seek(start + size + size % 2)
    return None


def _read_matroska_segment(path: Path) -> DataChunk | None:
    """Return the segment of a Matroska or WebM file: all of it except a short header."""
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        name, size = file.read(4), _read_matroska_size(file)
        if name != b"\x1a\x45\xdf\xa3" or size is None:
            return None
        file.seek(size, os.SEEK_CUR)
        if file.read(4) != b"\x18\x53\x80\x67":
            return None
        promised = _read_matroska_size(file)
        held = length - file.tell()
        return DataChunk(promised, held, promised == held)


def _read_matroska_size(file: BinaryIO) -> int | None:
    """Read a number whose leading zero bits count the bytes that follow; None means unknown."""
    head = file.read(1)
    if not head or not head[0]:
        return None
    more = 8 - head[0].bit_length()
    bits = 7 * (more + 1)
    size = int.from_bytes(head + file.read(more), "big") & ((1 << bits) - 1)
    return None if size == (1 << bits) - 1 else size


def is_cut_short(path: Path, log: str = "") -> bool:
    """Return whether a file holds less than its header says.

    Of other types than WAV, AIFF and Matroska, `log` tells: libsndfile's log of opening the file
    (`SoundFile.extra_info`).
    """
    chunk = read_data_chunk(path) or _read_matroska_segment(path)
    if chunk is not None:
        return chunk.promised is not None and chunk.promised > chunk.held
    note = _TRUNCATED_LOG.search(log)
    if note is not None:
        return int(note[1]) > int(note[2])
    # An Ogg stream that ends within a page. One that only lacks its last page may be a recording
    # that was stopped, which is valid.
    return "Junk after the last page" in log and "lacks an end-of-stream bit" in log


def mp3_tells_length(path: Path) -> bool:
    """Return whether an MP3 has a frame count in a Xing or Info header.

    Without one, libsndfile assumes the bit rate of the first frame for the whole file. It then
    stops too early if that rate was high, and reports missing samples if it was low.
    """
    with open(path, "rb") as file:
        _skip_id3(file)
        start = file.read(4096)
    found = re.search(rb"(?:Xing|Info)\0\0\0(.)", start, re.DOTALL)
    return found is not None and bool(found[1][0] & 1)


def _skip_id3(file: BinaryIO) -> None:
    while True:
        start = file.tell()
        head = file.read(10)
        if len(head) < 10 or head[:3] != b"ID3":
            file.seek(start)
            return
        # Only seven bits of each byte are used, so that no tag looks like the start of a frame.
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        has_footer = bool(head[5] & 0x10)
        file.seek(start + 10 + size + 10 * has_footer)
