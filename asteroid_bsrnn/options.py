"""Choices and defaults that the Python interface and the command line share.

The module imports nothing heavy, so that `--help` is fast.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from .errors import UserError

T = TypeVar("T")

DEFAULT_MODEL = "small_bag"
"""Name of the weights that are used if none are named; they ship with the package."""

PRECISIONS = ("auto", "32", "bf16", "16")
"""Floating-point types that a `Separator` computes in."""

SUBTYPES = {
    "wav": ("PCM_16", "PCM_24", "FLOAT"),
    "flac": ("PCM_16", "PCM_24"),
    "mp3": ("MPEG_LAYER_III",),
    "ogg": ("VORBIS",),
    "opus": ("OPUS",),
    "m4a": ("AAC",),
}
"""Sample types of each output format, its default first."""

SPLITS = ("test", "train", "valid", "train+valid", "all")
"""Parts of a data set that are evaluated on."""

TESTS = ("wilcoxon", "permutation")
"""Paired tests between models."""

CLIP = ("rescale", "clamp", "none")
"""Treatments of samples beyond full scale."""


@dataclass(frozen=True)
class FileOptions:
    """Options of `Separator.separate_file`: the part to read, the stems, and the files to write.

    Attributes:
        stems: sources to write; None means all.
        two_stems: a source; writes it and the mixture minus it, as `no_<source>`.
        format: "wav", "flac", "mp3", "ogg" (Vorbis), "opus" or "m4a" (AAC).
        subtype: "PCM_16", "PCM_24" or "FLOAT"; None keeps the depth of the recording.
        bitrate: of a lossy format in bits per second, for all channels together; None means a high
            one: the highest for mp3, about 256000 for ogg and m4a, and 192000 for opus, in stereo.
        clip: treatment of samples beyond full scale. "rescale" multiplies all stems of the
            recording by one gain, so that they still add up; "clamp" clips them; "none" leaves
            them to the format. None means "none" for FLOAT, which can hold them, else "rescale".
        start: start of the part to separate, in seconds.
        duration: length of the part, in seconds; None means to the end.
        audio_track: number of the audio track of a file with several, from 1; None means the one
            that the file flags as default, or else the first.
        overwrite: whether to replace existing files.
        skip_existing: whether to leave out stems that exist and are as long as the recording.
        track: name of the recording in `file_name`; None means the name of its file.
        keep: files that are never replaced, in addition to the input.
        file_name: path of a stem below the output directory. `{track}`, `{stem}`, `{ext}` (the
            format) and `{index}` (the number of the source from 1) are replaced.
    """

    stems: str | Sequence[str] | None = None
    two_stems: str | None = None
    format: str = "wav"
    subtype: str | None = None
    bitrate: int | None = None
    clip: str | None = None
    start: float = 0.0
    duration: float | None = None
    audio_track: int | None = None
    overwrite: bool = False
    skip_existing: bool = False
    track: str | None = None
    keep: Collection[str | os.PathLike] = ()
    file_name: str = "{track}/{stem}.{ext}"


class Shard(NamedTuple):
    """A part of a list for one of several machines: every `count`-th item, from the `index`-th on.

    Attributes:
        index: number of the part, from 1.
        count: number of parts.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard of a text such as "3/16".

        Raises:
            UserError: the text is no such pair of numbers.
        """
        match = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UserError(f"a shard must be K/N with 1 <= K <= N, such as 3/16, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return the items of this part, in order."""
        return items[self.index - 1 :: self.count]
