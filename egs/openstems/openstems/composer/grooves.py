"""Drum grooves as text: one line per instrument, one character per sixteenth note.

X is an accent, x a stroke, o a soft stroke, g a ghost note, r a roll of two thirty-second notes,
"." silence. Shorter lines repeat; a groove of 32 characters lasts two bars of 4/4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DRUMS = {
    "kick": 36,
    "rim": 37,
    "snare": 38,
    "clap": 39,
    "floor": 41,
    "hat": 42,
    "low": 45,
    "pedal": 44,
    "open": 46,
    "mid": 47,
    "crash": 49,
    "high": 50,
    "ride": 51,
    "china": 52,
    "bell": 53,
    "tambourine": 54,
    "splash": 55,
    "cowbell": 56,
    "crash2": 57,
    "conga_high": 63,
    "conga_low": 64,
    "shaker": 70,
    "claves": 75,
}
"""General MIDI percussion pitches by name."""

LEVELS = {"X": 116, "x": 98, "o": 74, "g": 40, "r": 78}


@dataclass(frozen=True)
class Groove:
    """Drum pattern.

    Args:
        name: name of the groove.
        steps: sixteenth notes per bar: 16 for 4/4, 12 for 3/4 and 6/8.
        lines: pattern of each instrument of `DRUMS`.
    """

    name: str
    steps: int
    lines: Mapping[str, str]

    @property
    def kicks(self) -> tuple[int, ...]:
        """Return the steps of the first bar on which the kick sounds."""
        line = self.lines.get("kick", "")[: self.steps]
        return tuple(step for step, mark in enumerate(line) if mark != ".")


def _groove(name: str, steps: int = 16, **lines: str) -> tuple[str, Groove]:
    return name, Groove(name, steps, {drum: text.replace(" ", "") for drum, text in lines.items()})


_BACKBEAT = ".... X... .... X..."
_EIGHTHS = "x.o. x.o. x.o. x.o."
_SIXTEENTHS = "xgog xgog xgog xgog"
_FOUR = "X... X... X... X..."

GROOVES: dict[str, Groove] = dict(
    [
        _groove("rock", kick="X... .... x.x. ....", snare=_BACKBEAT, hat=_EIGHTHS),
        _groove("rock_push", kick="X... ..x. .xx. ....", snare=_BACKBEAT, hat=_EIGHTHS),
        _groove(
            "rock_two_bars",
            kick="X..x .... x.x. .... X..x ..x. ..x. ..x.",
            snare=".... X... .... X... .... X... .... X.gg",
            hat=_EIGHTHS,
        ),
        _groove("rock_quarters", kick="X.x. .... X.x. ....", snare=_BACKBEAT, open=_FOUR),
        _groove("pop", kick="X... ..x. X... ....", snare=_BACKBEAT, hat=_EIGHTHS),
        _groove(
            "pop_claps", kick="X..x ..x. ..x. ....", clap=_BACKBEAT, snare=_BACKBEAT, hat=_EIGHTHS
        ),
        _groove(
            "four_on_the_floor",
            kick=_FOUR,
            clap=_BACKBEAT,
            open="..x. ..x. ..x. ..x.",
            hat="x..g x..g x..g x..g",
        ),
        _groove(
            "house_shaker",
            kick=_FOUR,
            clap=_BACKBEAT,
            shaker=_SIXTEENTHS,
            open="..x. ..x. ..x. ..x.",
            rim="...o ..o. .... .o..",
        ),
        _groove(
            "techno",
            kick=_FOUR,
            hat="..x. ..x. ..x. ..xg",
            ride="..o. ..o. ..o. ..o.",
            clap=".... x... .... x..x",
        ),
        _groove(
            "disco",
            kick=_FOUR,
            snare=_BACKBEAT,
            hat="xo.o xo.o xo.o xo.o",
            open="..x. ..x. ..x. ..x.",
            tambourine=".... o... .... o...",
        ),
        _groove("half_time", kick="X... ..x. .... ..x.", snare=".... .... X... ....", hat=_EIGHTHS),
        _groove(
            "half_time_heavy",
            kick="X..x ..x. ...x x.x.",
            snare=".... .... X... ....",
            china="X... x... x... x...",
        ),
        _groove(
            "punk",
            kick="X... X... X... X...",
            snare="..X. ..X. ..X. ..X.",
            hat="x.x. x.x. x.x. x.x.",
        ),
        _groove("d_beat", kick="X..x ..x. X..x ..x.", snare=_BACKBEAT, crash="x... x... x... x..."),
        _groove(
            "double_bass", kick="XxxxXxxxXxxxXxxx", snare=_BACKBEAT, bell="x... x... x... x..."
        ),
        _groove(
            "metal_gallop", kick="X.xx X.xx X.xx X.xx", snare=_BACKBEAT, hat="x... x... x... x..."
        ),
        _groove(
            "blast",
            kick="X.X. X.X. X.X. X.X.",
            snare=".x.x .x.x .x.x .x.x",
            china="X... x... X... x...",
        ),
        _groove("funk", kick="X.x. ..g. ..x. .x..", snare=".... X..g .g.g X..g", hat=_EIGHTHS),
        _groove(
            "funk_sixteenths",
            kick="X..x ..x. ..x. ..x.",
            snare="..g. X..g .g.. X.g.",
            hat="xoxo xoxo xoxo xox.",
            open=".... .... .... ...x",
        ),
        _groove(
            "funk_two_bars",
            kick="X..x .... x.x. .... X.x. .... .xx. ....",
            snare=".... X.g. .g.. X..g ..g. X..g .g.x .g..",
            hat=_EIGHTHS,
        ),
        _groove(
            "soul",
            kick="X... ..x. x... ..x.",
            snare="x... X... x... X...",
            tambourine="..o. x.o. ..o. x.o.",
        ),
        _groove(
            "boom_bap",
            kick="X..x ...x ..x. ....",
            snare=".... X... .... X..g",
            hat="x.x. x.xo x.x. x.x.",
        ),
        _groove(
            "boom_bap_lazy",
            kick="X... ..xx ..x. .... X..x .... x.x. ....",
            snare=".... X... .... X... .... X..g .g.. X...",
            hat=_EIGHTHS,
        ),
        _groove(
            "trap",
            kick="X... ..x. ..x. .... X..x .... ...x ..x.",
            snare=".... .... X... .... .... .... X... ....",
            hat="x.x. x.x. x.r. x.xr x.x. xrx. x.x. rrx.",
        ),
        _groove(
            "trap_triplets",
            kick="X... .... ..x. .x..",
            clap=".... .... X... ....",
            hat="x.xr x.x. xr.x x.rr",
            open=".... ..x. .... ....",
        ),
        _groove(
            "one_drop",
            kick=".... .... X... ....",
            rim=".... .... X... ....",
            hat="x.o. x.o. x.o. x.og",
        ),
        _groove("steppers", kick=_FOUR, rim=".... .... X... ...x", hat="..x. ..x. ..x. ..xo"),
        _groove(
            "rockers",
            kick="X... X... X... X..x",
            snare=".... .... X... ....",
            hat="x.og x.og x.og x.og",
            rim="...o ..o. .... .o..",
        ),
        _groove("shuffle", kick="X... ..x. X... ..x.", snare=_BACKBEAT, hat="x.x. x.x. x.x. x.x."),
        _groove(
            "shuffle_ghosts",
            kick="X... ..x. x.x. ....",
            snare="..g. X.g. ..g. X.g.",
            ride="x.o. x.o. x.o. x.o.",
        ),
        _groove(
            "swing_ride",
            kick="g... g... g... g.x.",
            ride="x... x.o. x... x.o.",
            pedal=".... x... .... x...",
            snare="...... g... .. ..g.",
        ),
        _groove("ballad", kick="X... .... x.x. ....", rim=".... x... .... x...", hat=_EIGHTHS),
        _groove(
            "ballad_big", kick="X... ...x x... ....", snare=_BACKBEAT, ride="x.o. x.o. x.o. x.o."
        ),
        _groove(
            "bossa",
            kick="x..x x..x x..x x..x",
            rim="x..x ..x. ..x. .x..",
            hat="xoxo xoxo xoxo xoxo",
        ),
        _groove(
            "train",
            kick="x... x... x... x...",
            snare="xgXg xgXg xgXg xgXg",
            pedal="..o. ..o. ..o. ..o.",
        ),
        _groove(
            "country_two", kick="X... .... X... ....", rim=_BACKBEAT, hat="x.x. x.x. x.x. x.x."
        ),
        _groove("motorik", kick="X.x. ..x. X.x. ..x.", snare=_BACKBEAT, hat="x.x. x.x. x.x. x.x."),
        _groove(
            "breakbeat",
            kick="X.x. .... ..xx ....",
            snare=".... X..g .g.. X..g",
            ride="x.x. x.x. x.x. x.x.",
        ),
        _groove(
            "breakbeat_two_bars",
            kick="X.x. .... ..x. .... X.x. .... ..x. x...",
            snare=".... X..x .g.. X..g .... X..g .x.. ..x.",
            hat=_EIGHTHS,
        ),
        _groove(
            "drum_and_bass",
            kick="X... .... ..x. ....",
            snare=".... X..g .g.. X...",
            hat=_SIXTEENTHS,
        ),
        _groove("dembow", kick=_FOUR, snare="...x ..x. ...x ..x.", shaker=_SIXTEENTHS),
        _groove(
            "electro",
            kick="X..x ..x. X... ..x.",
            clap=_BACKBEAT,
            hat="x.xo x.xo x.xo x.xo",
            cowbell="...o .... ..o. ....",
        ),
        _groove(
            "synth_pop", kick="X... X... X... X.x.", snare=_BACKBEAT, hat="xoxo xoxo xoxo xoxo"
        ),
        _groove("stomp", kick="X.X. .... X.X. ....", clap=_BACKBEAT, snare=_BACKBEAT),
        _groove(
            "toms",
            kick="X... ..x. X... ..x.",
            floor="x.xx .xx. x.xx .xxx",
            low="...o .... .... o...",
            snare=".... .... .... X...",
        ),
        _groove(
            "latin",
            kick="x..x x..x x..x x..x",
            conga_high="x.o. ..xo x.o. ..x.",
            conga_low="...x ...x ...x ...x",
            cowbell="x... x.x. x... x.x.",
            snare=".... .... .... ..g.",
        ),
        _groove("six_eight", 12, kick="X..... ....x.", snare="...... X.....", hat="x.o.o. x.o.o."),
        _groove(
            "six_eight_big", 12, kick="X...x. ....x.", snare="...... X....g", ride="x.o.o. x.o.o."
        ),
        _groove(
            "six_eight_soft", 12, kick="x..... ......", rim="...... x.....", hat="x.o.o. x.o.o."
        ),
        _groove("waltz", 12, kick="X... .... ....", snare=".... x... x...", hat="x.o. x.o. x.o."),
        _groove(
            "waltz_rock", 12, kick="X... ..x. ....", snare=".... .... X...", ride="x.o. x.o. x.o."
        ),
    ]
)
"""All grooves by name."""
