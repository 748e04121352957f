"""Materials that the profile "full" adds: GPL and CC-BY-SA, for local use."""

from .material import Item, Material, debian_package


def _apt(
    name: str, version: str, holds: str, path: str, licence: str, credit: str, megabytes: float
) -> Material:
    """Return a Debian package used under one licence."""
    items = (Item(path, licence, credit, profile="full"),)
    return debian_package(name, version, holds, items, megabytes)


FULL = (
    _apt(
        "mma",
        "21.09-1",
        "2000 grooves of whole bands, for any chords",
        "usr/share/mma/",
        "GPL-2.0-or-later",
        "Bob van der Poel",
        4,
    ),
    _apt(
        "avldrums.lv2-soundfont",
        "0.5.2-2",
        "two sampled drum kits",
        "usr/share/sounds/sf2/",
        "CC-BY-SA-3.0",
        "Glen MacArthur (AVL Drumkits)",
        25,
    ),
    _apt(
        "hydrogen-data",
        "1.2.0~beta1+dfsg-1",
        "sampled drum kits",
        "usr/share/hydrogen/data/drumkits/",
        "GPL-2.0-or-later",
        "Alessandro Cominu and others",
        7,
    ),
    _apt(
        "timgm6mb-soundfont",
        "1.3-5",
        "a General MIDI SoundFont",
        "usr/share/sounds/sf2/TimGM6mb.sf2",
        "GPL-2.0",
        "Tim Brechbill",
        5,
    ),
    _apt(
        "openttd-openmsx",
        "0.4.2-1",
        "MIDI: pop, rock and jazz bands",
        "usr/share/games/openttd/baseset/openmsx/",
        "GPL-2.0",
        "contributors to OpenMSX",
        0.1,
    ),
    _apt(
        "planetblupi-music-midi",
        "1.14.2-3",
        "MIDI: long loops",
        "usr/share/planetblupi/",
        "GPL-3.0-or-later",
        "Denis Dumoulin, Daniel Roux",
        0.2,
    ),
    _apt(
        "klettres-data",
        "4:22.12.3-1",
        "recorded syllables in 20 languages",
        "usr/share/klettres/",
        "GPL-2.0-or-later",
        "Anne-Marie Mahfouf and the speakers of KLettres",
        40,
    ),
    _apt(
        "ktuberling-data",
        "4:22.12.3-1",
        "recorded words in 26 languages",
        "usr/share/ktuberling/",
        "GPL-2.0-or-later",
        "Albert Astals Cid and the speakers of KTuberling",
        47,
    ),
    _apt(
        "fillets-ng-data-cs",
        "1.0.1-1.1",
        "recorded lines of actors",
        "usr/share/games/fillets-ng/",
        "GPL-2.0",
        "ALTAR interactive",
        39,
    ),
    _apt(
        "fretsonfire-songs-muldjord",
        "2.dfsg-2.1",
        "recorded electric guitars",
        "usr/share/games/fretsonfire/data/songs/",
        "CC-BY-SA-3.0",
        "El Senator (Muldjord)",
        29,
    ),
    Material(
        name="espeak-ng",
        client="apt",
        package="espeak-ng",
        version="1.51+dfsg-10+deb12u2",
        also=("espeak-ng-data", "libespeak-ng1"),
        holds="synthetic voices in many languages",
        items=(Item("usr/", "GPL-3.0-or-later", "Jonathan Duddington, Reece Dunn", "full"),),
        licence_files=("usr/share/doc/espeak-ng/copyright",),
        megabytes=5,
    ),
)
