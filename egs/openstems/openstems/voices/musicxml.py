"""Writer of MusicXML for the singing synthesiser."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DIVISIONS = 48
"""Units in a quarter note."""
UNIT = 0.01
"""Seconds in a unit, which determine the tempo."""
MEASURE = 4 * DIVISIONS
STEPS = "CCDDEFFGGAAB"
SHARPS = (1, 3, 6, 8, 10)

_HEAD = f"""<?xml version='1.0' encoding='utf-8'?>
<score-partwise version="2.0">
<part-list><score-part id="P1"><part-name>voice</part-name></score-part></part-list>
<part id="P1"><measure number="1">
<attributes><divisions>{DIVISIONS}</divisions><key><fifths>0</fifths></key>
<time><beats>4</beats><beat-type>4</beat-type></time>
<clef><sign>G</sign><line>2</line></clef></attributes>
<direction><sound tempo="{60 / (DIVISIONS * UNIT):g}" /></direction>
"""
_TAIL = "</measure></part></score-partwise>"


@dataclass(frozen=True)
class Sung:
    """Note or rest.

    Args:
        length: in units.
        pitch: MIDI number; None for a rest.
        lyric: lyric, without characters that XML reserves.
    """

    length: int
    pitch: int | None = None
    lyric: str = ""


def document(notes: Iterable[Sung]) -> bytes:
    """Return one voice in 4/4 as a partwise score, with ties over bar lines.

    Args:
        notes: consecutive notes.
    """
    text, measure, position = _HEAD, 1, 0
    for note in notes:
        left = note.length
        while left > 0:
            if position == MEASURE:
                measure, position = measure + 1, 0
                text += f'</measure><measure number="{measure}">'
            length = min(left, MEASURE - position)
            text += _note(note, length, first=left == note.length, last=left == length)
            left -= length
            position += length
    if position < MEASURE:
        text += _note(Sung(0), MEASURE - position, first=True, last=True)
    return (text + _TAIL).encode()


def _note(note: Sung, length: int, first: bool, last: bool) -> str:
    duration = f"<duration>{length}</duration>"
    if note.pitch is None:
        return f"<note><rest />{duration}<voice>1</voice></note>"
    sharp = "<alter>1</alter>" if note.pitch % 12 in SHARPS else ""
    step, octave = STEPS[note.pitch % 12], note.pitch // 12 - 1
    ties = ("" if first else '<tie type="stop" />') + ("" if last else '<tie type="start" />')
    lyric = f"<lyric><syllabic>single</syllabic><text>{note.lyric}</text></lyric>" if first else ""
    return (
        f"<note><pitch><step>{step}</step>{sharp}<octave>{octave}</octave></pitch>"
        f"{duration}{ties}<voice>1</voice>{lyric}</note>"
    )
