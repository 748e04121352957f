"""`asteroid-bsrnn convert`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import zoo
from ..errors import UserError
from ..models import SourceModel
from ..weights import checkpoint, install
from .values import name


def add_convert(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "convert",
        description="Convert checkpoints of the code of arXiv 2603.09187 to one model file. "
        "Several checkpoints of one source each become one separator; a folder stands for the "
        "checkpoints (*.ckpt) in it. Nothing in the files is executed. The study's published "
        "weights need no conversion: --model downloads them by name; --name takes them from files "
        "that were downloaded by hand.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=name,
        metavar="CKPT",
        help="checkpoints, or their folder; with --name also the published zip archive",
    )
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument(
        "-o", "--output", type=name, metavar="FILE", help="write the model to this file"
    )
    target.add_argument(
        "--name",
        help="keep them as the published weights of this name (see: asteroid-bsrnn models)",
    )
    parser.add_argument("--half", action="store_true", help="store the weights in float16")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> int:
    if options.name:
        return _import(options)
    target = Path(options.output)
    if target.exists() and not options.overwrite:
        raise UserError(f"{target}: exists already; use --overwrite to replace it")
    model = zoo.from_reference_files(options.inputs)
    path = checkpoint.save_model(model.half() if options.half else model, target)
    _show(path, checkpoint.load_model(path))
    return 0


def _import(options: argparse.Namespace) -> int:
    if options.half:
        raise UserError("--half goes with --output only; weights with a name are kept as they are")
    entry = zoo.registry().get(options.name)
    if entry and not entry.embedded and install.installed(entry) and not options.overwrite:
        raise UserError(f"{options.name}: is here already; use --overwrite to replace it")
    zoo.import_reference(options.name, options.inputs)
    _show(install.folder_of(entry), zoo.load(options.name))
    return 0


def _show(path: Path, model: SourceModel) -> None:
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{path}: {', '.join(model.sources)}; {n_parameters / 1e6:.2f} M parameters")
