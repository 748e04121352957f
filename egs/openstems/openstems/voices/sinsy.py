"""Singing with the synthesiser Sinsy, in tune over the whole range of voices.

Its only voice is in tune in about one octave, and off by a semitone or more elsewhere. It therefore
sings in that octave, and WORLD changes the pitch to that of the score, with the synthesiser's own
small movements.
"""

from __future__ import annotations

import functools
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from ..music import Note
from . import delivery, lyrics, melody, world
from .character import Character
from .delivery import Chunk
from .musicxml import UNIT, Sung, document
from .world import HOP

CENTRE = 68
"""Centre of the best range of the voice."""
LOWEST, HIGHEST = 61, 77
REST = 60
"""Units of rest before each phrase; the synthesiser requires an initial rest."""
ALPHAS = (0.51, 0.53, 0.55, 0.57, 0.59)
"""All-pass constants for different timbres; 0.55 is the voice's own."""
CARRIED = "ー"
APERIODICITY_EVERY = 3
"""Interval of the aperiodicity in frames; long, because every song is analysed anew."""


@dataclass(frozen=True)
class Performance:
    """Phrase sung by Sinsy.

    Args:
        notes: notes of the phrase.
        starts: (N + 1,) first frames of the notes, and the end of the last one.
        frames: analysed sound of the phrase.
        level: median level of the vowels in dB.
    """

    notes: tuple[Note, ...]
    starts: np.ndarray
    frames: world.Frames
    level: float


@functools.lru_cache(maxsize=1)
def _program():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "pkg_resources is deprecated", UserWarning)
        import pysinsy
    program = pysinsy.Sinsy()
    program.setLanguages("j", pysinsy.get_default_dic_dir())
    program.loadVoices(pysinsy.get_default_htsvoice())
    return program


class SinsyPerformer:
    """Performer with Sinsy.

    Args:
        alpha: all-pass constant, one of `ALPHAS`.
    """

    def __init__(self, alpha: float):
        self.alpha = alpha

    def centre(self, character: Character) -> float:
        """Return the MIDI number about which this voice sings with ease."""
        return 67 + 24 * np.log2(character.formant)

    def learn(
        self,
        phrases: Sequence[Sequence[Note]],
        character: Character,
        rng: np.random.Generator,
        vowels: bool = False,
    ) -> list[Performance]:
        """Synthesise phrases once.

        Args:
            phrases: legato notes, from `melody.phrases`.
            character: character with the probability of a melisma.
            rng: random generator of the kana.
            vowels: whether to sing each phrase on one vowel.
        """
        if not phrases:
            return []
        pitches = [note.pitch for phrase in phrases for note in phrase]
        shift = CENTRE - round(float(np.median(pitches)))
        sung: list[Sung] = []
        places, clock = [], 0
        for phrase in phrases:
            sung.append(Sung(REST))
            clock += REST
            bounds = [round((note.start - phrase[0].start) / UNIT) for note in phrase]
            bounds.append(max(bounds[-1] + 6, round((phrase[-1].end - phrase[0].start) / UNIT)))
            places.append([clock + bound for bound in bounds])
            kana = _kana(phrase, character, rng, vowels)
            for note, lyric, a, b in zip(phrase, kana, bounds, bounds[1:], strict=False):
                sung.append(Sung(max(b - a, 1), _fold(note.pitch + shift), lyric))
            clock += bounds[-1]
        audio, rate = _synthesize(document([*sung, Sung(REST)]), self.alpha)
        whole = world.analyse(audio, rate, APERIODICITY_EVERY)
        return [
            _excerpt(tuple(phrase), np.array(place) * UNIT / HOP, whole)
            for phrase, place in zip(phrases, places, strict=True)
        ]

    def sing(
        self,
        learnt: Performance,
        notes: Sequence[Note],
        character: Character,
        rng: np.random.Generator,
    ) -> Chunk:
        """Sing a phrase of a performance on its notes or on as many others.

        Args:
            learnt: phrase sung by Sinsy, from `learn`.
            notes: notes to sing, which may differ from those of the performance.
            character: the singer.
            rng: random generator of the differences between takes.
        """
        notes = melody.humanise(notes, character, rng)
        breath, begin, times = delivery.span(notes, character, rng)
        position = _position(learnt, notes, times)
        source = np.clip(np.round(position).astype(int), 0, len(learnt.frames.f0) - 1)
        frames = world.Frames(**{k: array[source] for k, array in vars(learnt.frames).items()})
        voiced = (frames.f0 > 0) & (position >= 0)
        score = melody.pitch_curve(notes, times, character, rng, vibrato=False)
        score += _movement(learnt, source, times, notes)
        f0 = np.where(voiced, 440 * 2 ** ((score - 69) / 12), 0)
        gain = delivery.LEVEL - learnt.level + _dynamics(notes, times, character, rng)
        # Compresses the loudest frames, which exceed others by far.
        loud = ndimage.uniform_filter1d(frames.level.astype(float), 9) - learnt.level
        gain -= np.where(voiced, 0.5 * np.clip(loud, -8, 20), 0)
        effort = np.full(len(times), 0.4 * character.effort)
        gain, effort = delivery.consonants(gain, effort, frames.level, voiced, character)
        after = np.clip((times - notes[-1].end - 0.03) / 0.06, 0, 1)
        gain = np.where(position < 0, -120.0, gain - 60 * after)
        if breath and (frames.f0 > 0).any():
            vowel = learnt.frames.envelope[learnt.frames.f0 > 0].mean(axis=0)
            delivery.breathe(breath, vowel, character, f0, frames.envelope, gain, effort)
        return delivery.chunk(begin, f0, frames, gain, effort, character)


def _kana(phrase, character, rng, vowels):
    if vowels:
        return [str(rng.choice(list("あうおら")))] + [CARRIED] * (len(phrase) - 1)
    kana = lyrics.kana(len(phrase), rng)
    for number in range(1, len(phrase)):
        step = abs(phrase[number].pitch - phrase[number - 1].pitch)
        if 0 < step <= 5 and kana[number - 1] != "ん" and rng.random() < character.melisma:
            kana[number] = CARRIED
    return kana


def _fold(pitch: int) -> int:
    """Return the pitch moved by octaves into the best range of the voice."""
    while pitch > HIGHEST:
        pitch -= 12
    while pitch < LOWEST:
        pitch += 12
    return pitch


def _synthesize(score: bytes, alpha: float) -> tuple[np.ndarray, int]:
    program = _program()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "score.xml"
        path.write_bytes(score)
        program.setAlpha(alpha)
        program.loadScoreFromMusicXML(str(path))
        audio, rate = program.synthesize()
        program.clearScore()
    return np.asarray(audio, np.float64) / 32768, int(rate)


def _excerpt(notes: tuple[Note, ...], starts: np.ndarray, whole: world.Frames) -> Performance:
    before = round(delivery.LEAD_IN / HOP)
    first = int(starts[0]) - before
    end = min(int(starts[-1]) + round(delivery.RELEASE / HOP), len(whole.f0))
    frames = world.Frames(**{name: array[first:end] for name, array in vars(whole).items()})
    starts = _vowel_starts(starts - first, frames.f0 > 0)
    voiced = frames.level[frames.f0 > 0]
    level = float(np.median(voiced)) if len(voiced) else delivery.VOWEL_LEVEL
    return Performance(notes, starts, frames, level)


def _vowel_starts(starts: np.ndarray, voiced: np.ndarray) -> np.ndarray:
    """Move starts of notes behind unvoiced consonants, which Sinsy places on the beat."""
    moved = starts.copy()
    begins = np.flatnonzero(voiced[1:] & ~voiced[:-1]) + 1
    for number, start in enumerate(starts[:-1]):
        latest = min(start + 0.16 / HOP, (start + starts[number + 1]) / 2)
        near = begins[(begins > start - 0.05 / HOP) & (begins < latest)]
        if len(near):
            moved[number] = near[-1]
    return moved


def _position(performance: Performance, notes: Sequence[Note], times: np.ndarray) -> np.ndarray:
    """Return the frame of the performance at each time; negative before its start."""
    bounds = np.array([note.start for note in notes] + [notes[-1].end])
    inside = np.interp(times, bounds, performance.starts)
    before = performance.starts[0] + (times - bounds[0]) / HOP
    after = performance.starts[-1] + (times - bounds[-1]) / HOP
    return np.where(times < bounds[0], before, np.where(times > bounds[-1], after, inside))


def _movement(
    performance: Performance, source: np.ndarray, times: np.ndarray, notes: Sequence[Note]
) -> np.ndarray:
    """Return vibrato and other fast changes of pitch in semitones; 0 at changes of notes."""
    f0 = performance.frames.f0
    known = np.flatnonzero(f0 > 0)
    if len(known) < 2:
        return np.zeros(len(times))
    semitones = np.interp(np.arange(len(f0)), known, 12 * np.log2(f0[known] / 440))
    quick = semitones - ndimage.uniform_filter1d(semitones, round(0.25 / HOP))
    changes = np.array([note.start for note in notes] + [notes[-1].end])
    distance = np.abs(times[:, None] - changes[None]).min(axis=1)
    return np.clip(quick, -0.4, 0.4)[source] * np.clip((distance - 0.1) / 0.08, 0, 1)


def _dynamics(notes, times, character, rng):
    loud = melody.loudness(notes, character, rng)
    middles = [(note.start + note.end) / 2 for note in notes]
    # Sinsy's own dynamics are part of the sound.
    return 0.6 * np.interp(times, middles, loud)
