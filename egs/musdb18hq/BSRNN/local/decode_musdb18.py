"""Decode MUSDB18's .stem.mp4 files to wav files in the layout of MUSDB18-HQ."""

import argparse
import sys

from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.data import decode_musdb18
from asteroid_bsrnn.progress import progress_bar


@reports_mistakes
def main() -> int:
    """Decode all tracks."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", required=True, help="folder with train/ and test/ in it")
    options.add_argument("--output", required=True, help="folder for the wav files, 23 GB")
    arguments = options.parse_args()
    with progress_bar("tracks") as progress:
        count = decode_musdb18(arguments.root, arguments.output, progress)
    print(f"{count} tracks in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
