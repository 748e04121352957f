"""Characters, which distinguish singers with the same voice: timbre and habits."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Character:
    """Timbre and habits of a virtual singer.

    Args:
        formant: factor on formant frequencies, 0.85 (large) to 1.2 (small).
        effort: slope added to the spectrum between 500 Hz and 2 kHz, in dB an octave.
        presence: height of the bump near 3 kHz in dB.
        breathiness: 0 to 1.
        roughness: standard deviation of the pitch from frame to frame, in cents.
        consonants: gain of unvoiced sounds in dB.
        portamento: time between two notes in seconds, 0.02 to 0.12.
        scoop: probability that the first note or a leap is reached from below.
        overshoot: largest overshoot of a leap in cents.
        vibrato_rate: in Hz, 4.5 to 6.5.
        vibrato_depth: in cents to either side of the note, 10 to 60.
        vibrato_probability: probability of vibrato on a long note.
        drift: slow wandering of the pitch, standard deviation in cents.
        fall: probability that a phrase ends with a fall.
        melisma: probability that a syllable continues on the next note.
        breath: probability of a breath before a phrase.
        breath_level: level of a breath relative to the voice in dB.
        dynamics: range from soft to loud notes in dB.
        timing: standard deviation of onsets in seconds.
        spoken: whether phrases are spoken in rhythm instead of sung.
    """

    formant: float
    effort: float
    presence: float
    breathiness: float
    roughness: float
    consonants: float
    portamento: float
    scoop: float
    overshoot: float
    vibrato_rate: float
    vibrato_depth: float
    vibrato_probability: float
    drift: float
    fall: float
    melisma: float
    breath: float
    breath_level: float
    dynamics: float
    timing: float
    spoken: bool = False

    def record(self) -> dict[str, float | bool]:
        """Return the character as plain types."""
        return asdict(self)


def draw(rng: np.random.Generator, spoken_probability: float = 0.06) -> Character:
    """Return a random character.

    Args:
        rng: random generator.
        spoken_probability: probability of `spoken`.
    """

    def between(low: float, high: float) -> float:
        return round(float(rng.uniform(low, high)), 4)

    return Character(
        formant=round(float(np.exp(rng.uniform(np.log(0.85), np.log(1.2)))), 4),
        effort=between(0.0, 4.0),
        presence=between(-2, 5),
        # Most voices are clear, some are breathy.
        breathiness=round(float(rng.beta(1.2, 6)), 4),
        roughness=round(float(rng.gamma(2.0, 1.5)), 4),
        consonants=between(-2, 4),
        portamento=between(0.02, 0.12),
        scoop=between(0, 0.5),
        overshoot=between(0, 40),
        vibrato_rate=between(4.5, 6.5),
        vibrato_depth=round(float(np.clip(rng.lognormal(np.log(24), 0.5), 10, 60)), 4),
        vibrato_probability=between(0.1, 0.8),
        drift=between(2, 7),
        fall=between(0, 0.15),
        melisma=between(0.02, 0.3),
        breath=between(0.2, 0.9),
        breath_level=between(-30, -16),
        dynamics=between(3, 9),
        timing=between(0.0, 0.012),
        spoken=bool(rng.random() < spoken_probability),
    )


def another_take(character: Character, rng: np.random.Generator) -> Character:
    """Return a slightly different character for another take, such as a double.

    Args:
        character: character of the first take.
        rng: random generator of the differences.
    """
    return replace(
        character,
        formant=round(character.formant * float(rng.uniform(0.98, 1.02)), 4),
        effort=round(character.effort + float(rng.uniform(-0.8, 0.8)), 4),
        drift=round(character.drift + 2.0, 4),
        timing=round(max(character.timing, 0.006) * float(rng.uniform(1, 2)), 4),
        vibrato_rate=round(
            float(np.clip(character.vibrato_rate + rng.uniform(-0.4, 0.4), 4.5, 6.5)), 4
        ),
    )


def background(character: Character, rng: np.random.Generator) -> Character:
    """Return a softer character for backing voices: no scoops, little vibrato, more breath.

    Args:
        character: the singer.
        rng: random generator of the differences.
    """
    return replace(
        another_take(character, rng),
        breathiness=round(min(1.0, character.breathiness + 0.15), 4),
        vibrato_probability=0.2,
        scoop=0.05,
        fall=0.0,
        breath=0.1,
        spoken=False,
    )
