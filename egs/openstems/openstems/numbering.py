"""Numbering of songs within splits, independent of the number of songs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from .errors import UserError
from .splits import SPLITS


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
