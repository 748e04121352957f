"""Splits, which share no sounds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SPLITS = ("train", "valid", "test")

# Kinds of ingredients that splits may not share. An entry of the manifest lists, under "uses", the
# names of each kind that the song is made of.
KINDS = ("piece", "soundfont_family", "kit_family", "speaker", "synthesizer_mode", "recording")


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
