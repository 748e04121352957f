"""SoundFonts and drum kits: their places, and the split of each family; the table is banks.yml.

A family shares recordings: TimGM6mb has nearly four fifths of the samples of Csound's GMbank, and
Hydrogen's GMRockKit is The Black Pearl under another name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openstems import tables
from openstems.materials import Materials


@dataclass(frozen=True)
class Source:
    """SoundFont or drum kit.

    Args:
        name: unique name.
        kind: "soundfont", "hydrogen", "one_shots" or "drum_soundfont" (kits on ordinary presets).
        family: name of the family.
        split: "train", "valid" or "test".
        material: name of the material that contains it.
        path: file or folder in the material.
        profile: "clean", or "full" if the profile clean must not use it.
    """

    name: str
    kind: str
    family: str
    split: str
    material: str
    path: str
    profile: str = "clean"


_TABLE = tables.load(__file__, "banks.yml")


def _sources(entries: dict[str, list[str]]) -> Iterator[Source]:
    for name, (kind, family, split, material, path, *profile) in entries.items():
        folder = "usr/share/hydrogen/data/drumkits/" if kind == "hydrogen" else ""
        yield Source(name, kind, family, split, material, folder + path, *profile)


SOUNDFONTS, KITS = (tuple(_sources(_TABLE[group])) for group in ("soundfonts", "kits"))
SOURCES = {source.name: source for source in (*SOUNDFONTS, *KITS)}


def usable(sources: tuple[Source, ...], split: str, materials: Materials) -> tuple[Source, ...]:
    """Return the sources that belong to a split and whose material the build may use."""
    full = materials.profile == "full"
    return tuple(
        source
        for source in sources
        if source.split == split
        and source.material in materials.names
        and (full or source.profile == "clean")
    )


def path_of(source: Source, materials: Materials) -> Path:
    """Return the path of a source."""
    return Path(materials.path(source.material)) / source.path
