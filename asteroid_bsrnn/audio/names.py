"""Names and tags of stems: patterns of paths, and the tags that stems take over from a song."""

from __future__ import annotations

import base64
import io
import os
import string
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import soundfile

from ..errors import UserError
from ..files import whole_file
from .reader import sound_name

FIELDS = ("track", "stem", "ext", "format", "index")
"""What a pattern may contain in braces; `format` means the same as `ext`."""

_LONGEST_NAME = 255
"""Bytes of the longest file name on most file systems."""


def track_name(path: str | os.PathLike) -> str:
    """Return the name of a recording in the paths of its stems: its file name without its type."""
    name = Path(path).stem.removesuffix(".stem")
    # A name of dots only would mean this folder or its parent.
    return name if name.strip(".") else Path(path).name


def unique_names(paths: Sequence[str | os.PathLike]) -> list[str]:
    """Return a name for each recording; equal names are numbered in the order of the paths."""
    names: list[str] = []
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last one of each name, as a million songs may share one
    for path in paths:
        unique = name = track_name(path)
        # On some file systems, names that differ only in case are the same folder.
        while unique.lower() in taken:
            numbers[name.lower()] = numbers.get(name.lower(), 1) + 1
            ending = f" ({numbers[name.lower()]})"
            unique = _shorten(name, _LONGEST_NAME - len(ending)) + ending
        taken.add(unique.lower())
        names.append(unique)
    return names


def page_name(track: str) -> str:
    """Return the file name of the page that plays the stems of a recording."""
    return _shorten(track, _LONGEST_NAME - len(".html")) + ".html"


def check_pattern(pattern: str, format: str, several: bool = False) -> None:
    """Refuse a pattern that is not valid, or whose files would replace each other.

    A pattern is the path of a stem below the output folder, with `FIELDS` in braces. `several`
    tells whether it names the stems of several recordings.

    Raises:
        UserError: the message says what is wrong with the pattern.
    """
    try:
        parsed = list(string.Formatter().parse(pattern))
        fields = [field for _, field, _, _ in parsed if field is not None]
        pattern.format(**dict.fromkeys(FIELDS, "x") | {"index": 1})
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        fields = [None]
    wrong = [field for field in fields if field not in FIELDS]
    if wrong:
        valid = ", ".join(f"{{{field}}}" for field in FIELDS if field != "format")
        raise UserError(f"name pattern {pattern!r}: in braces it may have {valid} only")
    if several and "track" not in fields:
        raise UserError(
            f"name pattern {pattern!r}: the stems of several songs would replace each other; add "
            "{track}"
        )
    _check_parts(pattern, pattern.format(track="x", stem="x", ext=format, format=format, index=1))
    if not pattern.endswith(("{ext}", "{format}", f".{format}")):
        raise UserError(f"name pattern {pattern!r}: must end with .{{ext}}, the type of the file")


def stem_paths(
    pattern: str, track: str, names: Collection[str], sources: Sequence[str], format: str
) -> dict[str, Path]:
    """Return the path of each stem of a recording, relative to the output folder.

    A track is shortened where a name would be too long for a file system. `{index}` is the number
    of the stem among the sources of the model, from 1, or 0 if it is none of them.

    Raises:
        UserError: the pattern is not valid, or two stems get the same path.
    """
    check_pattern(pattern, format)
    paths = {}
    for name in names:
        index = list(sources).index(name) + 1 if name in sources else 0
        values = {"stem": name, "ext": format, "format": format, "index": index}
        paths[name] = Path(*(_fill(part, track, values) for part in pattern.split("/")))
        _check_parts(pattern, paths[name].as_posix())
    if len({str(path).lower() for path in paths.values()}) < len(paths):
        raise UserError(
            f"name pattern {pattern!r}: the stems of a song would replace each other; add {{stem}}"
        )
    return paths


def _fill(part: str, track: str, values: dict) -> str:
    """Return a folder or file name of a pattern, with the track cut so that the name is valid."""
    without = len(os.fsencode(part.format(track="", **values)))
    times = sum(field == "track" for _, field, _, _ in string.Formatter().parse(part))
    if times:
        track = _shorten(track, max(1, (_LONGEST_NAME - without) // times))
    return part.format(track=track, **values)


def _shorten(name: str, size: int) -> str:
    """Return a name of at most `size` bytes."""
    encoded = os.fsencode(name)
    if len(encoded) <= size:
        return name
    # A character must not be cut in the middle.
    return encoded[:size].decode("utf-8", "ignore").rstrip()


def _check_parts(pattern: str, path: str) -> None:
    if any(part in ("", ".", "..") for part in path.split("/")) or Path(path).is_absolute():
        raise UserError(
            f"name pattern {pattern!r}: must be a path below the output folder, without .. or empty"
            " names"
        )


# --- tags: title, artist, album and more, and the picture ----------------------------------------


# FFmpeg's names. Others, such as ReplayGain's, are true of the song only.
# fmt: off
TAG_NAMES = (
    "title", "artist", "album", "album_artist", "date", "track", "disc", "genre", "composer",
)
# fmt: on

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
        texts: by `TAG_NAMES`.
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
    kept = {
        name: " ".join(texts[name].split()) for name in TAG_NAMES if texts.get(name, "").strip()
    }
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
