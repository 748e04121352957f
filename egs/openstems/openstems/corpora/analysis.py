"""Estimation of key and chords from notes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..music import CHORD_INTERVALS, Part

# Perceived stability of the twelve pitch classes (Krumhansl and Kessler, 1982), rounded.
_PROFILES = {
    "major": (6.4, 2.2, 3.5, 2.3, 4.4, 4.1, 2.5, 5.2, 2.4, 3.7, 2.3, 2.9),
    "minor": (6.3, 2.7, 3.5, 5.4, 2.6, 3.5, 2.5, 4.8, 4.0, 2.7, 3.3, 3.2),
}
_QUALITIES = ("maj", "min", "7", "min7", "maj7", "sus4", "dim", "5")


def chroma(parts: Sequence[Part], lines: Sequence[float]) -> np.ndarray:
    """Return the duration of each pitch class in each span; the bass counts twice.

    Args:
        parts: parts to count.
        lines: edges of the spans in seconds, shape (spans + 1,).

    Returns:
        Seconds, shape (spans, 12).
    """
    edges = np.asarray(lines)
    weights = np.zeros((len(edges) - 1, 12))
    for part in parts:
        if part.role == "drums":
            continue
        factor = 2.0 if part.role == "bass" else 1.0
        for note in part.notes:
            first = max(0, int(np.searchsorted(edges, note.start, side="right")) - 1)
            last = min(len(edges) - 2, int(np.searchsorted(edges, note.end, side="left")) - 1)
            for span in range(first, last + 1):
                inside = min(note.end, edges[span + 1]) - max(note.start, edges[span])
                weights[span, note.pitch % 12] += factor * max(0.0, inside)
    return weights


def key(weights: np.ndarray) -> tuple[int, str]:
    """Return the tonic and the mode of a piece from its pitch classes.

    Args:
        weights: durations, shape (spans, 12).
    """
    total = weights.sum(0)
    if not total.any():
        return 0, "major"
    best = max(
        (
            (float(np.corrcoef(np.roll(profile, tonic), total)[0, 1]), tonic, mode)
            for mode, profile in _PROFILES.items()
            for tonic in range(12)
        ),
        key=lambda entry: entry[0] if np.isfinite(entry[0]) else -1.0,
    )
    return best[1], best[2]


def chords(weights: np.ndarray, bass: np.ndarray) -> list[tuple[int, str]]:
    """Return the chord of each span; a silent span keeps the previous one.

    Args:
        weights: durations of all pitch classes, shape (spans, 12).
        bass: durations of the bass alone, shape (spans, 12).
    """
    found: list[tuple[int, str] | None] = []
    for all_tones, low_tones in zip(weights, bass, strict=True):
        total = all_tones.sum()
        if total < 0.05:
            found.append(found[-1] if found else None)
            continue
        share = all_tones / total
        low = low_tones / low_tones.sum() if low_tones.any() else low_tones
        found.append(max(_candidates(share, low))[1:])
    first = next((chord for chord in found if chord), (0, "maj"))
    return [chord or first for chord in found]


def _candidates(share: np.ndarray, low: np.ndarray):
    """Return the likelihood, root and quality of every chord.

    Tones of the chord and a root in the bass raise its likelihood. Missing tones, foreign tones and
    each tone beyond a triad lower it.
    """
    for root in range(12):
        for quality in _QUALITIES:
            tones = [(root + step) % 12 for step in CHORD_INTERVALS[quality]]
            inside = share[tones].sum()
            missing = sum(share[tone] < 0.04 for tone in tones)
            score = inside - 0.12 * missing - 0.05 * max(0, len(tones) - 3)
            score += 0.3 * low[root] + 0.1 * share[root]
            # A bare fifth is chosen only if neither third sounds.
            yield (score - (0.1 if quality in ("5", "sus4") else 0.0), root, quality)
