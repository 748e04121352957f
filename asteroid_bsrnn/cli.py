"""The command line: parse, call, print.

Exit codes: 0 done, 2 a user's mistake (one line on stderr), 1 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from tqdm import tqdm

from . import checkpoint, files, presets, zoo
from ._version import __version__
from .audio import find_inputs
from .errors import UserError
from .separator import Separator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: None means those that the program was called with.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except UserError as error:
        return _complain(error)
    except torch.OutOfMemoryError:
        return _complain(
            f"out of memory on {options.device}: use a smaller --segment or --batch-size, "
            "or --device cpu"
        )
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough; what is left in the buffer would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes take one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: error: {message} (try {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="asteroid-bsrnn", description="Separate music into its stems.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_separate(commands)
    _add_convert(commands)
    _add_models(commands)
    return parser


def _add_separate(commands) -> None:
    parser = commands.add_parser(
        "separate",
        help="separate songs into stems",
        description="Separate songs and write their stems to DIR/<track>/<source>.<format>. "
        "Stems have the sample rate, length, channels and level of the song. Mono is separated "
        "as mono; more than two channels are separated in pairs (1-2, 3-4, ...).",
    )
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="audio or video files; folders are searched"
    )
    parser.add_argument(
        "-o", "--output", default="separated", metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--model",
        default=zoo.DEFAULT,
        metavar="NAME|FILE|URL",
        help="pretrained weights (see: asteroid-bsrnn models); default: %(default)s",
    )
    stems = parser.add_mutually_exclusive_group()
    stems.add_argument(
        "--stems", nargs="+", metavar="SOURCE", help="write only these; default: all"
    )
    stems.add_argument(
        "--two-stems", metavar="SOURCE", help="write SOURCE and no_SOURCE, the mixture minus it"
    )
    output = parser.add_argument_group("files")
    output.add_argument("--format", choices=("wav", "flac", "mp3"), default="wav")
    output.add_argument(
        "--subtype", choices=("PCM_16", "PCM_24", "FLOAT"), help="default: the input's depth"
    )
    output.add_argument(
        "--clip",
        choices=files.CLIP,
        help="what to do with samples beyond full scale: one gain for all stems of a track, so "
        "that they still sum up; cut off; nothing. Default: rescale, none for FLOAT",
    )
    output.add_argument("--start", type=float, default=0.0, metavar="SECONDS")
    output.add_argument("--duration", type=float, metavar="SECONDS", help="default: to the end")
    output.add_argument("--overwrite", action="store_true", help="replace existing stems")
    chunks = parser.add_argument_group("chunks")
    chunks.add_argument(
        "--segment",
        type=_seconds_or_none,
        default=10.0,
        metavar="SECONDS",
        help="length of a chunk, 'none' for the whole song at once; default: %(default)s",
    )
    chunks.add_argument(
        "--overlap",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="cross-fade between chunks as a share of the segment; default: %(default)s",
    )
    chunks.add_argument(
        "--hop",
        type=float,
        metavar="SECONDS",
        help="from one chunk to the next; averages overlapping chunks instead of cross-fading",
    )
    chunks.add_argument(
        "--batch-size",
        type=int,
        metavar="N",
        help="chunks at once; default: 1 on a CPU, 4 elsewhere",
    )
    _add_device(parser)
    parser.set_defaults(run=_separate)


def _add_device(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("computation")
    group.add_argument(
        "--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, ...; default: %(default)s"
    )
    group.add_argument(
        "--precision",
        choices=("32", "bf16", "16"),
        default="32",
        help="of the network; its STFT stays in 32; default: %(default)s",
    )


def _seconds_or_none(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


def _separate(options: argparse.Namespace) -> int:
    inputs = find_inputs(options.inputs)
    tracks = _track_names(inputs)
    separator = Separator(
        options.model,
        segment=options.segment,
        overlap=options.overlap,
        hop=options.hop,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )
    stems = [name for text in options.stems or () for name in text.split(",") if name]
    files.check_stems(separator.sources, stems, options.two_stems)
    failures = 0
    for path, track in zip(inputs, tracks, strict=True):
        try:
            with _progress_bar(track) as progress:
                paths = separator.separate_file(
                    path,
                    options.output,
                    stems=stems or None,
                    two_stems=options.two_stems,
                    format=options.format,
                    subtype=options.subtype,
                    clip=options.clip,
                    start=options.start,
                    duration=options.duration,
                    overwrite=options.overwrite,
                    track=track,
                    progress=progress,
                )
        except UserError as error:
            # One bad file does not cost the others their separation.
            failures += 1
            _complain(error)
        else:
            directory = next(iter(paths.values())).parent
            print(f"{path} -> {directory} ({', '.join(paths)})")
    return 2 if failures else 0


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


@contextmanager
def _progress_bar(track: str):
    """A bar with the time left, on a terminal only; yields the callback that moves it."""
    with tqdm(desc=track, unit="s", disable=None, leave=False) as bar:
        bar.bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _add_convert(commands) -> None:
    parser = commands.add_parser(
        "convert",
        help="convert checkpoints of the replication study's code",
        description="Convert checkpoints of the code of arXiv 2603.09187 to one model file. "
        "Several checkpoints of one source each become one separator; a folder stands for the "
        "checkpoints (*.ckpt) in it. Nothing in the files is executed.",
    )
    parser.add_argument("inputs", nargs="+", metavar="CKPT", help="checkpoints, or their folder")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-o", "--output", metavar="FILE", help="model file to write")
    target.add_argument(
        "--name",
        help="keep the model under this name of asteroid-bsrnn models",
    )
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> int:
    target = Path(options.output) if options.output else zoo.imported_path(options.name)
    if target.exists() and not options.overwrite:
        raise UserError(f"{target}: exists already; use --overwrite to replace it")
    if options.name:
        path = zoo.import_reference(options.name, options.inputs)
    else:
        model = zoo.from_reference_files(options.inputs)
        path = checkpoint.save_model(model.half() if options.half else model, target)
    model = checkpoint.load_model(path)
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{path}: {', '.join(model.sources)}; {n_parameters / 1e6:.2f} M parameters")
    return 0


def _add_models(commands) -> None:
    parser = commands.add_parser(
        "models",
        help="list what can be loaded",
        description="List the pretrained weights that --model and torch.hub load by name, and the "
        "presets that make networks to be trained.",
    )
    parser.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> int:
    print("Pretrained weights (--model NAME, zoo.load, torch.hub):")
    for entry in zoo.registry().values():
        print(f"\n  {entry.name}: {entry.description}")
        print(f"    sources   {', '.join(entry.sources)}")
        print(f"    where     {_where(entry)}")
        print(f"    licence   {entry.licence}")
        print(f"    trained   {entry.training_data}")
        for measure, values in entry.figures.items():
            print(f"    {measure}  {_figures(values)}")
    print("\nPresets (presets.build, random weights to be trained):")
    for name in presets.names():
        kind = "four sources" if presets.is_simo(name) else "one source"
        print(f"  {name:20s} {kind}")
    return 0


def _where(entry: zoo.Pretrained) -> str:
    if entry.embedded:
        return "ships with the package"
    if entry.urls:
        return "downloaded at first use"
    if zoo.imported_path(entry.name).is_file():
        return "imported"
    return f"not verified, to be imported by hand from {entry.homepage}"


def _figures(values) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{name} {value}" for name, value in values.items())
    return str(values)


def _complain(message: Exception | str) -> int:
    print(f"asteroid-bsrnn: error: {' '.join(str(message).split())}", file=sys.stderr)
    return 2
