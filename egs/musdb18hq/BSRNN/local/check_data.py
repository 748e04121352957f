"""Stage 0: name everything that is missing or wrong in the data."""

import argparse
import sys

from asteroid_bsrnn.data import verify

ZENODO = "https://zenodo.org/records/3338373"


def main() -> int:
    """Print one line for each problem; 2 if there is any."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", required=True, help="folder with train/ and test/ in it")
    options.add_argument(
        "--musdb18hq", action="store_true", help="the data are to be MUSDB18-HQ as published"
    )
    arguments = options.parse_args()
    expected = arguments.musdb18hq
    # Another data set has validation tracks of its own, which the configuration names.
    names = None if expected else ()
    problems = verify(arguments.root, validation_tracks=names, expect_musdb18hq=expected)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(
            f"{len(problems)} problem(s) in {arguments.root}. MUSDB18-HQ must be requested at "
            f"{ZENODO} and unpacked by hand; --musdb18hq false takes another data set.",
            file=sys.stderr,
        )
        return 2
    print(f"{arguments.root}: complete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
