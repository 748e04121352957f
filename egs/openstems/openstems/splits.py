"""Splits: settings and numbering of their songs, and the check that they share no sounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from .errors import UserError
from .materials import Materials

SPLITS = ("train", "valid", "test")

# Kinds of ingredients that splits may not share. An entry of the manifest lists, under "uses", the
# names of each kind that the song is made of.
KINDS = ("piece", "soundfont_family", "kit_family", "speaker", "synthesizer_mode", "recording")

VOICE_PHRASES = 48
"""Default number of phrases from which a voice is built."""


@dataclass(frozen=True)
class SongSettings:
    """Settings of the songs of a split, which determine a song together with its number.

    Args:
        split: "train", "valid" or "test", which have different pieces, instruments and voices.
        seconds: length of a song.
        seed: seed of all random choices.
        materials: materials of the songs.
        voice_phrases: phrases from which each voice is built; a few are enough for a trial.
    """

    split: str = "train"
    seconds: float = 30.0
    seed: int = 1
    materials: Materials = field(default_factory=Materials)
    voice_phrases: int = VOICE_PHRASES

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"split must be among {SPLITS}, got {self.split!r}")


@dataclass(frozen=True)
class SongId:
    """Song of the data set.

    Args:
        split: "train", "valid" or "test".
        number: from 0, within the split.
    """

    split: str
    number: int

    @property
    def name(self) -> str:
        """Return the name of its folder."""
        return f"{self.split}-{self.number:05d}"

    @property
    def path(self) -> str:
        """Folder relative to the data set's; validation songs are in train, as in MUSDB18."""
        return f"{'test' if self.split == 'test' else 'train'}/{self.name}"


def first_songs(n_songs: int, shares: Sequence[int]) -> list[SongId]:
    """Return the songs of a data set of `n_songs`.

    A larger data set contains the songs of a smaller one. With three songs or more, every split has
    one.

    Args:
        n_songs: number of songs.
        shares: proportions of train, valid and test, as integers.

    Raises:
        UserError: unless the shares are three numbers from 0, with one above 0.
    """
    if len(shares) != len(SPLITS) or min(shares) < 0 or sum(shares) == 0:
        raise UserError(f"shares must be three numbers (train valid test), got {list(shares)}")
    return list(islice(_sequence(shares), n_songs))


def _sequence(shares: Sequence[int]) -> Iterator[SongId]:
    """Yield all songs in an order whose beginnings have the shares as closely as possible."""
    counts = dict.fromkeys(SPLITS, 0)
    waiting = [split for split, share in zip(SPLITS, shares, strict=True) if share]
    while True:
        n_after = sum(counts.values()) + 1
        if waiting:
            split = waiting.pop(0)
        else:
            lacking = {
                split: share * n_after - counts[split] * sum(shares)
                for split, share in zip(SPLITS, shares, strict=True)
            }
            split = max(SPLITS, key=lambda name: lacking[name])
        yield SongId(split, counts[split])
        counts[split] += 1


def split_of_digest(digest: str) -> str:
    """Return the split of a piece by its hash: 3/5 train, 1/5 valid, 1/5 test.

    Args:
        digest: hexadecimal, at least 8 digits.
    """
    fifth = int(digest[:8], 16) % 5
    return {3: "valid", 4: "test"}.get(fifth, "train")


def check(entries: Iterable[Mapping]) -> list[str]:
    """Find names that several splits use.

    Args:
        entries: entries of the manifest, each with `split` and, under `uses`, names by kind.

    Returns:
        One line for each name that splits share; empty if all is well.
    """
    seen: dict[tuple[str, str], dict[str, str]] = {}
    problems = []
    for entry in entries:
        unknown = sorted(set(entry["uses"]) - set(KINDS))
        if unknown:
            problems.append(f"{entry['name']}: of unknown kind: {', '.join(unknown)}")
        for kind in KINDS:
            for name in entry["uses"].get(kind, ()):
                seen.setdefault((kind, name), {}).setdefault(entry["split"], entry["name"])
    for (kind, name), songs in seen.items():
        if len(songs) > 1:
            where = ", ".join(f"{split} ({songs[split]})" for split in SPLITS if split in songs)
            problems.append(f"{kind} {name!r} is in more than one split: {where}")
    return problems
