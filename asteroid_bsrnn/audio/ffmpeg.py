"""Decoding through the `ffmpeg` and `ffprobe` programs, for what libsndfile cannot read."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import numpy as np

from asteroid_bsrnn.errors import UserError

# Encoders put silence before the music and say in one way or another how much; decoders follow
# some of these ways only, and may so end this much sooner (s) than the container says.
_PADDING_TOLERANCE = 0.1

_INSTALL = {
    "darwin": "brew install ffmpeg",
    "win32": "winget install ffmpeg",
}


class FfmpegDecoder:
    """The first audio stream of a file.

    Args:
        path: the file.

    Attributes:
        sample_rate: in hertz.
        channels: their number.
        frames: number of samples, None where only decoding can tell.
        subtype: the depth of the samples in soundfile's words; `PCM_16` for lossy codecs.

    Raises:
        UserError: ffmpeg is not installed, or finds no audio in the file.
    """

    def __init__(self, path: Path):
        self.path = path
        stream = self._probe()
        self.sample_rate = int(stream["sample_rate"])
        self.channels = int(stream["channels"])
        self.frames = _exact_frames(stream)
        self.subtype = _subtype(stream)
        self._is_pcm = stream.get("codec_name", "").startswith("pcm_")

    def blocks(self, start: int, frames: int | None, block_frames: int) -> Iterator[np.ndarray]:
        """Decodes a part of the stream.

        Args:
            start: first sample. Everything before it is decoded too: seeking in compressed
                streams is not exact to the sample.
            frames: number of samples, None for all that follow.
            block_frames: number of samples in a block.

        Yields:
            Float32 arrays `(C, L)`.

        Raises:
            UserError: the stream cannot be decoded, or the file ends too early.
        """
        command = [_program("ffmpeg", self.path), "-v", "error", "-nostdin"]
        # The last packet of PCM may be a short one, which -xerror takes for an error.
        command += [] if self._is_pcm else ["-xerror"]
        command += self._input() + ["-map", "0:a:0", "-vn", "-sn", "-dn"]
        command += ["-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"]
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
            )
            try:
                yield from self._read(process, errors, start, frames, block_frames)
            finally:
                process.kill()
                process.stdout.close()
                process.wait()

    def _read(
        self,
        process: subprocess.Popen,
        errors: BinaryIO,
        start: int,
        frames: int | None,
        block_frames: int,
    ) -> Iterator[np.ndarray]:
        position = 0
        end = None if frames is None else start + frames
        while end is None or position < end:
            limit = start if position < start else end
            size = block_frames if limit is None else min(block_frames, limit - position)
            data = process.stdout.read(size * self.channels * 4)
            got = len(data) // (self.channels * 4)
            if got == 0:
                break
            if position >= start:
                samples = np.frombuffer(data, "<f4", got * self.channels)
                yield np.ascontiguousarray(samples.reshape(got, self.channels).T, np.float32)
            position += got
        else:
            return
        self._check_end(process.wait(), errors, position)
        if end is None or self.frames is None or position == 0:
            return
        missing = end - max(position, start)
        if missing <= _PADDING_TOLERANCE * self.sample_rate:
            yield np.zeros((self.channels, missing), np.float32)

    def _check_end(self, return_code: int, errors: BinaryIO, position: int) -> None:
        errors.seek(0)
        text = errors.read().decode(errors="replace")
        # ffmpeg decodes what there is of a cut file, and may call that a success.
        if return_code or re.search("ended prematurely|partial file|Invalid PCM packet", text):
            raise UserError(
                f"{self.path}: the file is damaged or cut short after"
                f" {position / self.sample_rate:.2f} s ({self._first_line(text)}); get a whole"
                " copy, or convert with ffmpeg what can still be read"
            )

    def _probe(self) -> dict:
        _program("ffmpeg", self.path)  # one without the other is of no use: say so at once
        command = [_program("ffprobe", self.path), "-v", "error", "-of", "json"]
        command += ["-select_streams", "a:0", "-show_streams", "-show_format"] + self._input()
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if result.returncode:
            reason = self._first_line(result.stderr.decode(errors="replace"))
            raise UserError(
                f"{self.path}: not an audio file, or damaged ({reason}); give one that plays"
            )
        found = json.loads(result.stdout)
        stream = next(iter(found.get("streams", [])), {})
        if not int(stream.get("sample_rate", 0)) or not int(stream.get("channels", 0)):
            raise UserError(f"{self.path}: the file holds no audio; give one that does")
        return stream | {"format_name": found["format"]["format_name"]}

    def _input(self) -> list[str]:
        # "file:" keeps names with a colon or a leading dash from being misread.
        return ["-i", f"file:{self.path}"]

    def _first_line(self, text: str) -> str:
        lines = [re.sub(r"^\[[^]]*\] ", "", line) for line in text.splitlines() if line.strip()]
        return lines[0].removeprefix(f"file:{self.path}: ") if lines else "no reason given"


def _program(name: str, path: Path) -> str:
    program = shutil.which(name)
    if program is None:
        install = _INSTALL.get(sys.platform, "apt install ffmpeg")
        raise UserError(
            f"{path}: reading this file needs {name}, which is not installed; install it with"
            f" `{install}`, or convert the file to wav"
        )
    return program


def _exact_frames(stream: dict) -> int | None:
    # Only MP4's table of samples counts them one by one; what other containers call a duration
    # is rounded to milliseconds, guessed from the bit rate or that of the picture.
    counted = "mp4" in stream["format_name"].split(",") and "nb_frames" in stream
    if not counted or int(stream.get("duration_ts", 0)) <= 0:
        return None
    samples = (
        int(stream["duration_ts"]) * Fraction(stream["time_base"]) * int(stream["sample_rate"])
    )
    return int(samples) if samples.denominator == 1 else None


def _subtype(stream: dict) -> str:
    codec = stream.get("codec_name", "")
    if codec.startswith("pcm_f"):
        return "FLOAT" if codec.startswith("pcm_f32") else "DOUBLE"
    bits = max(int(stream.get(key, 0)) for key in ("bits_per_raw_sample", "bits_per_sample"))
    return "PCM_16" if bits <= 16 else "PCM_24" if bits <= 24 else "PCM_32"
