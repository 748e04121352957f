"""`asteroid-bsrnn report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errors import UserError
from ..files import read_names
from ..options import TESTS
from .options import local_path, number_within
from .terminal import show


def add_report(commands) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "report",
        description="Write a folder with a web page that opens from disk without a network: tables "
        "with links to the records, charts (also as PNG and SVG), learning curves, the paper's "
        "table, and players that switch between models.",
    )
    parser.add_argument(
        "inputs",
        nargs="+",
        type=local_path,
        metavar="RUNS",
        help="folders of results of evaluate, or of training runs, or folders of those; or a "
        "comparison written by compare -o FILE.json",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=local_path,
        default="report",
        metavar="DIR",
        help="the report's folder; default: %(default)s",
    )
    parser.add_argument("--title", default="Music source separation, compared", help="of the page")
    parser.add_argument("--test", choices=TESTS, default="wilcoxon", help="as in compare")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing report")
    listening = parser.add_argument_group("players")
    listening.add_argument(
        "--root",
        type=local_path,
        action="append",
        default=[],
        metavar="DATA",
        help="data of the evaluation, to listen to; repeatable; without it the report has no "
        "players",
    )
    listening.add_argument(
        "--tracks",
        nargs="+",
        default=["3"],
        metavar="N|TRACK",
        help="how many tracks, from the worst separated to the best, or their names; default: 3",
    )
    listening.add_argument(
        "--seconds",
        type=number_within(above=0),
        default=15.0,
        metavar="SECONDS",
        help="length of each excerpt; default: %(default)g",
    )
    listening.add_argument(
        "--validation-tracks",
        type=local_path,
        metavar="FILE",
        help="as in evaluate",
    )
    listening.add_argument("--device", default="auto", help="to separate on; default: %(default)s")
    parser.set_defaults(run=_report)


def _report(options: argparse.Namespace) -> int:
    from ..progress import progress_bar
    from ..report import Options, build

    wanted = Options(
        title=options.title,
        roots=tuple(options.root),
        tracks=_tracks(options.tracks),
        seconds=options.seconds,
        validation_tracks=read_names(options.validation_tracks),
        test=options.test,
        device=options.device,
        overwrite=options.overwrite,
    )
    with progress_bar("models") as progress:
        page, notes = build(
            [Path(given) for given in options.inputs], options.output, wanted, progress
        )
    for note in notes:
        print(note, file=sys.stderr)
    show(str(page))
    return 0


def _tracks(given: list[str]) -> int | list[str]:
    """Return a number of tracks, or names."""
    if len(given) == 1 and given[0].isdecimal():
        return int(given[0])
    if not all(given):
        raise UserError("--tracks: a name is empty; was a variable not set?")
    return given
