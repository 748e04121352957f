"""`asteroid-bsrnn separate`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import zoo
from ..audio import check_output, find_inputs
from ..audio import stems as files
from ..errors import UserError
from ..memory import is_out_of_memory
from ..separation.precision import PRECISIONS
from ..separation.separator import Separator
from ..weights.cache import megabytes
from .terminal import (
    OUT_OF_MEMORY,
    complain,
    progress_bar,
    quiet_libraries,
    show,
    warnings_in_one_line,
)
from .values import count, name, number_within, segment_or_none


def add_separate(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "separate",
        help="separate songs into stems",
        description="Separate songs and write their stems to DIR/<track>/<source>.<format>. "
        "Stems have the sample rate, length, channels and level of the song. Mono is separated "
        "as mono; more than two channels are separated in pairs (1-2, 3-4, ...).",
        epilog="Exit code: 0 done; 2 something is wrong with an argument or a file, one line on "
        "stderr for each (the other files are separated all the same).",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=name,
        metavar="INPUT",
        help="audio or video files; folders are searched with all below them",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=name,
        default="separated",
        metavar="DIR",
        help="folder for the stems, made if need be; default: %(default)s",
    )
    parser.add_argument(
        "--model",
        metavar="NAME|FILE|URL|hf:USER/NAME",
        help="pretrained weights, downloaded at first use: a name (see: asteroid-bsrnn models), a "
        "file, a URL, or a repository of the Hugging Face Hub; default: "
        f"{zoo.DEFAULT}, which ships with the package",
    )
    stems = parser.add_mutually_exclusive_group()
    stems.add_argument(
        "--stems",
        nargs="+",
        metavar="SOURCE",
        help="write only these, such as: --stems vocals drums (after the inputs, or as "
        "--stems=vocals,drums); default: all",
    )
    stems.add_argument(
        "--two-stems", metavar="SOURCE", help="write SOURCE and no_SOURCE, the song minus it"
    )
    _add_files(parser.add_argument_group("files"))
    _add_chunks(parser.add_argument_group("chunks"))
    _add_computation(parser.add_argument_group("computation"))
    parser.set_defaults(run=_separate_quietly)


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--format",
        choices=("wav", "flac", "mp3"),
        default="wav",
        help="of the stems; default: %(default)s",
    )
    group.add_argument(
        "--subtype",
        choices=("PCM_16", "PCM_24", "FLOAT"),
        help="their samples: 16 or 24 bits (wav, flac), or 32-bit floats (wav); default: as "
        "deep as the input",
    )
    group.add_argument(
        "--clip",
        choices=files.CLIP,
        help="where stems exceed full scale: scale all stems of the track by one gain, so that "
        "they still sum up (rescale), cut them off (clamp), or leave it to the format (none); "
        "default: rescale, but none for FLOAT, which can hold them",
    )
    group.add_argument(
        "--start",
        type=number_within(at_least=0),
        default=0.0,
        metavar="SECONDS",
        help="where in the song to begin; default: 0",
    )
    group.add_argument(
        "--duration",
        type=number_within(above=0),
        metavar="SECONDS",
        help="how much to separate; default: to the end",
    )
    group.add_argument(
        "--audio-track",
        type=count,
        metavar="N",
        help="which audio track of a video or .stem.mp4 to separate, from 1; default: the one that "
        "the file flags as default, or else the first",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing stems")


def _add_chunks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--segment",
        type=segment_or_none,
        default=10.0,
        metavar="SECONDS",
        help="length of a chunk, or 'none' for the whole song at once, which takes memory; where "
        "it does not fit, separate halves it and says so; default: %(default)g",
    )
    group.add_argument(
        "--overlap",
        type=number_within(at_least=0),
        default=0.1,
        metavar="SHARE",
        help="cross-fade between chunks as a share of the segment, from 0 to below 1; default: "
        "%(default)s",
    )
    group.add_argument(
        "--hop",
        type=number_within(above=0),
        metavar="SECONDS",
        help="average chunks that start this far apart, at most a segment, instead of "
        "cross-fading: slower, smoother",
    )
    group.add_argument(
        "--batch-size",
        type=count,
        metavar="N",
        help="chunks that the network gets at once; default: 1 on a CPU, 4 elsewhere",
    )


def _add_computation(group: argparse._ArgumentGroup, precision: str = "auto") -> None:
    group.add_argument(
        "--device",
        default="auto",
        help="auto (a GPU where there is one), cpu, cuda, cuda:1, mps, ...; default: %(default)s",
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=precision,
        help="of the network, its STFT is always computed in 32; bf16 is faster on GPUs and on "
        "CPUs that have it, 16 on GPUs alone; auto takes bf16 where the device computes in it and "
        "the network stays within -45 dB of 32, as the study's recurrent ones do, else 32; "
        "default: %(default)s",
    )
    group.add_argument(
        "--shifts",
        type=count,
        default=1,
        metavar="N",
        help="average over N passes with the STFT's frames elsewhere: a little better, N times "
        "slower; default: %(default)s",
    )


def _separate_quietly(options: argparse.Namespace) -> int:
    with warnings_in_one_line():
        return _separate(options)


def _separate(options: argparse.Namespace) -> int:
    # Whatever would stop every file is found before the network is loaded.
    check_output(options.format, options.subtype, sample_rate=44100, channels=1)
    files.check_directory(options.output)
    inputs, failures = _inputs(options)
    if not inputs:
        return 2
    stems = options.stems
    if stems is not None:
        stems = [name for text in stems for name in text.split(",") if name]
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
        stems=stems if options.two_stems is None else [options.two_stems],
    )
    for path, track in zip(inputs, _track_names(inputs), strict=True):
        try:
            with quiet_libraries(), progress_bar(track) as progress:
                paths = separator.separate_file(
                    path,
                    options.output,
                    stems=stems,
                    two_stems=options.two_stems,
                    format=options.format,
                    subtype=options.subtype,
                    clip=options.clip,
                    start=options.start,
                    duration=options.duration,
                    audio_track=options.audio_track,
                    overwrite=options.overwrite,
                    track=track,
                    keep=inputs,
                    progress=progress,
                )
        except (UserError, MemoryError, RuntimeError) as error:
            # One bad file does not cost the others their separation.
            if not isinstance(error, UserError) and not is_out_of_memory(error):
                raise
            failures += 1
            complain(error if isinstance(error, UserError) else f"{path}: {OUT_OF_MEMORY}")
        else:
            directory = next(iter(paths.values())).parent
            show(f"{path} -> {directory} ({', '.join(paths)})")
    return 2 if failures else 0


def _mention_better_weights() -> None:
    """Tell a person at a terminal, not a script, that better weights than the default exist."""
    best = next((entry for entry in zoo.registry().values() if entry.archive), None)
    if best is not None and sys.stderr.isatty():
        print(
            f"note: {zoo.DEFAULT} is a small model trained on synthetic music; --model {best.name} "
            f"separates far better (downloads {megabytes(best.archive.bytes)} once)",
            file=sys.stderr,
        )


def _inputs(options: argparse.Namespace) -> tuple[list[Path], int]:
    """What is named or lies in named folders, but not earlier stems; and how much is missing."""
    output = Path(os.path.realpath(options.output))
    inputs: dict[str, Path] = {}
    failures = 0
    for given in options.inputs:
        try:
            found = find_inputs(given)
            # The folder that is searched may hold the one that stems are written to.
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


def _track_names(inputs: Sequence[Path]) -> list[str]:
    """A folder name for each input; inputs of one name are numbered."""
    names: list[str] = []
    taken: set[str] = set()
    for path in inputs:
        name, number = files.track_name(path), 1
        unique = name
        # Names that differ in case alone are one folder on some file systems.
        while unique.lower() in taken:
            number += 1
            unique = f"{name} ({number})"
        taken.add(unique.lower())
        names.append(unique)
    return names
