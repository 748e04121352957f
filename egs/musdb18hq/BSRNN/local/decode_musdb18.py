"""Decode MUSDB18's .stem.mp4 files to wav files in the layout of MUSDB18-HQ."""

import argparse
import sys

from tqdm import tqdm

from asteroid_bsrnn import UserError
from asteroid_bsrnn.data import decode_musdb18


def main() -> int:
    """Decode, and return the exit code, 2 for a mistake of the user."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", required=True, help="folder with train/ and test/ in it")
    options.add_argument("--output", required=True, help="folder for the wav files, 23 GB")
    arguments = options.parse_args()
    try:
        with tqdm(desc="tracks", disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            count = decode_musdb18(arguments.root, arguments.output, progress)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{count} tracks in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
