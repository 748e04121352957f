"""Accompaniment patterns as text, one character per sixteenth note."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """Kind of accompaniment.

    Args:
        style: "block" plays all tones at once, "strum" one shortly after the other, "power" root,
            fifth and octave, "order" single tones by their number, "top" the highest voice alone,
            "riff" a figure on the chord's pentatonic scale.
        low: lowest pitch.
        high: highest pitch.
        voices: number of tones in a chord.
        rhythms: texts for bars of 16 sixteenths. X and x are strokes, u a softer upstroke, m a
            muted stroke; "-" holds, "." is silent, a digit is a tone of the voicing. "=", at the
            beginning, holds the notes of the previous bar if their chord continues, and is a stroke
            otherwise.
        rhythms_12: the same for bars of 12.
        velocity: velocity of a plain stroke.
    """

    style: str
    low: int
    high: int
    voices: int
    rhythms: tuple[str, ...]
    rhythms_12: tuple[str, ...]
    velocity: int = 84


_HELD = "X---------------"
_HELD_12 = "X-----------"
_TIED = "=---------------"
_TIED_12 = "=-----------"
_SIX = ("X-----x-----", "X---x-x---x-")
_SIX_ORDER = ("0-1-2-3-2-1-", "0-2-3-2-1-2-")

KINDS = {
    "power_long": Kind(
        "power", 40, 57, 3, (_HELD, "X-------X-------", "X-----X---------"), (_HELD_12, *_SIX), 98
    ),
    "power_tied": Kind("power", 40, 57, 3, (_TIED,), (_TIED_12,), 98),
    "power_eighths": Kind(
        "power",
        40,
        57,
        3,
        ("X-x-x-x-X-x-x-x-", "X-x-x-X-x-x-X-x-", "x-x-x-x-x-x-x-x-"),
        ("X-x-x-X-x-x-",),
        96,
    ),
    "power_push": Kind(
        "power",
        40,
        57,
        3,
        ("X--X--X-X--X--X-", "X-----X-..X-X---", "X--X--X---X-X-X-"),
        ("X---X-X---X-",),
        98,
    ),
    "palm": Kind(
        "power",
        40,
        52,
        3,
        ("X-m-m-m-m-m-X-m-", "m-m-m-m-m-m-m-m-", "X-m-m-X-m-m-X-m-"),
        ("m-m-m-m-m-m-",),
        92,
    ),
    "gallop": Kind(
        "power",
        40,
        52,
        3,
        ("X-mmm-mmX-mmm-mm", "m-mmm-mmm-mmX-X-", "X-mmm-mmm-mmm-mm"),
        ("X-mmm-X-mmm-",),
        96,
    ),
    "strum": Kind(
        "strum",
        45,
        72,
        5,
        ("X---x-u---u-x-u-", "X---x-u-X---x-u-", "X-u-x-u-X-u-x-u-", "X-----u---u-x-u-"),
        ("X---u-x-u-u-", "X-x-u-X-x-u-", "X---x-x-"[:6] * 2),
        82,
    ),
    "strum_tied": Kind("strum", 40, 69, 5, (_TIED,), (_TIED_12,), 92),
    "strum_slow": Kind("strum", 45, 72, 5, ("X-------x---x-u-", _HELD), ("X-----x---u-",), 80),
    "picked": Kind(
        "order",
        45,
        72,
        5,
        ("0-2-3-2-4-2-3-2-", "0-3-2-4-3-2-4-3-", "0-2-4-3-2-4-3-2-", "0-1-2-3-4-3-2-1-"),
        _SIX_ORDER,
        78,
    ),
    "skank": Kind(
        "block",
        55,
        76,
        3,
        ("..x...x...x...x.", "....x.......x...", "..xx..x...xx..x."),
        ("..x...x...x.",),
        88,
    ),
    "scratch": Kind(
        "block",
        58,
        79,
        3,
        ("x.mmx.xm.mx.m.xm", "m.x.mmx.m.xmm.x.", "..xm..xm.mx...x.", "x..x..m.x.mm..x."),
        ("x.mmx.x.mmx.",),
        84,
    ),
    "block": Kind(
        "block",
        53,
        74,
        4,
        ("X-------x-----x-", "X-----x-----x---", "X-------X-------", "X--x--x-----x---"),
        _SIX,
        80,
    ),
    "quarters": Kind(
        "block", 53, 74, 4, ("X---x---x---x---",), ("X---x---x---", "X-----x-----"), 78
    ),
    "pumping": Kind(
        "block", 53, 74, 3, ("X-x-x-x-x-x-x-x-", "x.x.x.x.x.x.x.x."), ("X-x-x-x-x-x-",), 78
    ),
    "broken": Kind(
        "order",
        48,
        76,
        5,
        ("0-1-2-3-2-1-2-1-", "0-2-1-2-3-2-1-2-", "0---2---3---2---", "0-2-4-2-3-2-4-2-"),
        _SIX_ORDER,
        74,
    ),
    "held": Kind("block", 52, 76, 4, (_HELD,), (_HELD_12,), 70),
    "tied": Kind("block", 48, 74, 4, (_TIED,), (_TIED_12,), 74),
    "low_held": Kind("block", 45, 67, 3, (_HELD,), (_HELD_12,), 70),
    "line": Kind(
        "top", 60, 84, 3, (_HELD, "X-------x-------", "X-----------x---"), (_HELD_12,), 78
    ),
    "marcato": Kind(
        "block", 55, 79, 3, ("X-x-x-x-X-x-x-x-", "X--X--X-X--X--X-"), ("X-x-x-X-x-x-",), 84
    ),
    "arpeggio": Kind(
        "order",
        57,
        84,
        4,
        (
            "0123012301230123",
            "0321032103210321",
            "0.2.1.3.2.1.3.2.",
            "012321012321" + "0123",
            "0.1.2.3.0.1.2.3.",
        ),
        ("012321012321",),
        80,
    ),
    "stabs": Kind(
        "block",
        58,
        79,
        3,
        (
            "X.....x.........",
            "..x...x.X.......",
            "......x...X.....",
            "X..x............",
            "............X.X.",
        ),
        ("X.......x...",),
        102,
    ),
    "bubble": Kind(
        "block", 55, 74, 3, ("..xx..x...xx..x.", ".xx..xx..xx..xx."), ("..x...x...x.",), 72
    ),
    "house": Kind(
        "block",
        55,
        77,
        4,
        ("..x..x..x..x..x.", "x..x..x...x..x..", "..x...x...x...x."),
        ("..x...x...x.",),
        88,
    ),
    "bossa": Kind(
        "block", 52, 72, 4, ("x--x--x---x--x--", "x--x--x-..x--x--"), ("X---x---x---",), 76
    ),
    "riff": Kind("riff", 40, 62, 1, (), (), 98),
    "power_riff": Kind("riff", 40, 55, 2, (), (), 100),
    "hook": Kind("riff", 64, 84, 1, (), (), 90),
}
"""Kinds of accompaniment by name."""
