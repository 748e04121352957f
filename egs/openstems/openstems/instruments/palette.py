"""Choice of an instrument for a role, and rendering with it.

A choice is a dict of plain types for the manifest; with the same random stream it renders the same
samples. Its entry `uses` names, by kind, sounds that no other split may use.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from openstems.instruments import (
    banks,
    drum_synthesizer,
    kits,
    note_libraries,
    patches,
    strings,
    synthesizer,
)
from openstems.instruments.banks import Source
from openstems.instruments.soundfont import BROKEN_PROGRAMS, DRUM_PROGRAMS, open_bank
from openstems.instruments.soundfont_file import DRUM_BANK
from openstems.materials import Materials
from openstems.music import Note
from openstems.splits import SPLITS

PROGRAMS = {
    "guitar": (24, 25, 26, 27, 28, 29, 30),
    "keys": (0, 1, 2, 4, 5, 7, 16, 17, 18),
    "bass": (32, 33, 34, 35, 36, 37, 38, 39),
    "strings": (40, 41, 42, 44, 48, 49, 50, 51),
    "pad": (48, 49, 50, 51, 52, 53, 54, 88, 89, 90, 91, 92, 93, 94, 95),
    "lead": (56, 65, 66, 68, 71, 73, 75, 80, 81, 84, 87),
    "brass": (56, 57, 60, 61, 62, 63),
    "choir": (52, 53, 54),
}
"""General MIDI programs that may replace each other."""

# Shares of the kinds of instruments for each role; unavailable kinds are left out.
_SHARES = {
    "drums": {"kit": 0.45, "soundfont": 0.2, "drum_synthesizer": 0.35},
    "bass": {"soundfont": 0.3, "synthesizer": 0.4, "strings": 0.3, "recorded_notes": 0.5},
    "guitar": {"soundfont": 0.35, "synthesizer": 0.05, "strings": 0.6, "recorded_notes": 0.5},
    "keys": {"soundfont": 0.75, "synthesizer": 0.25},
    "pad": {"soundfont": 0.45, "synthesizer": 0.55},
    "strings": {"soundfont": 0.7, "synthesizer": 0.3},
    "lead": {"soundfont": 0.45, "synthesizer": 0.55},
    "brass": {"soundfont": 0.75, "synthesizer": 0.25},
    "choir": {"soundfont": 0.8, "synthesizer": 0.2},
}
# Roles for which kits often have several drums.
_PICKED = ("kick", "snare", "closed_hat", "open_hat", "crash", "ride")


def choose(role: str, split: str, materials: Materials, rng: np.random.Generator) -> dict[str, Any]:
    """Return a random instrument.

    Args:
        role: a role of `music.ROLES` except "vocals", or "choir" for backing voices.
        split: "train", "valid" or "test", which share no instruments.
        materials: materials of the build; synthetic instruments do without.
        rng: random stream.

    Returns:
        Kind, source or mode, program and parameters, as types of JSON.

    Raises:
        ValueError: for an unknown role or split.
    """
    if role not in _SHARES or split not in SPLITS:
        raise ValueError(f"no instruments for the role {role!r} in the split {split!r}")
    shares = dict(_SHARES[role])
    fonts = banks.usable(banks.SOUNDFONTS, split, materials)
    kit_sources = banks.usable(banks.KITS, split, materials)
    if not fonts:
        shares.pop("soundfont", None)
    if not kit_sources:
        shares.pop("kit", None)
    libraries = note_libraries.available(role, split, materials)
    if not libraries:
        shares.pop("recorded_notes", None)
    names = sorted(shares)
    weights = np.array([shares[name] for name in names])
    kind = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    choice: dict[str, Any] = {"role": role, "split": split, "kind": kind}
    if kind == "kit":
        return choice | _sampled_kit(kit_sources, rng)
    if kind == "soundfont":
        return choice | _soundfont(role, fonts, rng)
    if kind == "recorded_notes":
        return choice | _recorded_notes(libraries, rng)
    if kind == "drum_synthesizer":
        return choice | _own(kind, drum_synthesizer.SPLIT_MODES[split], rng)
    if kind == "strings":
        return choice | _own(kind, strings.SPLIT_BODIES[split], rng, strings.MANNERS[role])
    shapes = patches.SHAPES["pad" if role == "choir" else role]
    return choice | _own(kind, patches.SPLIT_WAVES[split], rng, shapes)


def render(
    choice: dict[str, Any],
    notes: Iterable[Note],
    samples: int,
    rng: np.random.Generator,
    materials: Materials,
) -> np.ndarray:
    """Render notes with a chosen instrument.

    Args:
        choice: result of `choose`, possibly read from JSON.
        notes: the notes, in any order.
        samples: length of the result.
        rng: random stream of the performance.
        materials: materials of the build.

    Returns:
        Float32 of shape (2, samples).
    """
    notes = tuple(sorted(notes, key=lambda note: (note.start, note.pitch)))
    kind = choice["kind"]
    if kind == "kit":
        return _render_kit(choice, notes, samples, rng, materials)
    if kind == "soundfont":
        bank = open_bank(banks.path_of(banks.SOURCES[choice["source"]], materials))
        drum_bank = DRUM_BANK if choice["role"] == "drums" else None
        return bank.render(
            notes, samples, choice["program"], cents=choice["cents"], drum_bank=drum_bank
        )
    if kind == "recorded_notes":
        library = note_libraries.LIBRARIES[choice["source"]]
        recorded = note_libraries.open_library(library, materials)
        return recorded.render(notes, samples, rng, choice["cents"])
    play = {
        "drum_synthesizer": drum_synthesizer.render,
        "strings": strings.render,
        "synthesizer": synthesizer.render,
    }[kind]
    return play(notes, samples, choice["parameters"], rng)


def _pick(items: Iterable[Any], rng: np.random.Generator) -> Any:
    items = tuple(items)
    return items[int(rng.integers(len(items)))]


def _own(
    kind: str, modes: tuple[str, ...], rng: np.random.Generator, manners: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return a random synthetic instrument."""
    mode = _pick(modes, rng)
    if kind == "drum_synthesizer":
        parameters = drum_synthesizer.parameters(mode, rng)
    else:
        module = strings if kind == "strings" else patches
        parameters = module.parameters(_pick(manners, rng), mode, rng)
    uses = {"synthesizer_mode": [f"{kind} {mode}"]}
    return {"mode": mode, "parameters": parameters, "material": None, "uses": uses}


def _soundfont(role: str, fonts: tuple[Source, ...], rng: np.random.Generator) -> dict[str, Any]:
    font = _pick(fonts, rng)
    drums = role == "drums"
    candidates = DRUM_PROGRAMS[font.family] if drums else PROGRAMS[role]
    programs = [p for p in candidates if drums or p not in BROKEN_PROGRAMS[font.name]]
    return {
        "source": font.name,
        "material": font.material,
        "program": int(_pick(programs, rng)),
        "cents": 0.0 if drums else round(float(rng.normal(0, 4)), 2),
        "uses": {"soundfont_family": [font.family]},
    }


def _recorded_notes(
    libraries: tuple[note_libraries.Library, ...], rng: np.random.Generator
) -> dict[str, Any]:
    library = _pick(libraries, rng)
    return {
        "source": library.name,
        "material": library.material,
        "program": int(_pick(library.programs, rng)),
        "cents": round(float(rng.normal(0, 4)), 2),
        "uses": {"recording": [library.name]},
    }


def _sampled_kit(sources: tuple[Source, ...], rng: np.random.Generator) -> dict[str, Any]:
    source = _pick(sources, rng)
    return {
        "source": source.name,
        "material": source.material,
        "picks": {role: int(rng.integers(60)) for role in _PICKED},
        "cents": round(float(np.clip(rng.normal(0, 60), -150, 150)), 1),
        "width": round(float(rng.uniform(0.2, 1.0)), 3) * (-1 if rng.random() < 0.5 else 1),
        "uses": {"kit_family": [source.family]},
    }


def _render_kit(
    choice: dict[str, Any],
    notes: tuple[Note, ...],
    samples: int,
    rng: np.random.Generator,
    materials: Materials,
) -> np.ndarray:
    source = banks.SOURCES[choice["source"]]
    path = banks.path_of(source, materials)
    if source.kind == "drum_soundfont":
        return open_bank(path).render(notes, samples, 0, drum_bank=0)
    if source.kind == "one_shots":
        kit = kits.open_one_shots(
            path / "sonic-pi/samples", path / f"doc/{source.material}/copyright"
        )
    else:
        kit = kits.open_hydrogen(path)
    return kit.render(
        notes, samples, rng, picks=choice["picks"], cents=choice["cents"], width=choice["width"]
    )
