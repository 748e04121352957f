"""Stems of one file: plan what to write, resample, estimate, and write.

`plan` checks everything that can be checked before the network runs. `separate` reads the file,
passes it through an estimator at the model's sample rate, and writes the estimates as they come.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soxr

from ..errors import UserError
from ..files import OutputDirectory
from ..options import CLIP, FileOptions
from .names import Tags, read_tags, stem_paths, track_name, write_tags
from .reader import AudioFile
from .writer import AudioWriter, check_output, default_subtype, output_rate

Estimator = Callable[[Iterator[np.ndarray]], Iterator[np.ndarray]]
"""From blocks (channels, n) of a mixture to blocks (sources, channels, n) of estimates."""


@dataclass(frozen=True)
class Job:
    """One file to be separated."""

    audio: AudioFile
    frames: int  # of the file
    sample_rate: int  # of the stems, in hertz; that of the file but for Opus
    paths: Mapping[str, Path]  # from the name of each stem to its final path
    estimated: Mapping[str, int]  # from each estimated stem to its index among the sources
    complement: str | None  # the stem that is the mixture minus the only estimated one
    finished: frozenset[str]  # stems that exist and are left as they are
    options: FileOptions  # with the subtype and the clip that are used
    tags: Tags

    @property
    def stem_frames(self) -> int:
        """Number of samples of each stem."""
        return resampled_length(self.frames, self.audio.sample_rate, self.sample_rate)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to be written."""
        return self.finished == set(self.paths)


def check_directory(directory: str | os.PathLike) -> None:
    """Refuse an output folder that cannot be created or written to.

    Raises:
        UserError: the folder cannot be used.
    """
    existing = Path(directory)
    while not os.path.lexists(existing):
        existing = existing.parent
    if not os.path.isdir(existing):
        raise UserError(f"{existing}: not a folder to write stems to; choose another output folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{existing}: nothing may be written there; choose another output folder")


def choose_stems(sources: Sequence[str], stems: str | Sequence[str] | None) -> list[str]:
    """Return the sources that `stems` names, each once; None means all.

    Raises:
        UserError: a name is not among the sources, or no name is given.
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
    """Return the stems to estimate, and the name of the stem that is the rest of the mixture.

    Raises:
        UserError: a name is not among the sources, no stem is named, or both choices are made.
    """
    if stems is not None and two_stems is not None:
        raise UserError("choose either stems or two_stems, not both")
    if two_stems is not None:
        stems = two_stems
    wanted = choose_stems(sources, stems)
    for name in wanted:
        if Path(name).name != name:
            raise UserError(f"stem {name!r} cannot be the name of a file; use another model")
    return wanted, None if two_stems is None else f"no_{two_stems}"


def plan(
    path: str | os.PathLike,
    output_directory: str | os.PathLike,
    sources: Sequence[str],
    options: FileOptions,
) -> Job:
    """Check everything that can be checked before a file is separated.

    The stems of a model with these sources, in order, are written below the output directory.

    Raises:
        UserError: a check failed.
    """
    wanted, complement = check_stems(sources, options.stems, options.two_stems)
    if options.clip not in (None, *CLIP):
        raise UserError(f"unknown clip {options.clip!r}; valid: {', '.join(CLIP)}")
    audio = AudioFile(path, options.start, options.duration, options.audio_track)
    subtype = options.subtype or default_subtype(options.format, audio.subtype)
    rate = output_rate(options.format, audio.sample_rate)
    subtype = check_output(options.format, subtype, rate, audio.channels, options.bitrate)
    names = [*wanted, complement] if complement else wanted
    track = options.track or track_name(path)
    relative = stem_paths(options.file_name, track, names, sources, options.format)
    paths = {name: Path(output_directory, file) for name, file in relative.items()}
    finished = _finished(paths, audio, rate) if options.skip_existing else frozenset()
    for name, file in paths.items():
        if name not in finished:
            _check_target(file, [path, *options.keep], options)
    for directory in {file.parent for file in paths.values()}:
        check_directory(directory)
    clip = options.clip or ("none" if subtype == "FLOAT" else "rescale")
    return Job(
        audio=audio,
        frames=count_frames(audio),
        sample_rate=rate,
        paths=paths,
        estimated={name: list(sources).index(name) for name in wanted},
        complement=complement,
        finished=finished,
        options=replace(options, subtype=subtype, clip=clip),
        tags=read_tags(path),
    )


def count_frames(audio: AudioFile) -> int:
    """Return the number of samples of a file; decode it if only decoding can tell."""
    if audio.frames is not None:
        return audio.frames
    with closing(audio.blocks()) as blocks:
        return sum(block.shape[-1] for block in blocks)


def separate(job: Job, estimate: Estimator, sample_rate: int) -> dict[str, Path]:
    """Read a file, write the stems that are not finished, and return the path of each stem.

    `estimate` estimates the sources of blocks at `sample_rate`, in hertz.

    Raises:
        UserError: the file cannot be read or a stem cannot be written. Then no stem is written.
    """
    if not job.is_finished:
        with closing(job.audio.blocks()) as blocks:
            resampled = resample_blocks(blocks, job.audio.sample_rate, sample_rate)
            _write(job, estimate(resampled), sample_rate)
    return dict(job.paths)


def _write(job: Job, estimates: Iterable[np.ndarray], sample_rate: int) -> None:
    """Write the stems of a file, whose estimates come in blocks at `sample_rate`."""
    directory = next(iter(job.paths.values())).parent
    with (
        OutputDirectory(directory) as output,
        closing(_stem_blocks(job, estimates, sample_rate)) as blocks,
    ):
        folder = output.temporary
        if job.options.clip == "rescale":
            written = _write_rescaled(job, blocks, folder)
        else:
            written = {name: folder / f"{name}.{job.options.format}" for name in job.paths}
            _write_files(job, blocks, written, job.options.format, job.options.subtype)
        wanted = {name: path for name, path in job.paths.items() if name not in job.finished}
        for name in wanted if job.tags else ():
            write_tags(written[name], job.options.format, job.tags.of_stem(name))
        output.commit({written[name]: path for name, path in wanted.items()})


def _finished(paths: Mapping[str, Path], audio: AudioFile, rate: int) -> frozenset[str]:
    """Return the names of the stems that exist and are as long as the recording at `rate`."""
    existing = {name: path for name, path in paths.items() if path.is_file()}
    if not existing:
        return frozenset()
    try:
        # Once for all stems: the whole recording is decoded where its length is not known.
        frames = resampled_length(count_frames(audio), audio.sample_rate, rate)
    except UserError:  # reported when it is separated
        return frozenset()
    wanted = (rate, audio.channels, frames)
    finished = set()
    for name, path in existing.items():
        try:
            stem = AudioFile(path)
            if (stem.sample_rate, stem.channels, count_frames(stem)) == wanted:
                finished.add(name)
        except UserError:  # damaged, or no audio
            pass
    return frozenset(finished)


def _check_target(file: Path, inputs: Iterable[str | os.PathLike], options: FileOptions) -> None:
    """Refuse to write where that would destroy something."""
    if not os.path.exists(file):
        return
    if any(os.path.exists(path) and os.path.samefile(file, path) for path in inputs):
        raise UserError(f"{file}: would replace an input; choose another output folder")
    if os.path.isdir(file):
        raise UserError(f"{file}: a folder is in the file's place; move it away")
    if options.overwrite:
        return
    if options.skip_existing:
        raise UserError(
            f"{file}: exists, but is not a whole stem of this recording; use --overwrite to"
            " replace it"
        )
    raise UserError(
        f"{file}: exists already; use --overwrite to replace it, or --skip-existing to leave it"
    )


def _stem_blocks(
    job: Job, estimates: Iterable[np.ndarray], sample_rate: int
) -> Iterator[dict[str, np.ndarray]]:
    """Yield blocks of every stem at the stems' rate, in total exactly as long as the file."""
    rows, channels = list(job.estimated.values()), job.audio.channels
    chosen = (block[rows].reshape(len(rows) * channels, -1) for block in estimates)
    rate, frames = job.sample_rate, job.stem_frames
    with closing(job.audio.blocks()) as read:
        mixture = _Mixture(resample_blocks(read, job.audio.sample_rate, rate), channels)
        for block in resample_blocks(chosen, sample_rate, rate, frames=frames):
            stems = block.reshape(len(rows), channels, -1)
            if job.options.clip == "clamp":
                stems = np.clip(stems, -1, 1)
            named = dict(zip(job.estimated, stems, strict=True))
            if job.complement is not None:
                rest = mixture.take(block.shape[-1]) - stems[0]
                named[job.complement] = (
                    np.clip(rest, -1, 1) if job.options.clip == "clamp" else rest
                )
            yield named


class _Mixture:
    """The mixture, read a second time, in pieces of any length."""

    def __init__(self, blocks: Iterator[np.ndarray], channels: int):
        self._blocks = blocks
        self._held = np.zeros((channels, 0), np.float32)

    def take(self, n: int) -> np.ndarray:
        """Return the next `n` samples, zeros after the end."""
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
    """Write every stem to a file in `folder`, all scaled by the gain at which none clips."""
    # The gain is only known at the end. Until then the stems are kept as float files.
    spools = {name: folder / f"{name}.spool" for name in job.paths}
    peak = _write_files(job, blocks, spools, "wav", "FLOAT")
    gain = np.nextafter(np.float32(1 / peak), np.float32(0)) if peak > 1 else np.float32(1)
    written = {name: folder / f"{name}.{job.options.format}" for name in job.paths}
    for name, spool in spools.items():
        with closing(AudioFile(spool).blocks()) as waiting:
            stem = ({name: block * gain} for block in waiting)
            _write_files(job, stem, {name: written[name]}, job.options.format, job.options.subtype)
        spool.unlink()
    return written


def _write_files(
    job: Job,
    blocks: Iterable[dict[str, np.ndarray]],
    paths: Mapping[str, Path],
    format: str,
    subtype: str,
) -> float:
    """Write every stem to its file and return the highest peak of all."""
    peak = 0.0
    with ExitStack() as stack:
        form = (job.sample_rate, job.audio.channels, format, subtype, job.stem_frames)
        bitrate = job.options.bitrate if format == job.options.format else None
        writers = {
            name: stack.enter_context(AudioWriter(path, *form, bitrate=bitrate))
            for name, path in paths.items()
        }
        for block in blocks:
            for name, samples in block.items():
                writers[name].write(samples)
                peak = max(peak, float(np.abs(samples).max(initial=0.0)))
    return peak


# --- resampling ----------------------------------------------------------------------------------


def resampled_length(frames: int, from_rate: int, to_rate: int) -> int:
    """Return the number of samples after resampling.

    The duration is rounded to the nearest sample, a half upwards, but a recording never becomes
    empty.
    """
    rounded = (2 * frames * to_rate + from_rate) // (2 * from_rate)
    return max(rounded, min(frames, 1))


def resample_blocks(
    blocks: Iterable[np.ndarray], from_rate: int, to_rate: int, frames: int | None = None
) -> Iterator[np.ndarray]:
    """Resample a stream, with the same result as resampling it in one piece.

    Args:
        blocks: float32 arrays `(C, L)` of any lengths.
        from_rate: sample rate of the blocks, in hertz.
        to_rate: sample rate of the result, in hertz.
        frames: total number of samples of the result, which is cropped or padded with zeros at
            its end. None means `resampled_length` of the input.

    Yields:
        Float32 arrays `(C, L)`, none of them empty, about as long as the blocks at the new rate.
    """
    resampler = None
    channels = received = sent = 0
    for block in blocks:
        channels = block.shape[0]
        received += block.shape[1]
        if from_rate != to_rate:
            if resampler is None:
                resampler = soxr.ResampleStream(from_rate, to_rate, channels, "float32", "HQ")
            block = _resample(resampler, block)
        if frames is not None:
            block = np.ascontiguousarray(block[:, : frames - sent])
        sent += block.shape[1]
        if block.shape[1]:
            yield block
    total = resampled_length(received, from_rate, to_rate) if frames is None else frames
    if resampler is not None:
        rest = _resample(resampler, np.zeros((channels, 0), np.float32), last=True)
        rest = np.ascontiguousarray(rest[:, : total - sent])
        sent += rest.shape[1]
        if rest.shape[1]:
            yield rest
    if sent < total and channels:
        yield np.zeros((channels, total - sent), np.float32)


def _resample(resampler: soxr.ResampleStream, block: np.ndarray, last: bool = False) -> np.ndarray:
    samples = np.ascontiguousarray(block.T, dtype=np.float32)
    return np.ascontiguousarray(resampler.resample_chunk(samples, last=last).T)
