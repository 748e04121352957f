"""Stems of one file, from what the network estimates to what lies on the disk.

Everything that can be checked is checked in `plan`, before the network runs. `write` then takes
the estimates as they come.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .audio import (
    AudioFile,
    AudioWriter,
    OutputDirectory,
    check_output,
    default_subtype,
    resample_blocks,
)
from .errors import UserError

CLIP = ("rescale", "clamp", "none")


@dataclass(frozen=True)
class Job:
    """One file to be separated.

    Attributes:
        audio: the file.
        frames: its number of samples.
        paths: from the name of each stem to its final path.
        estimated: index of each stem that the network estimates, among its sources.
        complement: name of the stem that is the mixture minus the only estimated one, or None.
        format: of the stems.
        subtype: of the stems.
        clip: one of `CLIP`.
    """

    audio: AudioFile
    frames: int
    paths: Mapping[str, Path]
    estimated: Mapping[str, int]
    complement: str | None
    format: str
    subtype: str | None
    clip: str


def track_name(path: str | os.PathLike) -> str:
    """Name of the folder for the stems of a file: its own name without its type."""
    name = Path(path).stem
    return name.removesuffix(".stem") or name


def check_stems(
    sources: Sequence[str], stems: Sequence[str] | None, two_stems: str | None
) -> tuple[list[str], str | None]:
    """The stems to estimate, and the name of the one that is the rest of the mixture.

    Raises:
        UserError: if a name is not among the sources, or both choices are made.
    """
    if stems and two_stems:
        raise UserError("choose either stems or two_stems, not both")
    wanted = [two_stems] if two_stems else list(dict.fromkeys(stems or sources))
    for name in wanted:
        if name not in sources:
            raise UserError(f"unknown stem {name!r}; this model separates {', '.join(sources)}")
    return wanted, f"no_{two_stems}" if two_stems else None


def plan(
    path: str | os.PathLike,
    output_directory: str | os.PathLike,
    *,
    sources: Sequence[str],
    stems: Sequence[str] | None,
    two_stems: str | None,
    format: str,
    subtype: str | None,
    clip: str | None,
    start: float,
    duration: float | None,
    overwrite: bool,
    track: str | None,
) -> Job:
    """Check everything that can be checked before the work starts.

    The arguments are those of `Separator.separate_file`, with the model's `sources`.

    Raises:
        UserError: if something is wrong.
    """
    wanted, complement = check_stems(sources, stems, two_stems)
    if clip not in (None, *CLIP):
        raise UserError(f"unknown clip {clip!r}; valid: {', '.join(CLIP)}")
    audio = AudioFile(path, start, duration)
    subtype = subtype or default_subtype(format, audio.subtype)
    subtype = check_output(format, subtype, audio.sample_rate, audio.channels)
    directory = Path(output_directory) / (track or track_name(path))
    names = [*wanted, complement] if complement else wanted
    paths = {name: directory / f"{name}.{format}" for name in names}
    existing = [file for file in paths.values() if file.exists()]
    if existing and not overwrite:
        raise UserError(f"{existing[0]}: exists already; use --overwrite to replace it")
    same = [file for file in existing if os.path.samefile(file, path)]
    if same:
        raise UserError(f"{same[0]}: is the input itself; choose another output folder")
    # Where only decoding can tell the length, decode once: stems are to have exactly that length.
    frames = audio.frames or sum(block.shape[-1] for block in audio.blocks())
    return Job(
        audio=audio,
        frames=frames,
        paths=paths,
        estimated={name: list(sources).index(name) for name in wanted},
        complement=complement,
        format=format,
        subtype=subtype,
        clip=clip or ("none" if subtype == "FLOAT" else "rescale"),
    )


def write(job: Job, estimates: Iterable[np.ndarray], sample_rate: int) -> dict[str, Path]:
    """Write the stems of a file.

    Args:
        job: what to write.
        estimates: blocks (sources, channels, n) in order, at `sample_rate`.
        sample_rate: of the estimates, in hertz.

    Returns:
        From the name of each stem to its path.

    Raises:
        UserError: if a stem can't be written; then none is left behind.
    """
    directory = next(iter(job.paths.values())).parent
    with OutputDirectory(directory) as output:
        blocks = _stem_blocks(job, estimates, sample_rate)
        if job.clip == "rescale":
            # The gain is known at the end only; until then the stems wait as they are.
            spools, peak = _write_files(job, blocks, output.temporary / "spool", "wav", "FLOAT")
            gain = 1 / peak if peak > 1 else 1.0
            blocks = _read_files(spools, gain)
        finished, _ = _write_files(job, blocks, output.temporary / "stems", job.format, job.subtype)
        output.commit({finished[name]: path for name, path in job.paths.items()})
    return dict(job.paths)


def _stem_blocks(
    job: Job, estimates: Iterable[np.ndarray], sample_rate: int
) -> Iterator[dict[str, np.ndarray]]:
    """Blocks of every stem at the file's rate, together exactly as long as the file."""
    rows, channels = list(job.estimated.values()), job.audio.channels
    chosen = (block[rows].reshape(len(rows) * channels, -1) for block in estimates)
    mixture = _Mixture(job.audio) if job.complement else None
    rate = job.audio.sample_rate
    for block in resample_blocks(chosen, sample_rate, rate, frames=job.frames):
        stems = block.reshape(len(rows), channels, -1)
        if job.clip == "clamp":
            stems = np.clip(stems, -1, 1)
        named = dict(zip(job.estimated, stems, strict=True))
        if mixture is not None:
            rest = mixture.take(block.shape[-1]) - stems[0]
            named[job.complement] = np.clip(rest, -1, 1) if job.clip == "clamp" else rest
        yield named


class _Mixture:
    """The file's own samples, once more, in pieces of any length."""

    def __init__(self, audio: AudioFile):
        self._blocks = audio.blocks()
        self._held = np.zeros((audio.channels, 0), np.float32)

    def take(self, n: int) -> np.ndarray:
        """The next `n` samples; silence behind the end."""
        while self._held.shape[-1] < n:
            block = next(self._blocks, None)
            if block is None:
                block = np.zeros((self._held.shape[0], n - self._held.shape[-1]), np.float32)
            self._held = np.concatenate([self._held, block], axis=-1)
        taken, self._held = self._held[:, :n], self._held[:, n:]
        return taken


def _write_files(
    job: Job, blocks: Iterable[dict[str, np.ndarray]], directory: Path, format: str, subtype: str
) -> tuple[dict[str, Path], float]:
    """Write every stem to a file in `directory`; their paths and the highest peak of all."""
    directory.mkdir()
    paths = {name: directory / f"{name}.{format}" for name in job.paths}
    peak = 0.0
    with ExitStack() as stack:
        rate, channels = job.audio.sample_rate, job.audio.channels
        writers = {
            name: stack.enter_context(
                AudioWriter(path, rate, channels, format, subtype, frames=job.frames)
            )
            for name, path in paths.items()
        }
        for block in blocks:
            for name, samples in block.items():
                writers[name].write(samples)
                peak = max(peak, float(np.abs(samples).max(initial=0.0)))
    return paths, peak


def _read_files(paths: Mapping[str, Path], gain: float) -> Iterator[dict[str, np.ndarray]]:
    """Blocks of stems that were written before, times a gain."""
    readers = {name: AudioFile(path).blocks() for name, path in paths.items()}
    for together in zip(*readers.values(), strict=True):
        yield {
            name: block * np.float32(gain) for name, block in zip(readers, together, strict=True)
        }
