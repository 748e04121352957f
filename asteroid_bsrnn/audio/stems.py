"""Stems of one file, from what the network estimates to what lies on the disk.

Everything that can be checked is checked in `plan`, before the network runs. `write` then takes
the estimates as they come.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import UserError
from . import (
    AudioFile,
    AudioWriter,
    OutputDirectory,
    check_output,
    default_subtype,
    resample_blocks,
)

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
    name = Path(path).stem.removesuffix(".stem")
    # Nothing but dots would mean this folder or the one above.
    return name if name.strip(".") else Path(path).name


def check_directory(directory: str | os.PathLike) -> None:
    """Refuse an output folder that can't be made or written.

    Raises:
        UserError: if so.
    """
    existing = Path(directory)
    while not os.path.lexists(existing):
        existing = existing.parent
    if not os.path.isdir(existing):
        raise UserError(f"{existing}: not a folder to write stems to; choose another output folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing}: nothing may be written there; choose another output folder")


def choose_stems(sources: Sequence[str], stems: str | Sequence[str] | None) -> list[str]:
    """The sources that `stems` names, each once; None means all.

    Raises:
        UserError: if a name is not among the sources, or there is none.
    """
    wanted = [stems] if isinstance(stems, str) else sources if stems is None else stems
    unknown = [name for name in wanted if name not in sources]
    if unknown or not wanted:
        what = f"unknown stem {unknown[0]!r}" if unknown else "no stem is named"
        raise UserError(f"{what}; this model separates {', '.join(sources)}")
    return list(dict.fromkeys(wanted))


def check_stems(
    sources: Sequence[str], stems: str | Sequence[str] | None, two_stems: str | None
) -> tuple[list[str], str | None]:
    """The stems to estimate, and the name of the one that is the rest of the mixture.

    Raises:
        UserError: if a name is not among the sources, none is left, or both choices are made.
    """
    if stems is not None and two_stems is not None:
        raise UserError("choose either stems or two_stems, not both")
    if two_stems is not None:
        stems = two_stems
    wanted = choose_stems(sources, stems)
    for name in wanted:
        if Path(name).name != name:
            raise UserError(f"stem {name!r} can't be the name of a file; use another model")
    return wanted, None if two_stems is None else f"no_{two_stems}"


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
    audio_track: int | None,
    overwrite: bool,
    track: str | None,
    keep: Collection[str | os.PathLike],
) -> Job:
    """Check everything that can be checked before the work starts.

    The arguments are those of `Separator.separate_file`, with the model's `sources`.

    Raises:
        UserError: if something is wrong.
    """
    wanted, complement = check_stems(sources, stems, two_stems)
    if clip not in (None, *CLIP):
        raise UserError(f"unknown clip {clip!r}; valid: {', '.join(CLIP)}")
    audio = AudioFile(path, start, duration, audio_track)
    subtype = subtype or default_subtype(format, audio.subtype)
    subtype = check_output(format, subtype, audio.sample_rate, audio.channels)
    directory = Path(output_directory) / (track or track_name(path))
    names = [*wanted, complement] if complement else wanted
    paths = {name: directory / f"{name}.{format}" for name in names}
    for file in paths.values():
        _check_target(file, [path, *keep], overwrite)
    check_directory(directory)
    return Job(
        audio=audio,
        frames=count_frames(audio),
        paths=paths,
        estimated={name: list(sources).index(name) for name in wanted},
        complement=complement,
        format=format,
        subtype=subtype,
        clip=clip or ("none" if subtype == "FLOAT" else "rescale"),
    )


def count_frames(audio: AudioFile) -> int:
    """Number of samples of a file; where only decoding can tell it, the file is decoded once."""
    if audio.frames is not None:
        return audio.frames
    with closing(audio.blocks()) as blocks:
        return sum(block.shape[-1] for block in blocks)


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
    with (
        OutputDirectory(directory) as output,
        closing(_stem_blocks(job, estimates, sample_rate)) as blocks,
    ):
        folder = output.temporary
        if job.clip == "rescale":
            finished = _write_rescaled(job, blocks, folder)
        else:
            finished = {name: folder / path.name for name, path in job.paths.items()}
            _write_files(job, blocks, finished, job.format, job.subtype)
        output.commit({finished[name]: path for name, path in job.paths.items()})
    return dict(job.paths)


def _check_target(file: Path, inputs: Iterable[str | os.PathLike], overwrite: bool) -> None:
    """Refuse to write where that would destroy something."""
    if not os.path.exists(file):
        return
    if any(os.path.exists(path) and os.path.samefile(file, path) for path in inputs):
        raise UserError(f"{file}: would replace an input; choose another output folder")
    if os.path.isdir(file):
        raise UserError(f"{file}: a folder is in the file's place; move it away")
    if not overwrite:
        raise UserError(f"{file}: exists already; use --overwrite to replace it")


def _stem_blocks(
    job: Job, estimates: Iterable[np.ndarray], sample_rate: int
) -> Iterator[dict[str, np.ndarray]]:
    """Blocks of every stem at the file's rate, together exactly as long as the file."""
    rows, channels = list(job.estimated.values()), job.audio.channels
    chosen = (block[rows].reshape(len(rows) * channels, -1) for block in estimates)
    rate = job.audio.sample_rate
    with closing(job.audio.blocks()) as mixture_blocks:
        mixture = _Mixture(mixture_blocks, channels)
        for block in resample_blocks(chosen, sample_rate, rate, frames=job.frames):
            stems = block.reshape(len(rows), channels, -1)
            if job.clip == "clamp":
                stems = np.clip(stems, -1, 1)
            named = dict(zip(job.estimated, stems, strict=True))
            if job.complement is not None:
                rest = mixture.take(block.shape[-1]) - stems[0]
                named[job.complement] = np.clip(rest, -1, 1) if job.clip == "clamp" else rest
            yield named


class _Mixture:
    """The file's own samples, once more, in pieces of any length."""

    def __init__(self, blocks: Iterator[np.ndarray], channels: int):
        self._blocks = blocks
        self._held = np.zeros((channels, 0), np.float32)

    def take(self, n: int) -> np.ndarray:
        """The next `n` samples; silence behind the end."""
        while self._held.shape[-1] < n:
            block = next(self._blocks, None)
            if block is None:
                block = np.zeros((self._held.shape[0], n - self._held.shape[-1]), np.float32)
            self._held = np.concatenate([self._held, block], axis=-1)
        taken, self._held = self._held[:, :n], self._held[:, n:]
        return taken


def _write_rescaled(
    job: Job, blocks: Iterable[dict[str, np.ndarray]], folder: Path
) -> dict[str, Path]:
    """Write every stem to a file in `folder`, with the gain that lets all of them fit."""
    # The gain is known at the end only; until then the stems wait as they are.
    spools = {name: folder / f"{name}.spool" for name in job.paths}
    peak = _write_files(job, blocks, spools, "wav", "FLOAT")
    gain = np.nextafter(np.float32(1 / peak), np.float32(0)) if peak > 1 else np.float32(1)
    finished = {name: folder / path.name for name, path in job.paths.items()}
    for name, spool in spools.items():
        with closing(AudioFile(spool).blocks()) as waiting:
            stem = ({name: block * gain} for block in waiting)
            _write_files(job, stem, {name: finished[name]}, job.format, job.subtype)
        spool.unlink()
    return finished


def _write_files(
    job: Job,
    blocks: Iterable[dict[str, np.ndarray]],
    paths: Mapping[str, Path],
    format: str,
    subtype: str,
) -> float:
    """Write every stem to its file; returns the highest peak of all."""
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
    return peak
