"""The form of a song: its sections with their energy, whole or as a window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..music import Section
from .grid import Grid, pick

FORMS = (
    "intro verse verse chorus verse chorus bridge chorus chorus outro",
    "intro verse chorus verse chorus break chorus outro",
    "verse chorus verse chorus bridge verse chorus chorus outro",
    "intro verse verse chorus break verse chorus bridge chorus chorus outro",
    "intro chorus verse chorus verse chorus bridge break chorus chorus outro",
    "intro verse chorus break verse chorus bridge chorus outro",
)
ENERGY = {
    "intro": (0.3, 0.65),
    "verse": (0.45, 0.75),
    "chorus": (0.8, 1.0),
    "bridge": (0.5, 0.85),
    "break": (0.1, 0.4),
    "outro": (0.3, 0.8),
}
BARS = {
    "intro": (4, 4, 8),
    "verse": (8, 8, 16),
    "chorus": (8,),
    "bridge": (8, 8, 4),
    "break": (2, 4, 4),
    "outro": (4, 4, 8),
}

FULL_FORM_SECONDS = 75
"""Songs of at least this length are whole; shorter ones are windows of longer songs."""


@dataclass(frozen=True)
class SectionPlan:
    """A section in bars.

    Args:
        name: one of `openstems.music.SECTION_NAMES`.
        bar: first bar, counted from the start of the song or window.
        bars: length in bars.
        energy: 0 to 1.
        skipped: number of its bars before the window.
        following: name of the next section, or "" at the end of the song.
    """

    name: str
    bar: int
    bars: int
    energy: float
    skipped: int = 0
    following: str = ""

    @property
    def end(self) -> int:
        """Return the number of the bar after the last one."""
        return self.bar + self.bars


def plan(bars: int, whole: bool, unit: int, rng: np.random.Generator) -> tuple[SectionPlan, ...]:
    """Return a random form, or a window of one.

    Args:
        bars: length in bars.
        whole: whether the song is complete, from intro to outro; otherwise it is a window of the
            densest part.
        unit: factor on the length of sections: 1, or 2 for short bars; 3/2 turns 8 bars into a
            twelve-bar blues.
        rng: random generator.
    """
    song = _song(unit, rng)
    if whole:
        while song[-1].end < bars:
            song = _extended(song)
        return _fitted(song, bars)
    while song[-1].end < 2 * bars:
        song = _extended(song)
    return _window(song, bars, unit, rng)


def _song(unit: int, rng: np.random.Generator) -> list[SectionPlan]:
    names = pick(rng, FORMS).split()
    lengths = {name: _bars(name, unit, rng) for name in BARS}
    energies = {name: float(rng.uniform(*ENERGY[name])) for name in ENERGY}
    sections: list[SectionPlan] = []
    for index, name in enumerate(names):
        repeats = names[:index].count(name)
        # Each repetition of a section is slightly louder.
        energy = min(1.0, energies[name] + 0.05 * repeats)
        start = sections[-1].end if sections else 0
        sections.append(SectionPlan(name, start, lengths[name], energy))
    return _linked(sections)


def _bars(name: str, unit: int, rng: np.random.Generator) -> int:
    bars = pick(rng, BARS[name])
    if unit == 12:
        return 12 if bars >= 8 else 4
    return bars * unit


def _linked(sections: Sequence[SectionPlan]) -> list[SectionPlan]:
    following = [section.name for section in sections[1:]] + [""]
    return [
        replace(section, following=name) for section, name in zip(sections, following, strict=True)
    ]


def _extended(song: Sequence[SectionPlan]) -> list[SectionPlan]:
    """Return a longer form that repeats the sections before the outro."""
    body, outro = list(song[:-1]), song[-1]
    again = [section for section in body if section.name != "intro"]
    shift = body[-1].end - again[0].bar
    body += [replace(section, bar=section.bar + shift) for section in again]
    return _linked([*body, replace(outro, bar=body[-1].end)])


def _fitted(song: Sequence[SectionPlan], bars: int) -> tuple[SectionPlan, ...]:
    """Return the first bars of a form, with an outro as the last ones."""
    outro = min(song[-1].bars, max(2, bars // 6))
    kept = [section for section in song[:-1] if section.bar < bars - outro]
    kept[-1] = replace(kept[-1], bars=bars - outro - kept[-1].bar)
    if kept[-1].name != "chorus" and len(kept) > 2:
        # A section that is cut short is replaced: songs end on their chorus.
        kept[-1] = replace(kept[-1], name="chorus", energy=1.0)
    return tuple(_linked([*kept, replace(song[-1], bar=bars - outro, bars=outro)]))


def _window(
    song: Sequence[SectionPlan], bars: int, unit: int, rng: np.random.Generator
) -> tuple[SectionPlan, ...]:
    """Return a window of which at least three quarters are verse and chorus."""
    dense = np.zeros(song[-1].end)
    for section in song:
        dense[section.bar : section.end] = section.name in ("verse", "chorus")
    step = 2 if unit != 12 else 4
    starts = np.arange(0, song[-1].bar - bars, step)
    shares = np.array([dense[start : start + bars].mean() for start in starts])
    start = int(pick(rng, starts[shares >= min(0.75, shares.max())]))
    window = []
    for section in song:
        first, last = max(section.bar, start), min(section.end, start + bars)
        if first < last:
            skipped = first - section.bar
            kept = replace(section, bar=first - start, bars=last - first, skipped=skipped)
            window.append(kept)
    return tuple(window)


def section_times(grid: Grid, plans: Sequence[SectionPlan], seconds: float) -> tuple[Section, ...]:
    """Return sections in seconds; the last one ends with the song of a length in seconds."""
    ends = [min(grid.lines[plan.end], seconds) for plan in plans[:-1]] + [seconds]
    return tuple(
        Section(plan.name, grid.lines[plan.bar], end, plan.energy)
        for plan, end in zip(plans, ends, strict=True)
        if grid.lines[plan.bar] < seconds
    )
