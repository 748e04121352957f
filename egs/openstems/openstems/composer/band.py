"""Composition of a whole song by the players of a band, each with its own random stream."""

from __future__ import annotations

import numpy as np

from ..music import Note, Part, Score, by_start
from ..randomness import generator
from .bass import bass_events
from .comping import Comping
from .drums import DrumStyle, drum_events, groove_of
from .form import SectionPlan, section_times
from .grid import Event, Feel, Grid, perform, pick, weighted
from .harmony import chord_times
from .lead import fills, solo
from .melody import Singer, sing
from .outline import Outline
from .styles import STYLES, Layer


def compose(seconds: float, rng: np.random.Generator, style: str | None = None) -> Score:
    """Write a song.

    A song of 75 seconds or more has a complete form with intro and outro. A shorter one is a window
    of the verses and choruses of a longer song, where most instruments play.

    Args:
        seconds: length of the song, at least 1.
        rng: random generator; the same state gives the same song.
        style: a name in `styles.STYLES`; drawn at random if not given.

    Raises:
        ValueError: for a length below one second or an unknown style.
    """
    if not seconds >= 1:
        raise ValueError(f"a song must last at least one second, got {seconds}")
    if style is not None and style not in STYLES:
        raise ValueError(f"unknown style {style!r}; valid names: {', '.join(STYLES)}")
    seconds = float(seconds)
    name = style or weighted(rng, {key: entry.weight for key, entry in STYLES.items()})
    # Each player has a random stream of its own, so that a change of one leaves the others as they
    # are.
    seed = int(rng.integers(2**62))
    song = Outline.draw(name, seconds, generator(seed, "song"))
    players = Players(song, seed)
    parts = [players.drums(), players.bass(), *players.layers()]
    vocals = players.vocals()
    parts += [vocals, *players.leads(vocals)]
    parts = [_cropped(part, seconds) for part in parts]
    return Score(
        seconds=seconds,
        tempo=song.tempo,
        beats_per_bar=song.style.meter.beats,
        key=song.key,
        mode=song.mode,
        bars=tuple(line for line in song.grid.lines if line < seconds),
        chords=chord_times(song.grid, song.spans, seconds),
        sections=section_times(song.grid, song.sections, seconds),
        parts=tuple(part for part in parts if part.notes),
        origin={
            "source": "composer",
            "seed": seed,
            "style": name,
            "swing": round(song.grid.swing, 3),
            "whole": song.whole,
            **players.choices,
        },
    )


def _cropped(part: Part, seconds: float) -> Part:
    """Return the part cut to the song's length, without notes that would be too short."""
    notes = [
        Note(note.start, min(note.end, seconds), note.pitch, note.velocity)
        for note in part.notes
        if note.start < seconds - 0.04
    ]
    return Part(part.role, part.program, by_start(notes), part.name)


class Players:
    """Generates all parts and records their choices."""

    def __init__(self, song: Outline, seed: int):
        self.song = song
        self.choices: dict = {}
        self._seed = seed
        style, rng = song.style, generator(seed, "arrangement")
        self._tight = style.electronic
        self._drums = DrumStyle(
            pick(rng, style.verse), pick(rng, style.chorus), style.fills, style.electronic
        )
        self._lag = float(rng.uniform(-0.004, 0.01))

    def _perform(self, events: list[Event], name: str, timing: float = 0.007) -> tuple[Note, ...]:
        rng = generator(self._seed, name, "performance")
        feel = Feel(0.0008, 0.0, 2.0) if self._tight else Feel(timing, self._lag, 5.0)
        return perform(events, self.song.grid, feel, rng)

    def drums(self) -> Part:
        song = self.song
        rng = generator(self._seed, "drums")
        events = drum_events(self._drums, song.sections, song.style.meter, rng)
        # Of simultaneous strokes on one drum, the louder one is kept.
        loudest: dict[tuple[int, int], Event] = {}
        for event in events:
            place = (round(event.beat * 48), event.pitch)
            if place not in loudest or event.velocity > loudest[place].velocity:
                loudest[place] = event
        self.choices["drums"] = {"verse": self._drums.verse, "chorus": self._drums.chorus}
        return Part("drums", 0, self._perform(list(loudest.values()), "drums", 0.005))

    def bass(self) -> Part:
        song, style = self.song, self.song.style
        rng = generator(self._seed, "bass")
        quiet, loud = pick(rng, style.bass), pick(rng, style.bass_chorus)
        figures = {"verse": quiet, "intro": quiet, "break": quiet, "bridge": pick(rng, style.bass)}
        figures |= {"chorus": loud, "outro": pick(rng, (quiet, loud))}
        kicks = {
            bar: groove_of(self._drums, section).kicks
            for section in song.sections
            for bar in range(section.bar, section.end)
        }
        events = bass_events(song, figures, kicks, rng)
        program = pick(rng, style.bass_programs)
        self.choices["bass"] = {"program": program, "verse": quiet, "chorus": loud}
        return Part("bass", program, self._perform(events, "bass"))

    def layers(self) -> list[Part]:
        rng = generator(self._seed, "layers")
        layers = [layer for layer in self.song.style.layers if rng.random() < layer.chance]
        if len(layers) < 2:
            layers = list(self.song.style.layers[:2])
        parts = []
        self.choices["layers"] = []
        for number, layer in enumerate(layers):
            parts += self._layer(layer, number, rng)
        return parts

    def _layer(self, layer: Layer, number: int, rng: np.random.Generator) -> list[Part]:
        song = self.song
        kind, program = pick(rng, layer.kinds), pick(rng, layer.programs)
        threshold = layer.threshold if number else 0.0
        sections = [section for section in song.sections if self._plays(section, threshold, rng)]
        comping = Comping(kind, song.spans, song.style.meter, song.tempo, rng)
        events = comping.events(sections)
        doubled = rng.random() < layer.doubled
        name = f"{layer.role} {number + 1}"
        self.choices["layers"].append(
            {"name": name, "kind": kind, "program": program, "doubled": bool(doubled)}
        )
        sides = (f"{name} left", f"{name} right") if doubled else (name,)
        timing = 0.011 if doubled else 0.007
        return [
            Part(layer.role, program, self._perform(events, side, timing), side) for side in sides
        ]

    @staticmethod
    def _plays(section: SectionPlan, threshold: float, rng: np.random.Generator) -> bool:
        if section.name == "break" and threshold == 0:
            return rng.random() < 0.7
        # A layer sometimes rests for a section, but never the first one.
        return section.energy >= threshold and (threshold == 0 or rng.random() < 0.92)

    def vocals(self) -> Part:
        song = self.song
        rng = generator(self._seed, "vocals")
        singer = Singer.draw(rng)
        notes = sing(song.grid, song.sections, song.spans, song.key, song.mode, singer, rng)
        self.choices["singer"] = {"low": singer.low, "high": singer.high}
        return Part("vocals", 52, notes, "melody")

    def leads(self, vocals: Part) -> list[Part]:
        song = self.song
        rng = generator(self._seed, "lead")
        if not song.style.leads or rng.random() < 0.25:
            return []
        program = pick(rng, song.style.leads)
        low = int(rng.integers(57, 68))
        events: list[Event] = []
        sung = [section for section in song.sections if _is_sung(section, song.grid, vocals.notes)]
        silent = [section for section in song.sections if section not in sung and section.bars >= 4]
        if silent and rng.random() < 0.6:
            loud = [section for section in silent if section.name in ("bridge", "outro", "intro")]
            events += solo(song, loud[:2], low, rng)
        chance = float(rng.uniform(0.1, 0.6))
        licks = fills(song, vocals.notes, low, chance, rng)
        taken = [(event.beat, event.beat + event.length) for event in events]
        events += [
            lick
            for lick in licks
            if all(lick.beat >= end or lick.beat < start for start, end in taken)
        ]
        role = {**dict.fromkeys(range(24, 32), "guitar"), **dict.fromkeys(range(56, 64), "brass")}
        self.choices["lead"] = {"program": program}
        return [
            Part(role.get(program, "lead"), program, self._perform(events, "lead", 0.012), "lead")
        ]


def _is_sung(section: SectionPlan, grid: Grid, notes: tuple[Note, ...]) -> bool:
    start, end = grid.lines[section.bar], grid.lines[section.end]
    return any(start - 0.2 < note.start < end - 0.6 for note in notes)
