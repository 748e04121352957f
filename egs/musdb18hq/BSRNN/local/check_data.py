"""Stage 0: list everything that is missing or wrong in the data."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import data_groups
import recipe
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.data import Layout, verify
from asteroid_bsrnn.engine import config as configuration

ZENODO = "https://zenodo.org/records/3338373"


@reports_mistakes
def main() -> int:
    """Print one line for each problem, and return 2 if there is any."""
    options = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    options.add_argument("--root", required=True, help="folder with train/ and test/ in it")
    options.add_argument(
        "--musdb18hq", action="store_true", help="whether the data must be MUSDB18-HQ as published"
    )
    options.add_argument("--row", default="bsrnn", help="row that describes the data")
    options.add_argument("--set", nargs="+", default=[], metavar="GROUP.KEY=VALUE")
    # Stage 0 gets the options of all stages.
    arguments, _ = options.parse_known_args()
    problems = find_problems(arguments)
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


def find_problems(arguments: argparse.Namespace) -> list[str]:
    """Return a line for each problem of the data, as the configuration describes them."""
    _, _, config = recipe.merged(arguments.row, configuration.parse_changes(arguments.set))
    layout = data_groups.layout_of(config)
    expected = arguments.musdb18hq and config["data"]["musdb18hq"]
    # Another data set has validation tracks of its own, which the configuration names.
    names = None if expected else (recipe.validation_names(config) or ())
    return verify(
        arguments.root,
        validation_tracks=names,
        channels=2 if layout == Layout() else None,
        with_mixture=layout.mixture is not None,
        expect_musdb18hq=expected,
        layout=layout,
    )


if __name__ == "__main__":
    sys.exit(main())
