"""`asteroid-bsrnn separate`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path

from ..errors import UserError
from ..files import list_files
from ..options import CLIP, DEFAULT_MODEL, SUBTYPES, FileOptions
from ..weights.registry import BAG_SUFFIXES
from .devices import Devices, Work, device_names, separate_one
from .options import (
    add_chunks,
    add_computation,
    add_running,
    bitrate,
    count,
    local_path,
    name,
    number_within,
    seconds,
    separator_options,
)
from .terminal import ForPeople, Song, reporting, warnings_in_one_line

MODEL_SUFFIXES = (".pth", ".ckpt", *BAG_SUFFIXES)

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
        type=local_path,
        default="separated",
        metavar="DIR",
        help="folder for the stems, created if it does not exist; default: %(default)s",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        metavar="NAME|FILE|URL|hf:USER/NAME",
        help="pretrained weights, downloaded at first use: a name (see: asteroid-bsrnn models), a "
        "file, a URL, or a repository of the Hugging Face Hub; estimates of several models, or of "
        f"those of a bag file (.yml), are averaged; default: {DEFAULT_MODEL}, which ships with the "
        "package",
    )
    parser.add_argument(
        "--model-weights",
        nargs="+",
        type=number_within(above=0),
        metavar="WEIGHT",
        help="weights of several models in the average; default: equal",
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
    add_chunks(parser.add_argument_group("chunks"))
    computation = parser.add_argument_group("computation")
    add_computation(computation, several_devices=True)
    add_running(computation, "songs")
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
        dest="file_name",
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
    group.add_argument(
        "--page",
        action="store_true",
        help="write <track>.html beside the stems of each song, which plays them in a browser",
    )
    group.add_argument("--overwrite", action="store_true", help="replace existing stems")
    group.add_argument(
        "--skip-existing",
        action="store_true",
        help="leave out stems that exist and are as long as the song, so that an interrupted batch "
        "can be run again",
    )


def _separate_quietly(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    options.inputs, options.stems = _split_stems(options.inputs, options.stems)
    options.inputs, options.model = _split_models(options.inputs, options.model)
    if not options.inputs:
        hint = "; name the inputs before --stems" if options.stems else ""
        parser.error(f"the following arguments are required: INPUT{hint}")
    with warnings_in_one_line(), reporting(options.progress, "separate") as reporter:
        code = _separate(options, reporter)
        reporter.end(code)
        return code


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


def _split_models(
    inputs: list[str], models: list[str] | None
) -> tuple[list[str], list[str] | None]:
    """Return the inputs and the models, where `--model` took inputs that follow it for models.

    Among the values of `--model` after the first, paths with another suffix than those of weights
    and bags are inputs, and so are folders without weights.
    """
    if models is None:
        return inputs, None
    swallowed = [text for text in models[1:] if _is_input(text)]
    return inputs + swallowed, [text for text in models if text not in swallowed]


def _is_input(text: str) -> bool:
    path = Path(text)
    if path.is_dir():
        return not (list_files(path, MODEL_SUFFIXES) or (path / "checkpoints").is_dir())
    if text.startswith("hf:") or "://" in text:
        return False
    return path.suffix.lower() not in MODEL_SUFFIXES and bool(path.suffix or path.is_file())


def _model(models: list[str] | None, weights: list[float] | None):
    """Return the model of the arguments: None for the default, a name, or a bag of several."""
    named = len(models or [DEFAULT_MODEL])
    if weights is not None and len(weights) != named:
        raise UserError(
            f"--model-weights: {len(weights)} for {named} model(s); give one weight for each"
        )
    if models is None or named == 1:
        return models and models[0]
    from ..zoo import Bag, Member

    return Bag(tuple(map(Member, models, weights or [1.0] * named)))


def _separate(options: argparse.Namespace, reporter: ForPeople) -> int:
    from ..audio import check_output, output_rate
    from ..audio.names import check_pattern
    from ..audio.stems import check_directory

    # Errors that would stop every file are found before the network is loaded.
    rate = output_rate(options.format, 44100)
    check_output(options.format, options.subtype, rate, 2, options.bitrate)
    check_pattern(options.file_name, options.format)
    check_directory(options.output)
    files, named, failures = _inputs(options, reporter)
    if not files:
        return 2
    check_pattern(options.file_name, options.format, several=len(files) > 1)
    if options.model is None:
        _mention_better_weights()
    work = _work(options, files)

    def start(sources: Sequence[str]) -> Sequence[Song]:
        songs = _songs(files, named, sources, work)
        _check_collisions(sources, [song.track for song in songs], work.files)
        songs = songs if options.shard is None else options.shard.of(songs)
        reporter.start(inputs=len(songs), sources=list(sources), output=options.output)
        return songs

    devices = device_names(options.device)
    if len(devices) > 1:
        with Devices(work, devices) as processes:
            failures += processes.separate(start(processes.sources), reporter)
    else:
        from ..separation.separator import Separator

        separator = Separator(**work.separator)
        for song in start(separator.sources):
            failures += not separate_one(separator, work, song, reporter)
    return 2 if failures else 0


def _work(options: argparse.Namespace, inputs: list[Path]) -> Work:
    """Return what is done with every song."""
    stems = options.stems if options.two_stems is None else [options.two_stems]
    names = [field.name for field in fields(FileOptions) if field.name in options]
    files = FileOptions(**{name: getattr(options, name) for name in names}, keep=inputs)
    model = _model(options.model, options.model_weights)
    separator = {"model": model, **separator_options(options), "stems": stems}
    return Work(separator, options.output, files, options.page)


def _check_collisions(sources: Sequence[str], tracks: Sequence[str], options: FileOptions) -> None:
    """Refuse a pattern that gives stems of two songs the same path, such as {track}_{stem}.{ext}.

    Then the stem no_vocals of "song" and the stem vocals of "song_no" have one name.
    """
    if options.file_name == FileOptions.file_name:
        return
    owners: dict[str, str] = {}
    for track in tracks:
        for path in _stem_paths(track, sources, options):
            owner = owners.setdefault(str(path).lower(), track)
            if owner != track:
                raise UserError(
                    f"--name {options.file_name}: stems of {owner!r} and {track!r} would both be "
                    f"{path}; change the pattern"
                )


def _stem_paths(track: str, sources: Sequence[str], options: FileOptions) -> Iterable[Path]:
    """Return the paths of a song's stems, relative to the output folder."""
    from ..audio.names import stem_paths
    from ..audio.stems import check_stems

    wanted, complement = check_stems(sources, options.stems, options.two_stems)
    names = [*wanted, complement] if complement else wanted
    return stem_paths(options.file_name, track, names, sources, options.format).values()


def _mention_better_weights() -> None:
    """Tell a person at a terminal, but not a script, that better weights than the default exist."""
    from .. import zoo
    from ..progress import megabytes

    entries = zoo.registry()
    best = next((entry for entry in entries.values() if entry.archive), None)
    if best is not None and sys.stderr.isatty():
        note = (
            f"note: {DEFAULT_MODEL} has small networks trained without MUSDB18-HQ; --model "
            f"{best.name} separates far better (downloads {megabytes(best.archive.bytes)} once)"
        )
        if "spleeter_small" in entries:  # another registry may lack it
            note += ", --model spleeter_small separates vocals better (downloads 89 MB once)"
        print(note, file=sys.stderr)


def _inputs(options: argparse.Namespace, reporter: ForPeople) -> tuple[list[Path], set[Path], int]:
    """Return the inputs, those among them that are named, and the number of failures.

    What searched folders have in the output folder is left out. For a shard the inputs are sorted
    by their paths below the folders given, whose own paths may differ between machines.
    """
    from ..audio import find_inputs

    output = Path(os.path.realpath(options.output))
    inputs: dict[str, tuple[tuple[str, ...], Path]] = {}
    named: set[Path] = set()
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
            reporter.failed(None, error)
        else:
            for file in found:
                below = file.relative_to(given) if os.path.isdir(given) else Path(file.name)
                inputs.setdefault(os.path.realpath(file), (below.parts, file))
            if not os.path.isdir(given):
                named.update(found)
    paths = list(inputs.values())
    if options.shard is not None:
        paths.sort()
    return [file for _, file in paths], named, failures


def _songs(
    files: Sequence[Path], named: Collection[Path], sources: Sequence[str], work: Work
) -> list[Song]:
    """Return the songs among the inputs, with the names of their stems.

    If the output folder is one that is searched, it holds stems of earlier runs. An input is left
    out if it is a stem of another one, unless it is named.
    """
    from ..audio.names import unique_names

    output = os.path.realpath(work.output)
    while True:
        songs = list(map(Song, files, unique_names(files)))
        within = {file for file in files if os.path.realpath(file).startswith(output + os.sep)}
        if not within - set(named):
            return songs
        stems = {
            os.path.realpath(Path(output, path))
            for song in songs
            for path in _stem_paths(song.track, sources, work.files)
        }
        # Without the stems, songs of their names get other numbers, and further stems are found.
        left = [f for f in files if f in named or os.path.realpath(f) not in stems]
        if len(left) == len(files):
            return songs
        files = left
