"""Styles: tempo, grooves, bass figures, chords and instruments; the table is styles.yml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import tables
from .grid import Meter


@dataclass(frozen=True)
class Layer:
    """Instrument of a band.

    Args:
        role: see `openstems.music.ROLES`.
        programs: General MIDI programs to choose from.
        kinds: kinds of accompaniment (names in `comping.KINDS`) to choose from.
        chance: probability that a band of the style has it.
        threshold: least energy of a section in which it plays.
        doubled: probability that it is played twice, for left and right.
    """

    role: str
    programs: tuple[int, ...]
    kinds: tuple[str, ...]
    chance: float
    threshold: float = 0.0
    doubled: float = 0.0


@dataclass(frozen=True)
class Style:
    """Style of music.

    Args:
        weight: relative frequency of the style.
        tempo: lowest and highest tempo in beats a minute.
        minor: share of songs in minor.
        harmony: kinds of progressions: "pop", "slow" or a kind of `harmony.LOOPS`.
        richness: lowest and highest share of seventh and ninth chords.
        verse: grooves of the verse.
        chorus: grooves of the chorus.
        fills: names in `drums.FILLS`.
        bass: figures of the bass in the verse.
        bass_chorus: figures of the bass in the chorus.
        bass_programs: General MIDI programs of the bass.
        layers: the other instruments.
        leads: General MIDI programs of fills and solos.
        meter: the metre.
        swing: lowest and highest swing, see `grid.Grid`.
        pair: length of a swung pair, see `grid.Grid`.
        electronic: whether the drums are electronic.
    """

    weight: float
    tempo: tuple[int, int]
    minor: float
    harmony: tuple[str, ...]
    richness: tuple[float, float]
    verse: tuple[str, ...]
    chorus: tuple[str, ...]
    fills: tuple[str, ...]
    bass: tuple[str, ...]
    bass_chorus: tuple[str, ...]
    bass_programs: tuple[int, ...]
    layers: tuple[Layer, ...]
    leads: tuple[int, ...]
    meter: Meter
    swing: tuple[float, float] = (0.5, 0.5)
    pair: float = 1.0
    electronic: bool = False


_TABLE = tables.load(__file__, "styles.yml")
_METERS = {"4/4": Meter(4, 4), "3/4": Meter(3, 4), "6/8": Meter(2, 6)}


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _programs(text: str | int) -> tuple[int, ...]:
    """Return programs of a text with numbers and names of groups."""
    groups = _TABLE["programs"]
    return tuple(int(n) for word in str(text).split() for n in groups.get(word, word).split())


def _layer(entry: str | list) -> Layer:
    role, programs, kinds, *rest = _TABLE["layers"][entry] if isinstance(entry, str) else entry
    return Layer(role, _programs(programs), _words(kinds), *rest)


def _style(entry: dict[str, Any]) -> Style:
    music, drums, bass = entry["music"], entry["drums"], entry["bass"]
    return Style(
        **music
        | {"harmony": _words(music["harmony"]), "meter": _METERS[music.get("meter", "4/4")]},
        verse=_words(drums["verse"]),
        chorus=_words(drums["chorus"]),
        fills=_words(_TABLE["fills"][drums["fills"]]),
        bass=_words(bass["verse"]),
        bass_chorus=_words(bass["chorus"]),
        bass_programs=_programs(bass["programs"]),
        layers=tuple(_layer(layer) for layer in entry["layers"]),
        leads=_programs(entry["leads"]),
    )


STYLES = {name: _style(entry) for name, entry in _TABLE["styles"].items()}
"""All styles by name."""
