"""`asteroid-bsrnn separate`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import UserError
from ..memory import is_out_of_memory
from ..options import CLIP, DEFAULT_MODEL, PRECISIONS, SUBTYPES, FileOptions
from .terminal import (
    OUT_OF_MEMORY,
    bitrate,
    complain,
    count,
    name,
    number_within,
    quiet_libraries,
    seconds,
    segment_or_none,
    show,
    warnings_in_one_line,
)

# Everything else is imported where it is used: it needs torch, which --help must not wait for.


def add_separate(commands) -> None:
    """Add the command to a parser."""
    parser = commands.add_parser(
        "separate",
        usage="%(prog)s INPUT [INPUT ...] [-o DIR] [options]",
        description="Separate songs and write their stems to DIR/<track>/<source>.<format>. "
        "Stems have the sample rate, length, channels, level and tags of the song. Mono is "
        "separated as mono; more than two channels are separated in pairs (1-2, 3-4, ...).",
        epilog="Exit codes: 0 success; 2 an argument or a file is wrong, with one line on stderr "
        "for each (the other files are separated all the same).",
    )
    parser.add_argument(
        "inputs",
        nargs="*",
        type=name,
        metavar="INPUT",
        help="audio or video files, or folders, which are searched with all folders below them; "
        "links to folders are followed, each folder once",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=name,
        default="separated",
        metavar="DIR",
        help="folder for the stems, created if it does not exist; default: %(default)s",
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE|URL|hf:USER/NAME",
        help="pretrained weights, downloaded at first use: a name (see: asteroid-bsrnn models), a "
        "file, a URL, or a repository of the Hugging Face Hub; default: "
        f"{DEFAULT_MODEL}, which ships with the package",
    )
    stems = parser.add_mutually_exclusive_group()
    stems.add_argument(
        "--stems",
        nargs="+",
        metavar="SOURCE",
        help="write only these, for example: --stems vocals drums, or --stems=vocals,drums; "
        "default: all",
    )
    stems.add_argument(
        "--two-stems", metavar="SOURCE", help="write SOURCE and no_SOURCE, the song minus it"
    )
    _add_files(parser.add_argument_group("files"))
    _add_chunks(parser.add_argument_group("chunks"))
    _add_computation(parser.add_argument_group("computation"))
    parser.set_defaults(run=partial(_separate_quietly, parser))


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        choices=tuple(SUBTYPES),
        default=FileOptions.format,
        help="format of the stems; default: %(default)s",
    )
    group.add_argument(
        "--bitrate",
        type=bitrate,
        metavar="RATE",
        help="of mp3, ogg, opus and m4a, for example 192k; ogg has about this rate; default: 320k "
        "(mp3), about 256k (ogg, m4a), 192k (opus)",
    )
    group.add_argument(
        "--name",
        type=name,
        default=FileOptions.file_name,
        metavar="PATTERN",
        help="path of each stem in DIR, with {track}, {stem}, {ext} and {index}, the number of the "
        "source, such as {track}-{stem}.{ext}; default: %(default)s",
    )
    group.add_argument(
        "--subtype",
        choices=SUBTYPES["wav"],
        help="sample type: 16 or 24 bits (wav, flac), or 32-bit floats (wav); default: the depth "
        "of the input",
    )
    group.add_argument(
        "--clip",
        choices=CLIP,
        help="if stems exceed full scale: scale all stems of the track by one gain, so that they "
        "still add up to the song (rescale), clip them (clamp), or leave them to the format "
        "(none); default: rescale, but none for FLOAT, which can hold them",
    )
    group.add_argument(
        "--start",
        type=seconds(at_least=0),
        default=FileOptions.start,
        metavar="TIME",
        help="start of the part to separate, in seconds or as [h:]m:ss; default: 0",
    )
    group.add_argument(
        "--duration",
        type=seconds(above=0),
        metavar="TIME",
        help="length of the part, in seconds or as [h:]m:ss; default: to the end",
    )
    group.add_argument(
        "--audio-track",
        type=count,
        metavar="N",
        help="audio track of a video or .stem.mp4 to separate, from 1; default: the one that the "
        "file flags as default, or else the first",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing stems")
    group.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out stems that exist and are as long as the song, so that an interrupted batch "
        "can be run again",
    )


def _add_chunks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--segment",
        type=segment_or_none,
        default=10.0,
        metavar="SECONDS",
        help="length of a chunk, or 'none' for the whole song at once, which needs more memory; if "
        "it does not fit, separate halves it and says so; default: %(default)g",
    )
    group.add_argument(
        "--overlap",
        type=number_within(at_least=0),
        default=0.1,
        metavar="SHARE",
        help="length of the cross-fade between chunks as a share of the segment, from 0 to below "
        "1; default: "
        "%(default)s",
    )
    group.add_argument(
        "--hop",
        type=number_within(above=0),
        metavar="SECONDS",
        help="average overlapping chunks that start this far apart, at most a segment, instead of "
        "cross-fading them: slower, smoother",
    )
    group.add_argument(
        "--batch-size",
        type=count,
        metavar="N",
        help="number of chunks in a batch; default: 1 on a CPU, 4 elsewhere",
    )


def _add_computation(group: argparse._ArgumentGroup, precision: str = "auto") -> None:
    group.add_argument(
        "--device",
        default="auto",
        help="auto (a GPU if there is one), cpu, cuda, cuda:1, mps, ...; default: %(default)s",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=precision,
        help="precision of the network; its STFT is always computed in 32. bf16 is faster on GPUs "
        "and on CPUs that support it, 16 only on GPUs; auto means bf16 if the device supports it "
        "and the network stays within -45 dB of 32, as the study's recurrent networks do, else 32; "
        "default: %(default)s",
    )
    group.add_argument(
        "--shifts",
        type=count,
        default=1,
        metavar="N",
        help="number of passes with shifted STFT frame grids whose estimates are averaged: "
        "slightly better, N times slower; default: %(default)s",
    )


def _separate_quietly(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    options.inputs, options.stems = _split_stems(options.inputs, options.stems)
    if not options.inputs:
        hint = "; name the inputs before --stems" if options.stems else ""
        parser.error(f"the following arguments are required: INPUT{hint}")
    with warnings_in_one_line():
        return _separate(options)


def _split_stems(inputs: list[str], stems: list[str] | None) -> tuple[list[str], list[str] | None]:
    """Return the inputs and the stems, where `--stems` took inputs that follow it for stems.

    Among the values of `--stems` after the first, paths with a dot or a slash are inputs, and so
    are existing files and folders if no other input is given.
    """
    if stems is None:
        return inputs, None
    swallowed = [text for text in stems[1:] if "." in text or os.sep in text]
    if not inputs and not swallowed:
        swallowed = [text for text in stems[1:] if os.path.exists(text)]
    left = [text for text in stems if text not in swallowed]
    return inputs + swallowed, [name for text in left for name in text.split(",") if name]


def _separate(options: argparse.Namespace) -> int:
    from ..audio import check_output
    from ..audio.names import check_pattern, unique_names
    from ..audio.stems import check_directory
    from ..progress import progress_bar
    from ..separation.separator import Separator

    # Errors that would stop every file are found before the network is loaded.
    bitrate, rate = options.bitrate, 48000 if options.format == "opus" else 44100
    check_output(options.format, options.subtype, sample_rate=rate, channels=2, bitrate=bitrate)
    check_pattern(options.name, options.format)
    check_directory(options.output)
    inputs, failures = _inputs(options)
    if not inputs:
        return 2
    check_pattern(options.name, options.format, several=len(inputs) > 1)
    tracks = unique_names(inputs)
    if options.model is None:
        _mention_better_weights()
    separator = Separator(
        options.model,
        segment=options.segment,
        overlap=options.overlap,
        hop=options.hop,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
        shifts=options.shifts,
        stems=options.stems if options.two_stems is None else [options.two_stems],
    )
    shared = FileOptions(
        stems=options.stems,
        two_stems=options.two_stems,
        format=options.format,
        subtype=options.subtype,
        bitrate=options.bitrate,
        file_name=options.name,
        clip=options.clip,
        start=options.start,
        duration=options.duration,
        audio_track=options.audio_track,
        overwrite=options.overwrite,
        skip_existing=options.skip_existing,
        keep=inputs,
    )
    _check_collisions(separator.sources, tracks, shared)
    for path, track in zip(inputs, tracks, strict=True):
        try:
            with quiet_libraries(), progress_bar(track) as progress:
                job = separator.plan(path, options.output, replace(shared, track=track))
                paths = separator.run(job, progress)
        except (UserError, MemoryError, RuntimeError) as error:
            # The other files are separated all the same.
            if not isinstance(error, UserError) and not is_out_of_memory(error):
                raise
            failures += 1
            complain(error if isinstance(error, UserError) else f"{path}: {OUT_OF_MEMORY}")
        else:
            directory = next(iter(paths.values())).parent
            what = "skipped, exists" if job.is_finished else ", ".join(paths)
            show(f"{path} -> {directory} ({what})")
    return 2 if failures else 0


def _check_collisions(sources: Sequence[str], tracks: Sequence[str], options: FileOptions) -> None:
    """Refuse a pattern that gives stems of two songs the same path, such as {track}_{stem}.{ext}.

    Then the stem no_vocals of "song" and the stem vocals of "song_no" have one name.
    """
    from ..audio.names import stem_paths
    from ..audio.stems import check_stems

    if options.file_name == FileOptions.file_name:
        return
    wanted, complement = check_stems(sources, options.stems, options.two_stems)
    names = [*wanted, complement] if complement else wanted
    owners: dict[str, str] = {}
    for track in tracks:
        paths = stem_paths(options.file_name, track, names, sources, options.format)
        for path in paths.values():
            owner = owners.setdefault(str(path).lower(), track)
            if owner != track:
                raise UserError(
                    f"--name {options.file_name}: stems of {owner!r} and {track!r} would both be "
                    f"{path}; change the pattern"
                )


def _mention_better_weights() -> None:
    """Tell a person at a terminal, but not a script, that better weights than the default exist."""
    from .. import zoo
    from ..weights.cache import megabytes

    best = next((entry for entry in zoo.registry().values() if entry.archive), None)
    if best is not None and sys.stderr.isatty():
        print(
            f"note: {DEFAULT_MODEL} is a small model trained on synthetic music; --model "
            f"{best.name} separates far better (downloads {megabytes(best.archive.bytes)} once)",
            file=sys.stderr,
        )


def _inputs(options: argparse.Namespace) -> tuple[list[Path], int]:
    """Return the inputs, without earlier stems in searched folders, and the number of failures."""
    from ..audio import find_inputs

    output = Path(os.path.realpath(options.output))
    inputs: dict[str, Path] = {}
    failures = 0
    for given in options.inputs:
        try:
            found = find_inputs(given)
            # A searched folder may contain the output folder.
            if Path(os.path.realpath(given)) in output.parents:
                found = [f for f in found if output not in Path(os.path.realpath(f)).parents]
            if not found:
                raise UserError(
                    f"{given}: the folder holds no audio but in the output folder {output}; "
                    "name the files in it to separate them again"
                )
        except UserError as error:
            failures += 1
            complain(error)
        else:
            for file in found:
                inputs.setdefault(os.path.realpath(file), file)
    return list(inputs.values()), failures
