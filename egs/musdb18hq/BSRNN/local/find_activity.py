"""Stage 1: find the active segments of every stem, and store them for the training."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import recipe
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.progress import progress_bar


@reports_mistakes
def main() -> int:
    """Fill the cache of the activity."""
    options = recipe.parser(__doc__).parse_args()
    config = recipe.configure(options)
    tracks = recipe.build_tracks(config, options.root, "train")
    with progress_bar("stems") as progress:
        activity = recipe.build_activity(config, options.root, tracks, progress)
    if activity is None:
        print(f"row {options.row} uses no activity detection")
    else:
        print(f"{len(activity)} stems, {sum(map(len, activity.values()))} active windows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
