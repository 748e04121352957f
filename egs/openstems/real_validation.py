#!/usr/bin/env python3
"""Validate models on recordings of real music.

    python real_validation.py build DIR --recordings RECORDINGS
    python real_validation.py evaluate small small_bag spleeter mine.pth --root DIR --against small

Exit codes: 0 done, 2 a user's mistake (one line on stderr).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from openstems.errors import UserError  # noqa: E402
from openstems.materials import CLIENTS, Materials  # noqa: E402


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    import asteroid_bsrnn

    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (UserError, asteroid_bsrnn.UserError) as error:
        print(f"real_validation.py: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def build(options: argparse.Namespace) -> int:
    """Build the validation set."""
    from openstems.materials.fetch import fetch
    from openstems.real.songs import real_songs, write_set

    shared = {"directory": options.materials, "recordings": options.recordings}
    whole = Materials(clients=("apt",), kinds=("songs",), without=("megaglest-data",), **shared)
    parts = Materials(clients=CLIENTS, **shared)
    fetch(whole, _show)
    manifest = write_set(options.root, real_songs(parts, whole), _show)
    minutes = sum(song["seconds"] for song in manifest["songs"]) / 60
    _show(f"{options.root}: {len(manifest['songs'])} songs, {minutes:.1f} minutes")
    return 0


def evaluate(options: argparse.Namespace) -> int:
    """Print the tables and write them beside the records."""
    from asteroid_bsrnn.evaluation.records import candidate
    from openstems.real import scores as validation
    from openstems.real.songs import MANIFEST

    if not (options.root / MANIFEST).is_file():
        raise UserError(f"{options.root}: no validation set; make one with 'build'")
    models = [candidate(name) for name in options.models]
    labels = [model.label for model in models]
    if options.against not in labels:
        raise UserError(f"--against {options.against}: not among the models {', '.join(labels)}")
    separator = {"device": options.device, "precision": options.precision}
    figures = [
        validation.measure(model, options.root, options.output, separator, _progress)
        for model in models
    ]
    against = figures[labels.index(options.against)]
    text = [validation.figures_table(figures), validation.groups_table(figures)]
    if len(figures) > 1:
        text.append(validation.differences_table(figures, against))
    loudest = "; ".join(map(validation.loudest_false_vocals, figures))
    text.append(f"The loudest false vocals in a piece: {loudest}.")
    for model in figures:
        if model is not against:
            problems = validation.obstacles(model, against)
            verdict = f"no ({'; '.join(problems)})" if problems else "yes"
            text.append(f"May `{model.label}` replace `{against.label}`? {verdict}.")
    page = "\n\n".join(text) + "\n"
    (options.output / "table.md").write_text(page, encoding="utf-8")
    scores = {
        "songs": [list(song) for song in against.songs],
        "models": {
            model.label: {
                "sha256": given.sha256,
                **{name: _plain(model.scores[name]) for name in validation.COLUMNS},
            }
            for model, given in zip(figures, models, strict=True)
        },
    }
    (options.output / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")
    print(page, end="")
    return 0


def _plain(scores) -> list[float | None]:
    return [round(float(score), 4) if score == score else None for score in scores]


def _show(line: str) -> None:
    print(line, flush=True)


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    text = "Build the set from downloaded songs and recordings."
    command = commands.add_parser("build", help=text, description=text)
    command.add_argument("root", metavar="DIR", type=Path, help="a new folder")
    command.add_argument(
        "--recordings",
        metavar="DIR",
        type=Path,
        help="folder with copies of materials of git, and of everythingisfree "
        "($OPENSTEMS_RECORDINGS)",
    )
    command.add_argument("--materials", metavar="DIR", type=Path, help="as of generate.py")
    command.set_defaults(run=build)
    text = "Separate the set with models, and print figures, paired tests and the rule's verdict."
    command = commands.add_parser("evaluate", help=text, description=text)
    command.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="anything that asteroid-bsrnn evaluate takes",
    )
    command.add_argument("--root", metavar="DIR", type=Path, required=True, help="the set")
    command.add_argument(
        "--against",
        metavar="MODEL",
        default="small_bag",
        help="model to compare with; default: %(default)s",
    )
    command.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("real_validation"),
        help="folder of the records, table.md and scores.json; default: %(default)s",
    )
    command.add_argument("--device", default="auto", help="auto, cpu, cuda, ...")
    command.add_argument("--precision", default="32", help="32, bf16 or 16")
    command.set_defaults(run=evaluate)
    return parser


if __name__ == "__main__":
    sys.exit(main())
