"""Drums: grooves that follow the energy of the form, fills, crashes and ghost notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import tables
from .form import SectionPlan
from .grid import Event, Meter, pick

DRUMS = {
    "kick": 36, "rim": 37, "snare": 38, "clap": 39, "floor": 41, "hat": 42, "low": 45, "pedal": 44,
    "open": 46, "mid": 47, "crash": 49, "high": 50, "ride": 51, "china": 52, "bell": 53,
    "tambourine": 54, "splash": 55, "cowbell": 56, "crash2": 57, "conga_high": 63, "conga_low": 64,
    "shaker": 70, "claves": 75,
}  # fmt: skip
"""General MIDI percussion pitches by name."""
LEVELS = {"X": 116, "x": 98, "o": 74, "g": 40, "r": 78}
_ACCENTS = {0: 1.0, 2: 0.9}
_CYMBALS = ("hat", "ride", "open", "shaker", "bell", "china", "crash")

FILLS = {
    "snare_roll": ("snare snare snare snare", "x.x. xxxx"),
    "toms_down": ("high mid low floor", "xxxx xxxx"),
    "toms_eighths": ("high high mid floor", "x.x. x.xx"),
    "around": ("snare high mid floor", "x.xx xx.x"),
    "syncopated": ("snare kick snare floor", "x..x ..x."),
    "build": ("snare snare snare snare", "x.x. xxxx"),
    "kick_snare": ("snare snare kick snare", "x.xk x.kx"),
    "claps": ("clap clap snare clap", "x..x x.x."),
    "stop": ("snare snare snare snare", "x... ...x"),
}
"""Fills: the drum of each quarter of the fill, and the rhythm of each of its beats."""


@dataclass(frozen=True)
class Groove:
    """Drum pattern, as described in patterns.yml.

    Args:
        steps: sixteenth notes per bar: 16 for 4/4, 12 for 3/4 and 6/8.
        lines: pattern of each instrument of `DRUMS`.
    """

    steps: int
    lines: Mapping[str, str]

    @property
    def kicks(self) -> tuple[int, ...]:
        """Return the steps of the first bar on which the kick sounds."""
        line = self.lines.get("kick", "")[: self.steps]
        return tuple(step for step, mark in enumerate(line) if mark != ".")


def _groove(lines: dict[str, str], steps: int = 16) -> Groove:
    return Groove(steps, {drum: text.replace(" ", "") for drum, text in lines.items()})


GROOVES = {
    name: _groove(lines, lines.pop("steps", 16))
    for name, lines in tables.load(__file__, "patterns.yml")["grooves"].items()
}
"""All grooves by name."""


@dataclass(frozen=True)
class DrumStyle:
    """Choices of a song's drummer.

    Args:
        verse: name of the verse's groove.
        chorus: name of the chorus's groove.
        fills: names in `FILLS`.
        electronic: whether a drum machine plays, without ghost variations.
    """

    verse: str
    chorus: str
    fills: tuple[str, ...]
    electronic: bool = False


def drum_events(
    style: DrumStyle, sections: tuple[SectionPlan, ...], meter: Meter, rng: np.random.Generator
) -> list[Event]:
    """Return the drum notes of a whole song.

    Args:
        style: the grooves and fills.
        sections: the form.
        meter: metre of the grooves.
        rng: random generator.
    """
    events: list[Event] = []
    lead = pick(rng, ("hat", "ride", "open")) if rng.random() < 0.6 else "hat"
    for index, section in enumerate(sections):
        groove = groove_of(style, section)
        lines = _dressed(groove.lines, section, lead, style, rng)
        for bar in range(section.bars):
            left = section.bars - bar
            events += _bar(
                groove, lines, section.bar + bar, section.skipped + bar, meter, style, rng
            )
            opens = bar == 0 and (section.skipped == 0)
            if (opens or bar % 8 == 0) and section.energy > 0.45 and index + bar > 0:
                events += _crash(section.bar + bar, meter, 112, rng)
            elif bar % 4 == 0 and section.energy > 0.85 and rng.random() < 0.4:
                events += _crash(section.bar + bar, meter, 98, rng)
            length = _fill_beats(left, section, meter, rng)
            if length:
                events = _filled(events, section.bar + bar, length, style, section, meter, rng)
    if sections[-1].following == "" and sections[-1].name == "outro":
        events = _ended(events, sections[-1], meter, rng)
    return events


def groove_of(style: DrumStyle, section: SectionPlan) -> Groove:
    """Return the groove of a section."""
    loud = section.name == "chorus" or (section.name == "outro" and section.energy > 0.6)
    return GROOVES[style.chorus if loud else style.verse]


def _dressed(
    lines: Mapping[str, str], section: SectionPlan, lead: str, style: DrumStyle, rng
) -> dict[str, str]:
    """Return the groove's lines adapted to the section's energy: fewer, unchanged or brighter."""
    lines = dict(lines)
    energy = section.energy
    if energy < 0.25:
        kept = pick(
            rng, (("kick",), ("hat", "shaker", "ride"), ("kick", "hat"), ("kick", "rim", "clap"))
        )
        return {drum: text for drum, text in lines.items() if drum in kept}
    if energy < 0.45:
        for drum in ("snare", "clap", "crash", "open"):
            text = lines.pop(drum, None)
            if drum == "snare" and text and "rim" not in lines and rng.random() < 0.6:
                lines["rim"] = text.replace("g", ".").replace("X", "x")
        return lines
    if section.name == "chorus" and "hat" in lines and lead != "hat" and not style.electronic:
        hat = lines.pop("hat")
        lines[lead] = hat if lead == "ride" or "r" in hat else "X...X...X...X..."[: len(hat)]
        if lead == "open" and len(hat) == 12:
            lines[lead] = "x....." * 2
    if energy > 0.8 and rng.random() < 0.25:
        lines["tambourine"] = (
            "..o." * 4 if len(next(iter(lines.values()))) % 16 == 0 else "...o.." * 2
        )
    return lines


def _bar(groove, lines, bar, number, meter, style, rng) -> list[Event]:
    """Return one bar of a groove with small random variations."""
    events = []
    vary = not style.electronic and rng.random() < 0.3
    open_end = vary and "hat" in lines and rng.random() < 0.5
    for drum, text in lines.items():
        offset = (number * groove.steps) % len(text)
        for step, mark in enumerate((text * 2)[offset : offset + groove.steps]):
            if vary and drum == "kick" and mark == "." and step % 2 == 0 and rng.random() < 0.06:
                mark = "o"
            if mark == ".":
                continue
            name = drum
            if open_end and drum == "hat" and step >= groove.steps - 2:
                name = "open"
            level = LEVELS[mark] * (_ACCENTS.get(step % 4, 0.8) if drum in _CYMBALS else 1)
            beat = bar * meter.beats + step / meter.steps
            events += _strokes(name, beat, level, mark, meter)
    return events


def _strokes(drum: str, beat: float, level: float, mark: str, meter: Meter) -> list[Event]:
    step = 1 / meter.steps
    if mark == "r":
        half = step / 2
        return [Event(beat + k * half, half, DRUMS[drum], level) for k in range(2)]
    length = 2 * step if drum in ("open", "ride", "crash", "china", "bell") else step
    return [Event(beat, length, DRUMS[drum], level)]


def _crash(bar: int, meter: Meter, level: float, rng) -> list[Event]:
    drum = pick(rng, ("crash", "crash", "crash2"))
    beat = bar * meter.beats
    return [Event(beat, 2, DRUMS[drum], level), Event(beat, 0.25, DRUMS["kick"], 112)]


def _fill_beats(left: int, section: SectionPlan, meter: Meter, rng) -> int:
    """Return the number of beats of the fill at the end of this bar; 0 for none."""
    if section.energy < 0.2:
        return 0
    ends, half = left == 1, left % 4 == 1
    if not (ends and rng.random() < 0.9) and not (half and rng.random() < 0.4):
        return 0
    longest = meter.beats if ends and (section.following in ("chorus", "verse") or not ends) else 2
    return min(int(pick(rng, (1, 2, 2, 4) if ends else (1, 1, 2))), longest, meter.beats)


def _filled(events, bar, beats, style, section, meter, rng) -> list[Event]:
    """Return the events with a fill in place of the last `beats` of a bar."""
    end = (bar + 1) * meter.beats
    start = end - beats
    drums, rhythm = FILLS[pick(rng, style.fills)]
    drums, rhythm = drums.split(), rhythm.split()
    if meter.steps == 6:
        rhythm = [(beat + "x.")[:6] for beat in rhythm]
    kept = [event for event in events if event.beat < start - 1e-6 or event.pitch == DRUMS["kick"]]
    total = beats * meter.steps
    full = 0.75 + 0.25 * section.energy
    for step in range(total):
        mark = rhythm[(step // meter.steps) % len(rhythm)][step % meter.steps]
        if mark == "." or (mark != "k" and rng.random() < 0.08):
            continue
        drum = "kick" if mark == "k" else drums[step * len(drums) // total]
        rise = 0.7 + 0.3 * step / max(1, total - 1)
        accent = 1.0 if step % 2 == 0 else 0.86
        level = 118 * full * rise * accent
        kept.append(Event(start + step / meter.steps, 1 / meter.steps, DRUMS[drum], level))
    return kept


def _ended(events, section, meter, rng) -> list[Event]:
    """Return the last bar of a song: one stroke that rings out."""
    start = (section.end - 1) * meter.beats
    kept = [event for event in events if event.beat < start - 1e-6]
    last = [Event(start, 0.25, DRUMS["kick"], 114), Event(start, meter.beats, DRUMS["crash"], 114)]
    return kept + last + ([Event(start, 0.25, DRUMS["snare"], 108)] if rng.random() < 0.5 else [])
