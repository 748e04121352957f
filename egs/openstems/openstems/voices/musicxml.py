"""Writer of MusicXML for the singing synthesiser."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree

DIVISIONS = 48
"""Units in a quarter note."""
UNIT = 0.01
"""Seconds in a unit, which determine the tempo."""
TEMPO = 60 / (DIVISIONS * UNIT)
MEASURE = 4 * DIVISIONS
STEPS = "CCDDEFFGGAAB"
SHARPS = (1, 3, 6, 8, 10)


@dataclass(frozen=True)
class Sung:
    """Note or rest.

    Args:
        length: in units.
        pitch: MIDI number; None for a rest.
        lyric: lyric.
    """

    length: int
    pitch: int | None = None
    lyric: str = ""


def document(notes: Iterable[Sung]) -> bytes:
    """Return one voice in 4/4 as a partwise score, with ties over bar lines.

    Args:
        notes: consecutive notes.
    """
    score = ElementTree.Element("score-partwise", version="2.0")
    listed = ElementTree.SubElement(
        ElementTree.SubElement(score, "part-list"), "score-part", id="P1"
    )
    ElementTree.SubElement(listed, "part-name").text = "voice"
    part = ElementTree.SubElement(score, "part", id="P1")
    measure, position = _measure(part, 1), 0
    for note in notes:
        left = note.length
        while left > 0:
            if position == MEASURE:
                measure, position = _measure(part, len(part) + 1), 0
            length = min(left, MEASURE - position)
            _note(measure, note, length, first=left == note.length, last=left == length)
            left -= length
            position += length
    if position < MEASURE:
        _note(measure, Sung(MEASURE - position), MEASURE - position, first=True, last=True)
    return ElementTree.tostring(score, encoding="utf-8", xml_declaration=True)


def _measure(part: ElementTree.Element, number: int) -> ElementTree.Element:
    measure = ElementTree.SubElement(part, "measure", number=str(number))
    if number == 1:
        attributes = ElementTree.SubElement(measure, "attributes")
        _texts(attributes, divisions=DIVISIONS)
        _texts(ElementTree.SubElement(attributes, "key"), fifths=0)
        _texts(ElementTree.SubElement(attributes, "time"), beats=4, **{"beat-type": 4})
        _texts(ElementTree.SubElement(attributes, "clef"), sign="G", line=2)
        direction = ElementTree.SubElement(measure, "direction")
        ElementTree.SubElement(direction, "sound", tempo=f"{TEMPO:g}")
    return measure


def _note(measure: ElementTree.Element, note: Sung, length: int, first: bool, last: bool) -> None:
    element = ElementTree.SubElement(measure, "note")
    if note.pitch is None:
        ElementTree.SubElement(element, "rest")
    else:
        pitch = ElementTree.SubElement(element, "pitch")
        _texts(pitch, step=STEPS[note.pitch % 12])
        if note.pitch % 12 in SHARPS:
            _texts(pitch, alter=1)
        _texts(pitch, octave=note.pitch // 12 - 1)
    _texts(element, duration=length)
    if note.pitch is not None and not first:
        ElementTree.SubElement(element, "tie", type="stop")
    if note.pitch is not None and not last:
        ElementTree.SubElement(element, "tie", type="start")
    _texts(element, voice=1)
    if note.pitch is not None and first:
        lyric = ElementTree.SubElement(element, "lyric")
        _texts(lyric, syllabic="single", text=note.lyric)


def _texts(parent: ElementTree.Element, **children: object) -> None:
    for tag, text in children.items():
        ElementTree.SubElement(parent, tag).text = str(text)
