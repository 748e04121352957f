"""Lengths in the headers of audio files, to detect files that are cut short.

libsndfile and FFmpeg silently reduce the length of a truncated file, and libsndfile guesses the
length of MPEG audio without a frame count. A part of the music would be taken for the whole.
"""

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

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
