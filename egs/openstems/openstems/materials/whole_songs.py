"""Whole songs without stems, which a teacher separates; they are not part of built data sets.

The validation has four songs of the band with a singer, and all instrumental pieces of some
authors.
"""

from .material import Item, Material, debian_package

_UFO = "usr/share/games/ufoai/base/0music/music"
_MARS = "usr/share/games/marsshooter/audio"
_GLEST = "usr/share/games/megaglest/techs/megapack/factions"
_PERFORMOUS = "usr/share/games/performous/themes/default"
_NO_VOICE = ("vocals",)
_VOICE_ALONE = ("drums", "bass", "other")


def _apt(
    name: str,
    version: str,
    holds: str,
    items: tuple[Item, ...],
    megabytes: float,
    archives: tuple[str, ...] = (),
) -> Material:
    """Return a Debian package with music in it."""
    return debian_package(name, version, holds, items, megabytes, archives=archives, kind="songs")


def _ufo(
    patterns: tuple[str, ...],
    licence: str,
    credit: str,
    profile: str = "clean",
    split: str = "train",
) -> tuple[Item, ...]:
    return tuple(
        Item(f"{_UFO}/{pattern}.ogg", licence, credit, profile, silent=_NO_VOICE, split=split)
        for pattern in patterns
    )


def _mars(*patterns: str, split: str = "train") -> tuple[Item, ...]:
    return tuple(
        Item(f"{_MARS}/{pattern}.ogg", "CC-BY-SA-3.0", "Obsidian Shell", split=split)
        for pattern in patterns
    )


WHOLE_SONGS = (
    _apt(
        "marsshooter-data",
        "0.7.6-7",
        "twelve songs of a metal band with a singer",
        (
            *_mars(
                "music/03_fear",
                "music/07_-_Vermocsar",
                "music/09_wings_of_cruelty",
                "music/10_farewell",
                split="valid",
            ),
            *_mars("music/*", "menu", "tutorial"),
        ),
        68,
    ),
    _apt(
        "ufoai-music",
        "2.5-2",
        "instrumental pieces",
        (
            *_ufo(("David*",), "CC-BY-3.0", "David Reeves"),
            *_ufo(("azrael1",), "CC-BY-3.0", "azrael1322", split="valid"),
            *_ufo(("karlmacklin_*",), "CC-BY-3.0", "Karl Macklin", split="valid"),
            *_ufo(("van_*",), "CC-BY-3.0", 'Manuel "Vanethian" Marino', split="valid"),
            *_ufo(("Crystan-*",), "CC-BY-SA-3.0", "Christian Hoffmann"),
            *_ufo(("Marine*",), "CC-BY-SA-3.0", '"Marine" Baklund'),
            *_ufo(("TheThings-*",), "CC-BY-SA-3.0", "Slippycurb"),
            *_ufo(
                ("dynamictest-*", "returnjourney"),
                "CC-BY-SA-3.0",
                "authors named in the copyright file",
            ),
            *_ufo(
                ("alBasrahM", "greecei", "turinItalyM"),
                "public domain",
                "Independent.nu, Golgotha",
                split="valid",
            ),
            *_ufo(("Psymong*",), "GPL-2.0", "Simon Green (Psymong)", "full"),
            *_ufo(
                ("AlexFightmare", "dawn", "dbsea", "space", "ufo*"),
                "GPL-2.0",
                "authors named in the copyright file",
                "full",
            ),
        ),
        210,
        archives=("usr/share/games/ufoai/base/0music.pk3",),
    ),
    _apt(
        "zaz-data",
        "1.0.1-1",
        "four pieces",
        (Item("usr/share/games/zaz/mus*.ogg", "CC-BY-SA-3.0", "Leonard Ritter"),),
        20,
    ),
    _apt(
        "megaglest-data",
        "3.13.0-3",
        "pieces in the manner of many countries, some with voices",
        (
            Item(
                f"{_GLEST}/*/music/*.ogg",
                "CC-BY-SA-3.0",
                "the MegaGlest Team; Aminos, Margaras, manolo camp, Mattias Westlund",
            ),
        ),
        242,
    ),
    _apt(
        "nexuiz-music",
        "2.5.2-12",
        "electronic pieces",
        (
            Item(
                "usr/share/games/nexuiz/data/music/sound/cdtracks/*.ogg",
                "GPL-2.0-or-later",
                "Alientrap, Lee Vermeulen and others",
                "full",
            ),
        ),
        84,
        archives=("usr/share/games/nexuiz/data/music.pk3",),
    ),
    _apt(
        "performous",
        "1.1+git20181118-6",
        "a choir a cappella and a sung song",
        (
            Item(
                f"{_PERFORMOUS}/practice.ogg",
                "GPL-2.0-or-later",
                "Performous developers",
                "full",
                silent=_VOICE_ALONE,
            ),
            Item(f"{_PERFORMOUS}/menu.ogg", "GPL-2.0-or-later", "Performous developers", "full"),
        ),
        4,
    ),
)
