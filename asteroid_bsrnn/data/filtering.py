"""The filter that chooses windows of a teacher's estimates for training.

Each part of each window gets the first of these decisions that applies:

- `silent`: its level is below the minimum level.
- `quiet`: its share of the mixture's energy is below the minimum share; it may be leakage.
- `whole`: the sum of the other parts is below the minimum share, and no other teacher estimated
  the part. Either it sounds alone, or the teacher separated nothing.
- `disagreement`: the SDR between the estimates of two teachers is below the minimum agreement.
- `used`: none of these.

If several teachers estimated a part, it is silent or quiet only if it is so in all estimates.
Known parts are silent or used.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..audio.reader import sound_name
from ..errors import UserError

DECISIONS = ("used", "silent", "quiet", "whole", "disagreement")


@dataclass(frozen=True)
class Filter:
    """Settings of the filter.

    Attributes:
        window: seconds.
        level: minimum level of a part in dB of full scale (RMS over channels and time).
        share: minimum energy of a part, and of the sum of the others, in dB of the mixture's.
        agreement: minimum SDR in dB between the estimates of two teachers; the first one's
            estimate is the reference.
        sample_rate: minimum sample rate of a song in hertz.
        channels: maximum number of channels of a song.

    Raises:
        UserError: a value is out of its range.
    """

    window: float = 6.0
    level: float = -60.0
    share: float = -20.0
    agreement: float = 5.0
    sample_rate: int = 44100
    channels: int = 2

    def __post_init__(self):
        if not 0 < self.window <= 60:
            raise UserError(f"window must be above 0 s and at most 60 s, got {self.window}")
        if not (self.level < 0 and self.share < 0):
            raise UserError(
                f"level and share must be below 0 dB, got {self.level} and {self.share}"
            )
        if self.sample_rate < 1 or self.channels < 1:
            raise UserError(
                "sample_rate and channels must be at least 1, got"
                f" {self.sample_rate} and {self.channels}"
            )


@dataclass
class Energies:
    """Mean squares of the parts of a song, window by window; all arrays float64.

    Attributes:
        parts: (parts, windows), of the first teacher's estimates.
        others: (parts, windows), of the sum of the other parts.
        mixture: (windows,), of the sum of all parts.
        teachers: (teachers, parts, windows), of the further teachers' estimates; NaN where a
            teacher does not estimate the part.
        errors: (teachers, parts, windows), of their difference from the first teacher's.
    """

    parts: np.ndarray
    others: np.ndarray
    mixture: np.ndarray
    teachers: np.ndarray
    errors: np.ndarray

    def agreement(self) -> np.ndarray:
        """Return the SDR in dB between teachers, the lowest: (parts, windows); NaN for one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = 10 * np.log10(self.parts / self.errors)
        if not len(ratios):
            return np.full(self.parts.shape, np.nan)
        # Teachers that do not estimate the part are ignored; equal estimates agree infinitely.
        lowest = np.where(np.isnan(ratios), np.inf, ratios).min(axis=0)
        return np.where(np.isnan(self.errors).all(axis=0), np.nan, lowest)


def measure(
    files: Sequence[Path], others: Sequence[Sequence[Sequence[Path]]], window: int
) -> Energies:
    """Measure the energies of a song's parts.

    Args:
        files: of the parts, of one format.
        others: for each further teacher and each part, the files whose sum is its estimate of the
            part; empty if it has no such estimate.
        window: length in samples. Samples after the last whole window are ignored; a song shorter
            than a window is one window.

    Raises:
        UserError: a file is damaged or of another length than the first.
    """
    paths = [*files, *(path for teacher in others for group in teacher for path in group)]
    rows = [_row(blocks, len(files), others) for blocks in _together(paths, window)]
    stacked = [np.stack(column, axis=-1) for column in zip(*rows, strict=True)]
    return Energies(*stacked)


def decide(energies: Energies, settings: Filter, known: bool = False) -> np.ndarray:
    """Decide on every part of every window: (parts, windows), indices of `DECISIONS`.

    Parts that are `known`, not estimated, are silent or used.
    """
    loudest = np.fmax.reduce(np.concatenate([energies.parts[None], energies.teachers]), axis=0)
    silent = loudest < _power(settings.level)
    decisions = np.where(silent, DECISIONS.index("silent"), DECISIONS.index("used"))
    if known:
        return decisions
    least = _power(settings.share) * energies.mixture
    agreement = energies.agreement()
    # Later conditions override earlier ones.
    conditions = {
        "disagreement": agreement < settings.agreement,
        "whole": (energies.others < least) & np.isnan(agreement),
        "quiet": loudest < least,
        "silent": silent,
    }
    for name, applies in conditions.items():
        decisions[applies] = DECISIONS.index(name)
    return decisions


def together(decisions: dict[str, str]) -> list[list[str]] | None:
    """Return the groups of parts by which one window can be learnt as a whole song.

    Parts on which the teachers disagree form one group: their sum is the mixture minus the others.
    The result is None if the window cannot be used.

    Example:
        >>> together({"vocals": "used", "bass": "disagreement", "other": "disagreement"})
        [['vocals'], ['bass', 'other']]
    """
    values = set(decisions.values())
    if "used" not in values or "whole" in values:
        return None
    unsure = [name for name, decision in decisions.items() if decision == "disagreement"]
    sure = [[name] for name in decisions if name not in unsure]
    return [*sure, unsure] if unsure else sure


def adding_up_to(part: Collection[str], parts: Sequence[Sequence[str]]) -> list[int] | None:
    """Return the indices of the parts, which do not overlap, whose sum is another part, or None.

    Example:
        >>> adding_up_to(["bass", "drums"], [["vocals"], ["bass"], ["drums"], ["other"]])
        [1, 2]
    """
    wanted = set(part)
    inside = [index for index, other in enumerate(parts) if wanted.issuperset(other)]
    covered = {source for index in inside for source in parts[index]}
    return inside if covered == wanted else None


def _power(decibels: float) -> float:
    return 10 ** (decibels / 10)


def _row(blocks: Sequence[np.ndarray], n_parts: int, others) -> tuple[np.ndarray, ...]:
    """Return mean squares of one window, in the order of the fields of `Energies`."""
    parts = np.stack(blocks[:n_parts]).astype(np.float64)
    mixture = parts.sum(axis=0)
    further = iter(blocks[n_parts:])
    teachers = np.full((len(others), n_parts), np.nan)
    errors = np.full((len(others), n_parts), np.nan)
    for number, teacher in enumerate(others):
        for part, group in enumerate(teacher):
            if group:
                estimate = sum(next(further).astype(np.float64) for _ in group)
                teachers[number, part] = np.square(estimate).mean()
                errors[number, part] = np.square(parts[part] - estimate).mean()
    return (
        np.square(parts).mean(axis=(1, 2)),
        np.square(mixture - parts).mean(axis=(1, 2)),
        np.square(mixture).mean(),
        teachers,
        errors,
    )


def _together(paths: Sequence[Path], window: int) -> Iterator[list[np.ndarray]]:
    """Yield the windows (time, channels) of several files, side by side."""
    with ExitStack() as stack:
        try:
            sounds = [stack.enter_context(soundfile.SoundFile(sound_name(p))) for p in paths]
        except soundfile.LibsndfileError as error:
            raise UserError(
                f"{paths[0].parent}: a part cannot be read ({error.error_string})"
            ) from None
        lengths = {sound.frames for sound in sounds}
        if len(lengths) > 1:
            raise UserError(f"{paths[0].parent}: the parts differ in length; separate it again")
        frames = lengths.pop()
        window = min(window, frames)
        for _ in range(frames // window):
            yield [_read(sound, path, window) for sound, path in zip(sounds, paths, strict=True)]


def _read(sound: soundfile.SoundFile, path: Path, window: int) -> np.ndarray:
    try:
        block = sound.read(window, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        block = ()
    if len(block) < window:
        raise UserError(f"{path}: damaged; delete its folder and separate the song again")
    return block
