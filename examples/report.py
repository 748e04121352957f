"""Evaluate the weights in the package, and make a page of the results with players.

The six seconds of real music come with the package `stempeg`. `egs/openstems` renders a
few test songs from packages that pip has installed; `OPENSTEMS=DIR make report` takes those of a
data set instead. Everything is written to `report-example/`; the page
is `report-example/report/index.html`.
"""

import os
import subprocess
import sys
from pathlib import Path

import soundfile

from asteroid_bsrnn import cli, zoo
from demo import read_excerpt

FOLDER = Path("report-example")
GENERATE = Path(__file__).resolve().parents[1] / "egs" / "openstems" / "generate.py"
HELD_OUT_SONGS, SECONDS = 3, 20


def write_excerpt(folder: Path) -> Path:
    """Write the excerpt as a folder of stems, and return the folder that contains it."""
    stems, rate = read_excerpt()
    track = folder / "The Easton Ellises - Falcon 69 (excerpt)"
    track.mkdir(parents=True, exist_ok=True)
    for name, stem in stems.items():
        soundfile.write(track / f"{name}.wav", stem.T, rate, subtype="FLOAT")
    return folder


def render_held_out_songs(root: Path) -> Path:
    """Render songs of the test split, which shares no speaker or instrument with training."""
    options = ["--songs", HELD_OUT_SONGS, "--seconds", SECONDS, "--shares", 0, 0, 1]
    command = [sys.executable, GENERATE, "build", "--root", root, *options, "--clients", "pip"]
    code = subprocess.run([str(part) for part in command]).returncode
    if code:
        sys.exit(code)
    return root


def run(*arguments: object) -> None:
    """Run the command line, and exit with its code if it fails."""
    code = cli.main([str(argument) for argument in arguments])
    if code:
        sys.exit(code)


def main() -> None:
    """Evaluate, compare, report."""
    named = os.environ.get("OPENSTEMS")
    roots = [
        write_excerpt(FOLDER / "data" / "excerpt"),
        Path(named) if named else render_held_out_songs(FOLDER / "data" / "openstems"),
    ]
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
