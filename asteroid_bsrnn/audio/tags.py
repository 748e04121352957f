"""Tags: title, artist, album and more, and the picture of a recording, copied to its stems."""

from __future__ import annotations

import base64
import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import soundfile

from ..errors import UserError
from ..files import whole_file
from .headers import sound_name

# FFmpeg's names. Others, such as ReplayGain's, are true of the song only.
NAMES = ("title", "artist", "album", "album_artist", "date", "track", "disc", "genre", "composer")

# Those that libsndfile writes to a wav file, by soundfile's names.
_OF_WAV = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "date": "date",
    "track": "tracknumber",
    "genre": "genre",
}
_PICTURES = {"mjpeg": "image/jpeg", "png": "image/png"}
_CONTAINERS = {"mp3": "mp3", "flac": "flac", "ogg": "ogg", "opus": "ogg", "m4a": "mp4"}


@dataclass(frozen=True)
class Tags:
    """Tags of a recording.

    Attributes:
        texts: by `NAMES`.
        cover: a JPEG or PNG file; None if there is none.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    cover: bytes | None = None

    def __bool__(self) -> bool:
        return bool(self.texts or self.cover)

    def of_stem(self, name: str) -> Tags:
        """Return the tags of a stem, whose name follows the title in brackets."""
        if "title" not in self.texts:
            return self
        return replace(self, texts={**self.texts, "title": f"{self.texts['title']} ({name})"})


def read_tags(path: str | os.PathLike) -> Tags:
    """Return the tags of a file; none if FFmpeg cannot read it."""
    import av

    from .pyav import open_media

    texts: dict[str, str] = {}
    cover = None
    try:
        with open_media(Path(path)) as container:
            # Ogg has the tags at the stream, the others at the file.
            for found in (*(audio.metadata for audio in container.streams.audio[:1]),
                          container.metadata):  # fmt: skip
                texts |= {key.lower(): text for key, text in found.items()}
            for stream in container.streams.video:
                is_cover = stream.disposition & av.stream.Disposition.attached_pic
                if is_cover and stream.codec_context.name in _PICTURES and cover is None:
                    packet = next(container.demux(stream), None)
                    cover = bytes(packet) if packet is not None and packet.size else None
    except (av.FFmpegError, OSError, IndexError, ValueError, AttributeError):
        return Tags()
    kept = {name: " ".join(texts[name].split()) for name in NAMES if texts.get(name, "").strip()}
    return Tags(kept, cover)


def write_tags(path: str | os.PathLike, format: str, tags: Tags) -> None:
    """Add tags to a file of a format. The sound stays as it is.

    A wav file has no common place for a picture, for the artist of an album, or for a composer.

    Raises:
        UserError: the file cannot be written.
    """
    import av

    try:
        if format == "wav":
            _write_wav(Path(path), tags.texts)
        else:
            _write_others(Path(path), format, tags)
    except (av.FFmpegError, soundfile.LibsndfileError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path}: cannot be written ({reason}); free space there or choose another folder"
        ) from None


def _write_wav(path: Path, texts: Mapping[str, str]) -> None:
    known = {_OF_WAV[name]: text for name, text in texts.items() if name in _OF_WAV}
    if known:
        with soundfile.SoundFile(sound_name(path), "r+") as sound:
            for name, text in known.items():
                setattr(sound, name, text)


def _write_others(path: Path, format: str, tags: Tags) -> None:
    """Copy the packets of a file to a new one that has the tags."""
    import av

    container, options = _CONTAINERS[format], {}
    with (
        whole_file(path) as unfinished,
        av.open(f"file:{path}") as source,
        open(unfinished, "wb") as file,
    ):
        sound = source.streams.audio[0]
        if format == "m4a":
            options = {"movie_timescale": str(sound.sample_rate), "brand": "M4A "}
        with av.open(file, "w", format=container, options=options) as target:
            stream = target.add_stream_from_template(sound)
            texts = dict(tags.texts)
            if container == "ogg":
                if tags.cover:
                    texts["METADATA_BLOCK_PICTURE"] = _picture_block(tags.cover)
                stream.metadata.update(texts)
            else:
                target.metadata.update(texts)
                if tags.cover:
                    _mux_cover(target, tags.cover)
            for packet in source.demux(sound):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)


def _mux_cover(target, cover: bytes) -> None:
    import av

    with av.open(io.BytesIO(cover)) as picture:
        stream = target.add_stream_from_template(picture.streams.video[0])
        stream.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.is_keyframe = True
        target.mux(packet)


def _picture_block(cover: bytes) -> str:
    """Return a picture as Ogg holds it: the picture block of a FLAC file, in base64."""
    kind = "image/png" if cover.startswith(b"\x89PNG") else "image/jpeg"
    front = 3
    header = struct.pack(">II", front, len(kind)) + kind.encode()
    sizes = struct.pack(">IIIIII", 0, 0, 0, 0, 0, len(cover))  # no description, sizes unknown
    return base64.b64encode(header + sizes + cover).decode("ascii")
