"""Stage 1: find the active segments of every stem, and keep them for the training."""

import sys
from pathlib import Path

from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).parent.parent))

import recipe
from asteroid_bsrnn import UserError


def main() -> int:
    """Fill the cache of the activity."""
    options = recipe.parser(__doc__).parse_args()
    try:
        config = recipe.configure(options)
        tracks = recipe.build_tracks(config, options.root, "train", "train")
        with tqdm(desc="stems", disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            activity = recipe.build_activity(config, options.root, tracks, progress)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if activity is None:
        print(f"row {options.row} uses no activity detection")
    else:
        print(f"{len(activity)} stems, {sum(map(len, activity.values()))} active windows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
