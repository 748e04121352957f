"""Evaluate the weights that ship, and make a page of the results to look at and listen to.

The six seconds of real music come with the package `stempeg`. Where the environment names a data
set of open stems (OPENSTEMS=DIR make report), its test songs are evaluated too. Everything goes to
`report-example/`; the page is `report-example/report/index.html`.
"""

import os
import sys
from pathlib import Path

import soundfile

from asteroid_bsrnn import cli, zoo
from demo import read_excerpt

FOLDER = Path("report-example")


def write_excerpt(folder: Path) -> Path:
    """The excerpt as a track's folder of stems; returns the folder of tracks."""
    stems, rate = read_excerpt()
    track = folder / "The Easton Ellises - Falcon 69 (excerpt)"
    track.mkdir(parents=True, exist_ok=True)
    for name, stem in stems.items():
        soundfile.write(track / f"{name}.wav", stem.T, rate, subtype="FLOAT")
    return folder


def run(*arguments: object) -> None:
    """The command line, which has said what is wrong where it ends early."""
    code = cli.main([str(argument) for argument in arguments])
    if code:
        sys.exit(code)


def main() -> None:
    """Evaluate, compare, report."""
    roots = [write_excerpt(FOLDER / "data" / "excerpt")]
    if os.environ.get("OPENSTEMS"):
        roots.append(Path(os.environ["OPENSTEMS"]))
    results = []
    for number, root in enumerate(roots):
        results.append(FOLDER / "results" / f"{number}_{root.resolve().name}")
        options = ["--root", root, "--output", results[-1], "--oracles"]
        run("compare", zoo.DEFAULT, *options, "--cost-repeats", 2)
    data = [part for root in roots for part in ("--root", root)]
    title = "asteroid-bsrnn: the weights that ship"
    options = ["-o", FOLDER / "report", "--title", title, "--overwrite"]
    run("report", *results, *data, *options)


if __name__ == "__main__":
    main()
