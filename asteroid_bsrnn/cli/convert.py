"""`asteroid-bsrnn convert`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UserError
from .options import local_path


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
    target = Path(options.output)
    if target.exists() and not options.overwrite:
        raise UserError(f"{target}: exists already; use --overwrite to replace it")
    files = [file for given in options.inputs for file in find.checkpoints_in(given)]
    model = zoo.from_reference_files(files)
    infos = checkpoint.infos_of(files)
    path = checkpoint.save_model(model.half() if options.half else model, target, infos)
    _show(path, checkpoint.load_model(path))
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
    _show(cache.folder_of(entry), zoo.load(options.name))
    return 0


def _show(path: Path, model) -> None:
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    print(f"{path}: {', '.join(model.sources)}; {n_parameters / 1e6:.2f} M parameters")
