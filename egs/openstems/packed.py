#!/usr/bin/env python3
"""Pack training data as Opus for another machine, and unpack them there, as gpu_job.sh does.

    python packed.py pack DIR --data data --selection exp/estimates/selection.json
    python packed.py unpack DIR OUTPUT

Exit codes: 0 done, 2 a user's mistake (one line on stderr).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from openstems.errors import UserError  # noqa: E402
from openstems.packing import Amounts, pack, unpack  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "unpack":
            unpack(options.folder, options.output)
        else:
            chosen = {field.name: getattr(options, field.name) for field in fields(Amounts)}
            pack(options.data, options.selection, options.folder, Amounts(**chosen), _show)
    except UserError as error:
        print(f"packed.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _show(line: str) -> None:
    print(line, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    command = commands.add_parser("pack", help="encode labelled songs and songs without stems")
    command.add_argument("folder", metavar="DIR", type=Path, help="a new folder")
    command.add_argument("--data", type=Path, required=True, help="a data set of generate.py")
    command.add_argument(
        "--selection",
        type=Path,
        required=True,
        help="selection of stage 1 of ../musdb18hq/finetune",
    )
    units = {
        "megabytes": "approximate size of all files in 2^20 bytes",
        "kbps": "bit rate of a stereo file in kb/s",
        "seconds": "seconds of a song with a teacher's estimates",
        "silent_seconds": "seconds of a song that lacks a source",
        "validation": "number of labelled validation songs",
    }
    for field in fields(Amounts):
        command.add_argument(
            f"--{field.name}",
            type=type(field.default),
            default=field.default,
            help=f"{units[field.name]}; default: %(default)s",
        )
    command = commands.add_parser("unpack", help="decode them into wav files")
    command.add_argument("folder", metavar="DIR", type=Path, help="what was packed")
    command.add_argument("output", metavar="OUTPUT", type=Path, help="folder of the wav files")
    return parser


if __name__ == "__main__":
    sys.exit(main())
