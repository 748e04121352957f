"""Styles: tempo, grooves, bass figures, chords and instruments."""

from __future__ import annotations

from dataclasses import dataclass, field

from .grid import Meter

FOUR_FOUR, THREE_FOUR, SIX_EIGHT = Meter(4, 4), Meter(3, 4), Meter(2, 6)


@dataclass(frozen=True)
class Layer:
    """Instrument of a band.

    Args:
        role: see `openstems.music.ROLES`.
        programs: General MIDI programs to choose from.
        kinds: kinds of accompaniment (names in `patterns.KINDS`) to choose from.
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
        meter: the metre.
        swing: lowest and highest swing, see `grid.Grid`.
        pair: length of a swung pair, see `grid.Grid`.
        electronic: whether the drums are electronic.
        leads: General MIDI programs of fills and solos; empty for neither.
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
    meter: Meter = field(default=FOUR_FOUR)
    swing: tuple[float, float] = (0.5, 0.5)
    pair: float = 1.0
    electronic: bool = False
    leads: tuple[int, ...] = (27, 29, 30)


_CLEAN, _DIRTY, _ACOUSTIC = (26, 27, 28), (29, 30), (24, 25)
_PIANO, _ELECTRIC_PIANO, _ORGAN = (0, 1, 2), (4, 5), (16, 17, 18)
_PADS, _STRINGS, _BRASS = (88, 89, 90, 91, 94, 95), (48, 49, 50, 44), (61, 56, 57, 62, 63)
_SYNTHS, _FINGER = (80, 81, 84, 87), (33, 34)
_SYNTH_BASS = (38, 39)
_ROCK_FILLS = ("snare_roll", "toms_down", "toms_eighths", "around", "syncopated", "kick_snare")
_MACHINE_FILLS = ("build", "claps", "stop", "snare_roll", "syncopated")

_PADS_LAYER = Layer("pad", _PADS, ("held", "low_held"), 0.6)
_STRINGS_LAYER = Layer("strings", _STRINGS, ("held", "line", "marcato"), 0.35, 0.6)

STYLES: dict[str, Style] = {
    "rock": Style(
        2.0,
        (96, 150),
        0.45,
        ("pop",),
        (0.0, 0.2),
        ("rock", "rock_push", "rock_two_bars", "toms"),
        ("rock", "rock_quarters", "rock_push"),
        _ROCK_FILLS,
        ("eighths", "root_fifth", "kick", "eighths_short", "slides"),
        ("eighths", "eighths_climb", "octaves"),
        _FINGER,
        (
            Layer(
                "guitar",
                _DIRTY,
                ("power_long", "power_eighths", "power_push", "palm"),
                1.0,
                0.55,
                0.7,
            ),
            Layer("guitar", _CLEAN, ("picked", "riff", "strum", "palm"), 0.75, 0.0, 0.2),
            Layer("keys", (*_ORGAN, 0), ("held", "block"), 0.35, 0.6),
            Layer("guitar", _DIRTY, ("riff", "power_riff"), 0.4, 0.5, 0.3),
            _STRINGS_LAYER,
        ),
    ),
    "punk": Style(
        0.8,
        (150, 180),
        0.35,
        ("pop",),
        (0.0, 0.0),
        ("punk", "d_beat", "rock"),
        ("punk", "d_beat", "rock_quarters"),
        _ROCK_FILLS,
        ("eighths", "octaves"),
        ("eighths", "eighths_climb"),
        (34, 33),
        (
            Layer("guitar", _DIRTY, ("power_eighths", "palm"), 1.0, 0.0, 0.9),
            Layer("guitar", (29, 27), ("riff", "hook"), 0.5, 0.5),
            Layer("keys", _ORGAN, ("held", "pumping"), 0.2, 0.7),
        ),
    ),
    "metal": Style(
        1.0,
        (100, 176),
        1.0,
        ("riff", "pop"),
        (0.0, 0.0),
        ("metal_gallop", "double_bass", "half_time_heavy", "d_beat"),
        ("double_bass", "half_time_heavy", "blast", "rock_quarters"),
        _ROCK_FILLS,
        ("gallop", "eighths", "sixteenths", "kick"),
        ("eighths", "pedal", "kick"),
        (34,),
        (
            Layer("guitar", (30,), ("gallop", "palm", "power_riff"), 1.0, 0.0, 1.0),
            Layer("guitar", (30, 29), ("power_long", "riff", "hook"), 0.6, 0.6, 0.4),
            Layer("pad", (52, 91, 48), ("held", "low_held"), 0.35, 0.5),
            _STRINGS_LAYER,
        ),
    ),
    "pop": Style(
        2.2,
        (88, 128),
        0.4,
        ("pop",),
        (0.1, 0.45),
        ("pop", "pop_claps", "synth_pop", "ballad"),
        ("pop_claps", "pop", "four_on_the_floor", "rock"),
        _ROCK_FILLS,
        ("syncopated", "kick", "eighths_short", "halves"),
        ("eighths", "syncopated", "octaves"),
        (33, 34, 38, 39),
        (
            Layer(
                "keys",
                (*_PIANO, *_ELECTRIC_PIANO),
                ("block", "quarters", "broken", "pumping"),
                0.8,
                0.0,
            ),
            Layer("guitar", (*_CLEAN, 25), ("strum", "picked", "palm", "scratch"), 0.75, 0.0, 0.4),
            Layer("keys", _SYNTHS, ("arpeggio", "hook"), 0.4, 0.5),
            Layer("guitar", _DIRTY, ("power_long", "power_eighths"), 0.3, 0.75, 0.6),
            _PADS_LAYER,
            _STRINGS_LAYER,
        ),
        leads=(80, 81, 27, 73),
    ),
    "dance": Style(
        1.4,
        (118, 132),
        0.65,
        ("pop",),
        (0.1, 0.5),
        ("four_on_the_floor", "house_shaker", "electro"),
        ("four_on_the_floor", "house_shaker", "techno"),
        _MACHINE_FILLS,
        ("off_beats", "kick_long", "tresillo"),
        ("off_beats", "octaves", "eighths_short"),
        _SYNTH_BASS,
        (
            Layer("keys", (*_PIANO, 5, 80, 81), ("house", "block", "stabs"), 0.85, 0.0),
            Layer("lead", _SYNTHS, ("arpeggio", "hook"), 0.7, 0.45),
            Layer("strings", _STRINGS, ("held", "line"), 0.35, 0.6),
            _PADS_LAYER,
        ),
        electronic=True,
        leads=(80, 81, 87),
    ),
    "techno": Style(
        0.7,
        (124, 145),
        0.9,
        ("riff", "pop"),
        (0.0, 0.3),
        ("techno", "electro", "four_on_the_floor"),
        ("techno", "four_on_the_floor"),
        _MACHINE_FILLS,
        ("sixteenths", "off_beats", "pedal"),
        ("sixteenths", "octaves", "tresillo"),
        _SYNTH_BASS,
        (
            Layer("lead", _SYNTHS, ("arpeggio", "hook", "riff"), 1.0, 0.0),
            Layer("keys", (81, 90, 62), ("house", "stabs"), 0.6, 0.4),
            Layer("pad", _PADS, ("held", "low_held"), 0.8),
        ),
        electronic=True,
        leads=(80, 81, 84),
    ),
    "synth_pop": Style(
        1.0,
        (100, 126),
        0.55,
        ("pop",),
        (0.0, 0.3),
        ("synth_pop", "electro", "motorik"),
        ("synth_pop", "four_on_the_floor"),
        _MACHINE_FILLS,
        ("eighths", "octaves", "arpeggio"),
        ("octaves", "eighths", "sixteenths"),
        _SYNTH_BASS,
        (
            Layer("lead", _SYNTHS, ("arpeggio",), 0.8, 0.3),
            Layer("keys", (*_SYNTHS, 90), ("block", "quarters", "hook"), 0.6, 0.0),
            Layer("pad", _PADS, ("held",), 0.9),
            Layer("guitar", (27, 28), ("palm", "scratch"), 0.4, 0.5, 0.3),
        ),
        electronic=True,
        leads=(80, 81, 54),
    ),
    "hip_hop": Style(
        1.2,
        (78, 102),
        0.75,
        ("pop", "vamp"),
        (0.4, 0.8),
        ("boom_bap", "boom_bap_lazy"),
        ("boom_bap", "boom_bap_lazy"),
        _MACHINE_FILLS,
        ("kick", "funk_sparse", "dub"),
        ("kick", "syncopated", "low_lines"),
        (33, 35, 38, 32),
        (
            Layer("keys", (*_ELECTRIC_PIANO, 0, 11), ("block", "stabs", "broken"), 0.9, 0.0),
            Layer("guitar", (26, 27), ("picked", "scratch", "riff"), 0.5, 0.3),
            Layer("brass", _BRASS, ("stabs",), 0.3, 0.7),
            _STRINGS_LAYER,
            _PADS_LAYER,
        ),
        swing=(0.52, 0.62),
        pair=0.5,
        leads=(73, 65, 80),
    ),
    "trap": Style(
        0.9,
        (65, 78),
        0.9,
        ("pop", "riff"),
        (0.1, 0.5),
        ("trap", "trap_triplets"),
        ("trap", "trap_triplets"),
        _MACHINE_FILLS,
        ("kick_long",),
        ("kick_long", "kick"),
        (38, 39),
        (
            Layer("keys", (0, 5, 10, 11, 8), ("broken", "arpeggio", "block"), 0.9, 0.0),
            Layer("lead", (80, 81, 75), ("hook",), 0.5, 0.5),
            _PADS_LAYER,
            _STRINGS_LAYER,
        ),
        electronic=True,
        leads=(80, 75),
    ),
    "funk": Style(
        1.2,
        (94, 118),
        0.6,
        ("vamp", "pop"),
        (0.6, 1.0),
        ("funk", "funk_sixteenths", "funk_two_bars"),
        ("funk_sixteenths", "funk", "disco"),
        _ROCK_FILLS,
        ("funk", "slap", "funk_sparse"),
        ("funk", "slap", "octaves", "motown"),
        (36, 37, 33),
        (
            Layer("guitar", (27, 28), ("scratch",), 0.95, 0.0),
            Layer("keys", (7, 4, *_ORGAN), ("stabs", "block", "riff"), 0.75, 0.0),
            Layer("brass", _BRASS, ("stabs",), 0.7, 0.6),
            Layer("guitar", (28, 29), ("riff",), 0.4, 0.5),
        ),
        swing=(0.5, 0.56),
        pair=0.5,
        leads=(65, 66, 27),
    ),
    "disco": Style(
        0.8,
        (108, 126),
        0.6,
        ("pop", "vamp"),
        (0.4, 0.9),
        ("disco", "four_on_the_floor"),
        ("disco",),
        _ROCK_FILLS,
        ("disco", "octaves", "motown"),
        ("disco", "octaves"),
        (33, 36),
        (
            Layer("guitar", (27, 28), ("scratch",), 0.9),
            Layer("strings", _STRINGS, ("line", "held", "marcato"), 0.9, 0.4),
            Layer("keys", (*_PIANO, 4), ("block", "pumping"), 0.7),
            Layer("brass", _BRASS, ("stabs",), 0.5, 0.7),
        ),
        leads=(65, 73, 81),
    ),
    "soul": Style(
        1.0,
        (80, 124),
        0.35,
        ("pop", "jazz"),
        (0.4, 0.9),
        ("soul", "funk", "ballad_big"),
        ("soul", "rock_push"),
        _ROCK_FILLS,
        ("motown", "root_fifth", "walking"),
        ("motown", "eighths_climb", "syncopated"),
        (33, 32),
        (
            Layer("keys", (*_ORGAN, 4, 0), ("block", "quarters", "held"), 0.9),
            Layer("guitar", (26, 27), ("skank", "scratch", "picked"), 0.75),
            Layer("brass", _BRASS, ("stabs", "held"), 0.7, 0.55),
            _STRINGS_LAYER,
        ),
        swing=(0.5, 0.58),
        pair=0.5,
        leads=(65, 66, 27),
    ),
    "reggae": Style(
        1.0,
        (68, 92),
        0.5,
        ("pop", "vamp"),
        (0.1, 0.4),
        ("one_drop", "steppers", "rockers"),
        ("one_drop", "rockers", "steppers"),
        _ROCK_FILLS,
        ("dub", "reggae"),
        ("reggae", "dub", "low_lines"),
        (33, 32, 35),
        (
            Layer("guitar", (27, 28), ("skank",), 1.0),
            Layer("keys", _ORGAN, ("bubble",), 0.85),
            Layer("keys", (*_PIANO, 4), ("skank",), 0.4, 0.3),
            Layer("brass", _BRASS, ("stabs", "line"), 0.4, 0.6),
        ),
        swing=(0.54, 0.64),
        pair=0.5,
        leads=(57, 66, 22),
    ),
    "acoustic": Style(
        1.3,
        (84, 126),
        0.35,
        ("pop",),
        (0.1, 0.5),
        ("ballad", "train", "country_two", "stomp"),
        ("pop", "train", "stomp"),
        _ROCK_FILLS,
        ("root_fifth", "halves", "whole"),
        ("root_fifth", "country", "quarters"),
        (32, 33),
        (
            Layer("guitar", _ACOUSTIC, ("strum", "picked"), 1.0, 0.0, 0.5),
            Layer("guitar", (25, 26), ("picked", "strum"), 0.4, 0.5),
            Layer("keys", (0, 21, 22), ("held", "broken", "block"), 0.4, 0.4),
            Layer("strings", (40, 42, 48), ("line", "held"), 0.45, 0.5),
        ),
        leads=(22, 40, 25, 73),
    ),
    "country": Style(
        0.7,
        (96, 132),
        0.1,
        ("pop",),
        (0.0, 0.3),
        ("train", "country_two"),
        ("train", "country_two", "rock"),
        _ROCK_FILLS,
        ("country", "root_fifth"),
        ("country", "walking"),
        (32, 33),
        (
            Layer("guitar", (25,), ("strum",), 1.0),
            Layer("guitar", (27, 26), ("riff", "picked", "skank"), 0.8, 0.3),
            Layer("keys", _PIANO, ("block", "broken"), 0.5, 0.3),
            Layer("strings", (40, 48), ("line",), 0.4, 0.5),
        ),
        swing=(0.5, 0.6),
        leads=(27, 40, 22),
    ),
    "ballad": Style(
        1.2,
        (65, 84),
        0.4,
        ("pop",),
        (0.3, 0.7),
        ("ballad", "half_time", "pop"),
        ("ballad_big", "rock", "half_time"),
        _ROCK_FILLS,
        ("whole", "halves", "slides"),
        ("root_fifth", "kick", "eighths"),
        (33, 35, 32),
        (
            Layer("keys", (*_PIANO, *_ELECTRIC_PIANO), ("broken", "quarters", "block"), 1.0),
            Layer("guitar", (25, 27), ("picked", "strum_slow"), 0.6, 0.4, 0.3),
            Layer("guitar", _DIRTY, ("power_long",), 0.4, 0.8, 0.9),
            Layer("strings", _STRINGS, ("held", "line"), 0.8, 0.5),
            _PADS_LAYER,
        ),
        leads=(29, 27, 65, 73),
    ),
    "six_eight": Style(
        0.9,
        (65, 84),
        0.45,
        ("pop",),
        (0.1, 0.5),
        ("six_eight", "six_eight_soft"),
        ("six_eight_big", "six_eight"),
        _ROCK_FILLS,
        ("six_root_fifth", "whole", "six_push"),
        ("six_root_fifth", "six_push", "six_eighths", "six_arpeggio"),
        (33, 35),
        (
            Layer("keys", (*_PIANO, 4, 16), ("broken", "block", "held"), 0.85),
            Layer("guitar", (25, 26, 27), ("picked", "strum"), 0.8, 0.0, 0.3),
            Layer("guitar", _DIRTY, ("power_long", "power_eighths"), 0.4, 0.75, 0.8),
            _STRINGS_LAYER,
            _PADS_LAYER,
        ),
        meter=SIX_EIGHT,
        leads=(29, 27, 65),
    ),
    "waltz": Style(
        0.5,
        (86, 150),
        0.4,
        ("pop",),
        (0.1, 0.5),
        ("waltz",),
        ("waltz_rock", "waltz"),
        _ROCK_FILLS,
        ("waltz", "whole"),
        ("waltz_climb", "waltz"),
        (32, 33),
        (
            Layer("guitar", _ACOUSTIC, ("strum", "picked"), 0.8, 0.0, 0.3),
            Layer("keys", (0, 21, 4), ("block", "broken", "held"), 0.8),
            Layer("strings", (40, 48), ("line", "held"), 0.6, 0.4),
        ),
        meter=THREE_FOUR,
        leads=(22, 40, 73),
    ),
    "blues": Style(
        0.9,
        (84, 136),
        0.2,
        ("blues",),
        (0.0, 0.3),
        ("shuffle", "shuffle_ghosts"),
        ("shuffle", "shuffle_ghosts"),
        _ROCK_FILLS,
        ("boogie", "walking"),
        ("boogie_climb", "boogie", "walking"),
        (33, 34, 32),
        (
            Layer("guitar", (26, 27, 29), ("power_eighths", "strum", "riff"), 1.0, 0.0, 0.4),
            Layer("keys", (0, 3, *_ORGAN), ("block", "pumping", "held"), 0.75),
            Layer("brass", _BRASS, ("stabs",), 0.35, 0.7),
        ),
        swing=(0.62, 0.67),
        leads=(29, 27, 22, 66),
    ),
    "swing": Style(
        0.5,
        (110, 170),
        0.2,
        ("jazz",),
        (0.6, 1.0),
        ("swing_ride",),
        ("swing_ride", "shuffle_ghosts"),
        _ROCK_FILLS,
        ("walking",),
        ("walking",),
        (32,),
        (
            Layer("keys", _PIANO, ("stabs", "block"), 1.0),
            Layer("guitar", (26,), ("quarters", "stabs"), 0.6),
            Layer("brass", (56, 57, 61), ("stabs", "line"), 0.6, 0.5),
        ),
        swing=(0.6, 0.67),
        leads=(65, 66, 56, 11),
    ),
    "bossa": Style(
        0.6,
        (110, 150),
        0.4,
        ("jazz", "pop"),
        (0.7, 1.0),
        ("bossa",),
        ("bossa", "latin"),
        _ROCK_FILLS,
        ("bossa",),
        ("bossa", "tresillo"),
        (32, 33),
        (
            Layer("guitar", (24,), ("bossa",), 1.0),
            Layer("keys", (*_ELECTRIC_PIANO, 0), ("bossa", "stabs", "held"), 0.7),
            Layer("strings", (48, 49), ("held", "line"), 0.4, 0.5),
        ),
        leads=(73, 65, 11),
    ),
    "latin_pop": Style(
        0.9,
        (88, 106),
        0.7,
        ("pop",),
        (0.1, 0.4),
        ("dembow", "latin"),
        ("dembow", "latin"),
        _MACHINE_FILLS,
        ("tresillo", "kick_long", "bossa"),
        ("tresillo", "kick"),
        (33, 38, 39),
        (
            Layer("guitar", (24, 25), ("picked", "strum", "skank"), 0.8),
            Layer("keys", (0, 4, 81), ("house", "pumping", "stabs"), 0.8),
            Layer("brass", _BRASS, ("stabs",), 0.5, 0.6),
            _PADS_LAYER,
        ),
        electronic=True,
        leads=(80, 56, 24),
    ),
    "motorik": Style(
        0.8,
        (116, 158),
        0.5,
        ("pop",),
        (0.1, 0.4),
        ("motorik", "toms", "rock"),
        ("motorik", "rock_quarters"),
        _ROCK_FILLS,
        ("eighths", "pedal", "eighths_short"),
        ("eighths", "pedal", "octaves"),
        _FINGER,
        (
            Layer("guitar", _CLEAN, ("picked", "palm", "hook"), 1.0, 0.0, 0.5),
            Layer("guitar", (29, 27), ("power_eighths", "strum"), 0.7, 0.6, 0.6),
            Layer("keys", (*_SYNTHS, 16), ("arpeggio", "held", "pumping"), 0.6, 0.3),
            _PADS_LAYER,
        ),
    ),
    "breakbeat": Style(
        0.8,
        (104, 140),
        0.7,
        ("pop", "vamp"),
        (0.2, 0.6),
        ("breakbeat", "breakbeat_two_bars", "electro"),
        ("breakbeat", "breakbeat_two_bars"),
        _MACHINE_FILLS,
        ("funk_sparse", "syncopated", "low_lines"),
        ("tresillo", "funk", "eighths"),
        (33, 38, 39),
        (
            Layer("keys", (*_ELECTRIC_PIANO, 81), ("stabs", "house", "block"), 0.8),
            Layer("lead", _SYNTHS, ("hook", "arpeggio", "riff"), 0.6, 0.4),
            Layer("guitar", (27, 29), ("scratch", "riff"), 0.4, 0.5),
            _PADS_LAYER,
        ),
        leads=(80, 81, 65),
    ),
    "drum_and_bass": Style(
        0.7,
        (160, 178),
        0.85,
        ("pop", "vamp"),
        (0.3, 0.7),
        ("drum_and_bass", "breakbeat_two_bars"),
        ("drum_and_bass", "breakbeat"),
        _MACHINE_FILLS,
        ("whole", "low_lines", "halves"),
        ("syncopated", "low_lines", "tresillo"),
        _SYNTH_BASS,
        (
            Layer("keys", (*_ELECTRIC_PIANO, 0), ("block", "stabs", "broken"), 0.7),
            Layer("lead", _SYNTHS, ("hook", "arpeggio"), 0.6, 0.4),
            Layer("pad", _PADS, ("held", "low_held"), 0.9),
        ),
        electronic=True,
        leads=(80, 81),
    ),
    "wall_of_guitars": Style(
        2.0,
        (72, 124),
        0.5,
        ("slow", "pop"),
        (0.0, 0.4),
        ("rock", "half_time", "motorik", "toms"),
        ("rock_quarters", "ballad_big", "motorik"),
        _ROCK_FILLS,
        ("tied", "whole", "eighths", "pedal"),
        ("eighths", "tied", "kick_long"),
        (33, 34, 39),
        (
            Layer("guitar", _DIRTY, ("power_tied", "strum_tied"), 1.0, 0.0, 0.4),
            Layer("guitar", _DIRTY, ("strum_tied", "power_long", "strum"), 0.7, 0.5, 0.4),
            Layer("guitar", _CLEAN, ("picked", "hook"), 0.4, 0.0, 0.2),
            Layer("pad", (*_PADS, 52), ("tied", "held"), 0.4),
        ),
        leads=(29, 30, 81),
    ),
    "doom": Style(
        1.0,
        (65, 100),
        1.0,
        ("slow", "riff"),
        (0.0, 0.1),
        ("half_time_heavy", "toms", "half_time"),
        ("half_time_heavy", "rock_quarters"),
        _ROCK_FILLS,
        ("tied", "kick_long", "halves", "slides"),
        ("tied", "kick", "whole"),
        (34, 33, 38),
        (
            Layer("guitar", (30, 29), ("power_tied", "power_riff", "power_long"), 1.0, 0.0, 0.5),
            Layer("guitar", (30, 29), ("riff", "strum_tied"), 0.5, 0.4, 0.2),
            Layer("keys", _ORGAN, ("tied",), 0.4, 0.3),
        ),
    ),
    "electronic_rock": Style(
        2.0,
        (84, 140),
        0.8,
        ("slow", "riff", "pop"),
        (0.0, 0.3),
        ("electro", "rock", "breakbeat", "half_time_heavy"),
        ("four_on_the_floor", "rock_quarters", "breakbeat"),
        _MACHINE_FILLS,
        ("tied", "eighths", "sixteenths", "low_lines"),
        ("eighths", "pedal", "tied"),
        _SYNTH_BASS,
        (
            Layer("guitar", _DIRTY, ("power_tied", "strum_tied", "palm"), 0.9, 0.3, 0.4),
            Layer("keys", _SYNTHS, ("hook", "stabs", "arpeggio"), 0.6),
            Layer("pad", _PADS, ("tied", "low_held"), 0.6),
        ),
        electronic=True,
        leads=(80, 81, 30),
    ),
    "ambient_pop": Style(
        1.0,
        (66, 108),
        0.5,
        ("slow",),
        (0.2, 0.8),
        ("half_time", "electro", "ballad"),
        ("ballad_big", "four_on_the_floor", "half_time"),
        _MACHINE_FILLS,
        ("tied", "whole"),
        ("tied", "halves", "kick_long"),
        (38, 39, 35),
        (
            Layer("pad", _PADS, ("tied",), 1.0),
            Layer("keys", (*_PIANO, *_ELECTRIC_PIANO), ("broken", "tied"), 0.7),
            Layer("strings", _STRINGS, ("tied", "line"), 0.4, 0.3),
            Layer("guitar", (27, 29), ("strum_tied", "picked"), 0.5),
        ),
        electronic=True,
        leads=(80, 81, 73),
    ),
}
"""All styles by name."""
