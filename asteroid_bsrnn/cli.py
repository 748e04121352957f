"""The command line: parse, call, print.

Exit codes: 0 done, 2 a user's mistake (one line on stderr), 1 a bug, 130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

from tqdm import tqdm

from . import checkpoint, files, presets, zoo
from ._version import __version__
from .audio import check_output, find_inputs
from .errors import UserError
from .separator import Progress, Separator


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: None means those that the program was called with.

    Raises:
        SystemExit: with the exit code, where the arguments can't be understood or ask for help.
    """
    options = _parser().parse_args(arguments)
    try:
        with _ended_tidily():
            return options.run(options)
    except UserError as error:
        return _complain(error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _complain(_OUT_OF_MEMORY)
    except KeyboardInterrupt:
        print("asteroid-bsrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read the output has enough; what is left in the buffer would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


@contextmanager
def _ended_tidily() -> Iterator[None]:
    """Whoever ends the program, or closes its terminal, leaves no half-written files behind."""

    def end(number, frame):
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted = [getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP")]
    # What is ignored stays so: that is how nohup works.
    before = {n: signal.getsignal(n) for n in wanted if n is not None}
    before = {n: handler for n, handler in before.items() if handler == signal.SIG_DFL}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Parser(argparse.ArgumentParser):
    """A parser whose mistakes take one line."""

    def error(self, message: str):
        """Print the mistake and where to read more, and exit."""
        _complain(f"{message} (try: {self.prog} --help)")
        self.exit(2)


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
        epilog="Exit code: 0 done; 2 something is wrong with an argument or a file, one line on "
        "stderr for each (the other files are separated all the same).",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=_name,
        metavar="INPUT",
        help="audio or video files; folders are searched with all below them",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=_name,
        default="separated",
        metavar="DIR",
        help="folder for the stems, made if need be; default: %(default)s",
    )
    parser.add_argument(
        "--model",
        default=zoo.DEFAULT,
        metavar="NAME|FILE|URL",
        help="pretrained weights (see: asteroid-bsrnn models); default: %(default)s",
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
    parser.set_defaults(run=_separate)


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
        type=_number(at_least=0),
        default=0.0,
        metavar="SECONDS",
        help="where in the song to begin; default: 0",
    )
    group.add_argument(
        "--duration",
        type=_number(above=0),
        metavar="SECONDS",
        help="how much to separate; default: to the end",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing stems")


def _add_chunks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--segment",
        type=_segment,
        default=10.0,
        metavar="SECONDS",
        help="length of a chunk, or 'none' for the whole song at once, which takes memory; "
        "default: %(default)g",
    )
    group.add_argument(
        "--overlap",
        type=_number(at_least=0),
        default=0.1,
        metavar="SHARE",
        help="cross-fade between chunks as a share of the segment, from 0 to below 1; default: "
        "%(default)s",
    )
    group.add_argument(
        "--hop",
        type=_number(above=0),
        metavar="SECONDS",
        help="average chunks that start this far apart, at most a segment, instead of "
        "cross-fading: slower, smoother",
    )
    group.add_argument(
        "--batch-size",
        type=_count,
        metavar="N",
        help="chunks that the network gets at once; default: 1 on a CPU, 4 elsewhere",
    )


def _add_computation(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device",
        default="auto",
        help="auto (a GPU where there is one), cpu, cuda, cuda:1, mps, ...; default: %(default)s",
    )
    group.add_argument(
        "--precision",
        choices=("32", "bf16", "16"),
        default="32",
        help="of the network, its STFT is always computed in 32; 16 and bf16 are for GPUs, a CPU "
        "is slower with them; default: %(default)s",
    )


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("the name is empty; was a variable not set?")
    return text


def _number(at_least: float = -math.inf, above: float = -math.inf):
    """The type of an argument that is a number within bounds."""
    bound = f"above {above:g}" if above > at_least else f"of at least {at_least:g}"

    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (at_least <= value < math.inf and above < value):
            raise argparse.ArgumentTypeError(f"must be a number {bound}, got {text!r}")
        return value

    return number


def _segment(text: str) -> float | None:
    return None if text.lower() == "none" else _number(above=0)(text)


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def _separate(options: argparse.Namespace) -> int:
    # Whatever would stop every file is found before the network is loaded.
    check_output(options.format, options.subtype, sample_rate=44100, channels=1)
    files.check_directory(options.output)
    inputs, failures = _inputs(options)
    if not inputs:
        return 2
    separator = Separator(
        options.model,
        segment=options.segment,
        overlap=options.overlap,
        hop=options.hop,
        batch_size=options.batch_size,
        device=options.device,
        precision=options.precision,
    )
    stems = options.stems
    if stems is not None:
        stems = [name for text in stems for name in text.split(",") if name]
    files.check_stems(separator.sources, stems, options.two_stems)
    for path, track in zip(inputs, _track_names(inputs), strict=True):
        try:
            with _quiet_libraries(), _progress_bar(track) as progress:
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
                    overwrite=options.overwrite,
                    track=track,
                    keep=inputs,
                    progress=progress,
                )
        except (UserError, MemoryError, RuntimeError) as error:
            # One bad file does not cost the others their separation.
            if not isinstance(error, UserError) and not _is_out_of_memory(error):
                raise
            failures += 1
            _complain(error if isinstance(error, UserError) else f"{path}: {_OUT_OF_MEMORY}")
        else:
            directory = next(iter(paths.values())).parent
            _print(f"{path} -> {directory} ({', '.join(paths)})")
    return 2 if failures else 0


def _inputs(options: argparse.Namespace) -> tuple[list[Path], int]:
    """What is named or lies in named folders, but not earlier stems; and how much is missing."""
    output = Path(os.path.realpath(options.output))
    inputs: dict[str, Path] = {}
    failures = 0
    for name in options.inputs:
        try:
            found = find_inputs(name)
            # The folder that is searched may hold the one that stems are written to.
            if Path(os.path.realpath(name)) in output.parents:
                found = [f for f in found if output not in Path(os.path.realpath(f)).parents]
            if not found:
                raise UserError(
                    f"{name}: the folder holds no audio but in the output folder {output}; "
                    "name the files in it to separate them again"
                )
        except UserError as error:
            failures += 1
            _complain(error)
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


@contextmanager
def _progress_bar(track: str) -> Iterator[Progress]:
    """A bar with the time left, on a terminal only; yields the callback that moves it."""
    bar_format = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    options = {"disable": None, "leave": False, "miniters": 1, **_shape_of_shapeless_terminal()}
    with tqdm(desc=track, bar_format=bar_format, **options) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def _shape_of_shapeless_terminal() -> dict[str, int]:
    """What to take for the size of a terminal that has none, in which tqdm shows nothing."""
    try:
        columns, lines = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):  # no terminal at all
        return {}
    return {} if columns and lines else {"ncols": 80, "nrows": 24}


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Python's stderr goes on to the screen, what C libraries print past it does not.

    libsndfile's MP3 decoder has a lot to say about a damaged file, for which the user gets our
    one line.
    """
    if sys.stderr is None or sys.stderr is not sys.__stderr__:  # someone else's stream
        yield
        return
    sys.stderr.flush()
    screen = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    encoding = sys.stderr.encoding
    try:
        with (
            open(screen, "w", 1, encoding, "backslashreplace", closefd=False) as stream,
            redirect_stderr(stream),
        ):
            yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)


def _add_convert(commands) -> None:
    parser = commands.add_parser(
        "convert",
        help="convert checkpoints of the replication study's code",
        description="Convert checkpoints of the code of arXiv 2603.09187 to one model file. "
        "Several checkpoints of one source each become one separator; a folder stands for the "
        "checkpoints (*.ckpt) in it. Nothing in the files is executed.",
    )
    parser.add_argument(
        "inputs", nargs="+", type=_name, metavar="CKPT", help="checkpoints, or their folder"
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "-o", "--output", type=_name, metavar="FILE", help="write the model to this file"
    )
    target.add_argument(
        "--name",
        help="keep it as the weights of this name, for --model (see: asteroid-bsrnn models)",
    )
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> int:
    if options.half and options.name:
        raise UserError("--half goes with --output only; weights with a name are kept as they are")
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
        kind = "one network for all sources" if presets.is_simo(name) else "one network a source"
        print(f"  {name:20s} {kind}")
    return 0


def _where(entry: zoo.Pretrained) -> str:
    if entry.embedded:
        return "ships with the package"
    if entry.urls:
        return "downloaded at first use"
    if zoo.imported_path(entry.name).is_file():
        return "imported"
    return (
        f"to be had by hand: {entry.homepage}, then: asteroid-bsrnn convert FOLDER "
        f"--name {entry.name}"
    )


def _figures(values) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{name} {value}" for name, value in values.items())
    return str(values)


_OUT_OF_MEMORY = (
    "out of memory: use a smaller --segment or --batch-size, or --device cpu on a small GPU"
)


def _is_out_of_memory(error: Exception) -> bool:
    """Whether there was not enough memory, on a CPU or a GPU; torch has no one class for it."""
    return isinstance(error, MemoryError) or bool(
        re.search("out of memory|can't allocate memory|alloc_cpu", str(error))
    )


def _complain(message: Exception | str) -> int:
    print(f"asteroid-bsrnn: error: {' '.join(str(message).split())}", file=sys.stderr)
    return 2


def _print(text: str) -> None:
    """Print names of files even where the terminal can't show their letters."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
