"""FFmpeg through PyAV, for files that libsndfile does not read exactly and for AAC."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

from ..errors import UserError
from .reader import is_cut_short, read_data_chunk

# Encoders put silence before the music, and some decoders drop more of it than the container
# says. Decoded audio may end this many seconds earlier than the container says.
_PADDING_TOLERANCE = 0.1

# Longest silence before a track in a file of unknown length, in seconds. More means damage.
_LONGEST_SILENCE = 3600

# Formats whose last packet holds the rest of the data chunk, which may be padding.
_CHUNKED_FORMATS = ("wav", "w64")


def open_media(path: Path, *, ignore_length: bool = False) -> av.container.InputContainer:
    """Open a file, and nothing that it refers to; `ignore_length`: read until the file ends."""
    # With "file:", a name with a colon is not taken for a URL. The whitelist keeps playlists from
    # opening URLs.
    options = {"protocol_whitelist": "file", "ignore_length": str(int(ignore_length))}
    return av.open(f"file:{path}", container_options=options, metadata_errors="replace")


class PyAVDecoder:
    """A decoder of one audio track of a file, with the attributes of `AudioFile`.

    If the track starts later than the others of the file (a video whose picture begins first),
    silence of that length comes before it. Lossy codecs have the subtype `PCM_16`.

    Raises:
        UserError: the file cannot be opened, has no such track, or its first frame cannot be
            decoded.
    """

    def __init__(self, path: Path, audio_track: int | None = None):
        self.path = path
        self._is_cut = is_cut_short(path)
        chunk = read_data_chunk(path)
        self._is_open_ended = chunk is not None and chunk.promised is None
        with self._open() as container:
            stream = self._choose(container, audio_track)
            self._index = stream.index
            self.subtype = _subtype(stream)
            self.sample_rate = stream.sample_rate
            self.channels, self._layout = stream.channels, stream.layout.name
            if not self.sample_rate or not self.channels:
                raise UserError(f"{path}: the file holds no audio; give one that does")
            with closing(self._frames(container, stream)) as frames:
                self._silence = self._count_silence(container, stream, next(frames, None))
            self._counted = _counted_samples(container, stream, self.sample_rate)
        self.frames = None if self._counted is None else self._silence + self._counted

    def blocks(self, start: int, frames: int | None, block_frames: int) -> Iterator[np.ndarray]:
        """Decode a part of the track, as in `AudioFile.blocks`.

        Samples before `start` are decoded too, because seeking in compressed streams is not exact
        to the sample. `frames` is None for all to the end.
        """
        end = None if frames is None else start + frames
        with closing(self._samples()) as samples:
            yield from _regroup(samples, start, end, block_frames)

    def _samples(self) -> Iterator[np.ndarray]:
        """Yield the whole track in arrays (C, L) of any length."""
        yield from _zeros(self.channels, self._silence)
        position = 0
        with self._open() as container:
            stream = container.streams[self._index]
            with closing(self._convert(self._frames(container, stream))) as converted:
                for samples in converted:
                    if self._counted is not None:
                        samples = samples[:, : self._counted - position]
                    position += samples.shape[1]
                    yield samples
        missing = 0 if self._counted is None else self._counted - position
        if position and 0 < missing <= _PADDING_TOLERANCE * self.sample_rate:
            yield from _zeros(self.channels, missing)

    def _frames(
        self, container: av.container.InputContainer, stream: av.AudioStream
    ) -> Generator[av.AudioFrame, None, None]:
        """Yield the decoded frames of a stream."""
        # Threads do not speed up audio, and would not survive a fork.
        stream.codec_context.thread_count = 1
        takes_partial = stream.codec_context.name.startswith("pcm_") or self._is_open_ended
        may_be_padded = container.format.name in _CHUNKED_FORMATS and not self._is_cut
        seconds, failure = 0.0, None
        try:
            for packet in _packets(container, stream):
                if failure is not None and packet.size:
                    raise failure
                if packet.is_corrupt and not takes_partial:
                    raise self._damaged(seconds, "a packet is incomplete")
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    if not may_be_padded:
                        raise
                    # If no packet follows, this one held the padding after the last sample.
                    failure, frames = error, []
                for frame in frames:
                    if frame.is_corrupt:
                        raise self._damaged(seconds, "a frame is incomplete")
                    seconds += frame.samples / frame.sample_rate
                    yield frame
        except av.FFmpegError as error:
            raise self._damaged(seconds, error.strerror) from None
        if self._is_cut:
            raise self._damaged(seconds, "its header promises more")

    def _convert(self, frames: Generator[av.AudioFrame, None, None]) -> Iterator[np.ndarray]:
        """Yield float32 arrays (C, L) at one rate, even if rate or channels change in the track."""
        # Interleaved, because PyAV 18 crashes on eight or more planes. Most codecs need no
        # conversion.
        wanted = "flt", self._layout, self.sample_rate
        plain = ("fltp", *wanted[1:]) if self.channels < 8 else None
        converter = kind = None
        seconds = 0.0
        with closing(frames):
            for frame in chain(frames, [None]):  # None: what the converter still holds
                if frame is not None:
                    seconds += frame.samples / frame.sample_rate
                    before, kind = kind, (frame.format.name, frame.layout.name, frame.sample_rate)
                    if kind != before:
                        if converter is not None:
                            yield from self._resample(converter, None, seconds)
                        converter = None if kind == plain else av.AudioResampler(*wanted)
                if converter is not None:
                    yield from self._resample(converter, frame, seconds)
                elif frame is not None:
                    yield frame.to_ndarray()

    def _resample(
        self, converter: av.AudioResampler, frame: av.AudioFrame | None, seconds: float
    ) -> Iterator[np.ndarray]:
        try:
            for part in converter.resample(frame):
                yield part.to_ndarray().reshape(-1, self.channels).T
        except av.FFmpegError as error:
            raise self._damaged(seconds, error.strerror) from None

    def _open(self) -> av.container.InputContainer:
        try:
            # FFmpeg would take the size of a piped RF64, which is 0, as it is.
            return open_media(self.path, ignore_length=self._is_open_ended)
        except av.FFmpegError as error:
            raise UserError(
                f"{self.path}: not an audio file, or damaged ({error.strerror}); give one that"
                " plays"
            ) from None

    def _choose(
        self, container: av.container.InputContainer, audio_track: int | None
    ) -> av.AudioStream:
        tracks = container.streams.audio
        if not tracks:
            raise UserError(f"{self.path}: the file holds no audio; give one that does")
        if audio_track is None:
            flagged = [track for track in tracks if track.disposition & Disposition.default]
            chosen = (flagged or tracks)[0]
        elif not 1 <= audio_track <= len(tracks):
            raise UserError(
                f"{self.path}: there is no audio track {audio_track}; choose from 1 to"
                f" {len(tracks)}"
            )
        else:
            chosen = tracks[audio_track - 1]
        if chosen.codec_context is None:
            raise UserError(
                f"{self.path}: FFmpeg has no decoder for this audio; convert the file to wav"
            )
        return chosen

    def _count_silence(
        self,
        container: av.container.InputContainer,
        stream: av.AudioStream,
        first: av.AudioFrame | None,
    ) -> int:
        """Return the number of samples between the start of the first stream and of the track."""
        starts = [
            other.start_time * other.time_base
            for other in container.streams
            if other != stream and _is_timed(other) and other.start_time is not None
        ]
        if not starts or first is None or first.pts is None:
            return 0
        offset = first.pts * first.time_base - min(starts)
        known = container.duration is not None
        if offset > (Fraction(container.duration, av.time_base) if known else _LONGEST_SILENCE):
            raise UserError(
                f"{self.path}: the audio starts at {float(offset):.2f} s, beyond the end of the"
                " file; the file is damaged, get a whole copy"
            )
        return max(0, round(offset * self.sample_rate))

    def _damaged(self, seconds: float, reason: str) -> UserError:
        return UserError(
            f"{self.path}: the file is damaged or cut short after {seconds:.2f} s ({reason}); get"
            " a whole copy, or convert with ffmpeg what can still be read"
        )


def _packets(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.Packet]:
    # If another stream first appears in the middle of the file (flv, ts), PyAV raises IndexError
    # after the last packet of this stream.
    with suppress(IndexError):
        yield from container.demux(stream)


def _is_timed(stream: av.stream.Stream) -> bool:
    """Return whether a stream is audio or video that the track must be aligned with."""
    is_cover = stream.disposition & Disposition.attached_pic
    return stream.type in ("audio", "video") and not is_cover


def _counted_samples(
    container: av.container.InputContainer, stream: av.AudioStream, sample_rate: int
) -> int | None:
    # Only MP4 counts samples. The duration of other containers is rounded to milliseconds,
    # guessed from the bit rate, or that of the picture.
    counted = "mp4" in container.format.name.split(",") and stream.frames > 0
    if not counted or not stream.duration or stream.duration < 0:
        return None
    samples = stream.duration * stream.time_base * sample_rate
    return int(samples) if samples.denominator == 1 else None


def _subtype(stream: av.AudioStream) -> str:
    name, format = stream.codec_context.name, stream.codec_context.format
    kind = "" if format is None else format.name
    # Lossy codecs also decode to floats, but have no depth.
    if name.startswith(("pcm_f", "wavpack")) and kind.startswith(("flt", "dbl")):
        return "FLOAT" if kind.startswith("flt") else "DOUBLE"
    return "PCM_24" if kind.startswith("s32") else "PCM_16"


def _zeros(channels: int, frames: int, block_frames: int = 65536) -> Iterator[np.ndarray]:
    for start in range(0, frames, block_frames):
        yield np.zeros((channels, min(block_frames, frames - start)), np.float32)


def _regroup(
    arrays: Iterable[np.ndarray], start: int, end: int | None, block_frames: int
) -> Iterator[np.ndarray]:
    """Yield the samples from `start` to `end` in contiguous blocks of `block_frames`."""
    position, block, filled = 0, None, 0
    for array in arrays:
        first = min(max(0, start - position), array.shape[1])
        last = array.shape[1] if end is None else min(end - position, array.shape[1])
        position += array.shape[1]
        while first < last:
            if block is None:
                block = np.empty((len(array), block_frames), np.float32)
            count = min(block_frames - filled, last - first)
            block[:, filled : filled + count] = array[:, first : first + count]
            first, filled = first + count, filled + count
            if filled == block_frames:
                yield block
                block, filled = None, 0
        if end is not None and position >= end:
            break
    if filled:
        yield np.ascontiguousarray(block[:, :filled])


class AacFile:
    """An m4a file of 1 or 2 channels that is written block by block, over an existing one.

    Raises:
        OSError: the file cannot be written.
        av.FFmpegError: the encoder refuses the properties.
    """

    def __init__(self, path: Path, sample_rate: int, channels: int, bitrate: int):
        self._rate, self._layout = sample_rate, "mono" if channels == 1 else "stereo"
        self._frames = 0
        # A file object reports a full disk, which FFmpeg's own output does not always do.
        self._file = open(path, "wb")  # noqa: SIM115
        # In the default unit of milliseconds, the length would not be exact to the sample.
        options = {"movie_timescale": str(sample_rate), "brand": "M4A "}
        self._container = av.open(self._file, "w", format="mp4", options=options)
        self._stream = self._container.add_stream("aac", rate=sample_rate, layout=self._layout)
        self._stream.bit_rate = bitrate
        self._stream.codec_context.open()
        self._waiting = av.AudioFifo()

    def write(self, samples: np.ndarray) -> None:
        """Append samples, an array (L, C) of floats."""
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
