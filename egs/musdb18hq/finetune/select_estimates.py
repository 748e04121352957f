"""Stage 1: select the windows of the estimates for training, and print the figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from tqdm import tqdm

import teachers
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.data import SOURCES, Filter, read_songs, select, selection_table
from asteroid_bsrnn.files import write_json

HELP = {
    "window": "seconds on which one decision is made",
    "level": "least level of a part, dB of full scale",
    "share": "least energy of a part, and of everything else, dB of the mixture's",
    "agreement": "least SDR between two teachers, dB",
    "sample_rate": "least sample rate of a song, hertz",
    "channels": "most channels of a song",
}


@reports_mistakes
def main(arguments: Sequence[str] | None = None) -> int:
    """Select the windows, write the selection, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    teachers.add_options(parser)
    parser.add_argument("--selection", type=Path, help="default: selection.json in --estimates")
    for setting in fields(Filter):
        parser.add_argument(
            f"--{setting.name}",
            type=type(setting.default),
            default=setting.default,
            help=f"{HELP[setting.name]} ({setting.default})",
        )
    options = parser.parse_args(arguments)
    path = options.selection or options.estimates / "selection.json"
    settings = Filter(
        **{setting.name: getattr(options, setting.name) for setting in fields(Filter)}
    )
    songs = read_songs(options.songs, SOURCES)
    folders = [teacher.folder(options.estimates) for teacher in teachers.load(options)]
    with tqdm(total=len(songs), desc="songs", disable=None) as bar:
        selection = select(
            songs,
            folders,
            options.estimates / teachers.KNOWN,
            path,
            sources=SOURCES,
            settings=settings,
            progress=lambda done, total: bar.update(done - bar.n),
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, selection)
    print(selection_table(selection))
    print(f"the selection: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
