"""Separate the songs of folders with Ray Data, on one machine or on a cluster.

    python examples/ray_separate.py FOLDER... -o OUTPUT --actors 2

Each actor has a `Separator` and gets batches of songs. All machines must have access to the folders
and OUTPUT. Finished songs are left out, so that the same command resumes after a failure.
"""

import argparse
import sys
import warnings
from pathlib import Path

from asteroid_bsrnn import Separator, UserError
from asteroid_bsrnn.audio import find_inputs
from asteroid_bsrnn.audio.names import unique_names


class SeparateSongs:
    """Actor that writes the stems of songs.

    Args:
        output: folder of the stems.
        separator: arguments of `Separator`.
        files: options of `Separator.separate_file`.
    """

    def __init__(self, output, separator, files):
        warnings.filterwarnings("ignore", category=FutureWarning)
        self.output, self.files = output, files
        self.separator = Separator(**separator)

    def __call__(self, batch):
        """Return the songs of a batch with the numbers of their stems, and errors."""
        stems, errors = [], []
        for path, track in zip(batch["path"], batch["track"], strict=True):
            try:
                paths = self.separator.separate_file(
                    str(path), self.output, track=str(track), skip_existing=True, **self.files
                )
                stems.append(len(paths))
                errors.append("")
            except UserError as error:  # one damaged file must not stop the others
                stems.append(0)
                errors.append(str(error))
        return {"path": batch["path"], "stems": stems, "error": errors}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("inputs", nargs="+", help="songs, or folders of songs")
    parser.add_argument("-o", "--output", required=True, help="folder of the stems")
    parser.add_argument("--model", help="as for asteroid-bsrnn separate")
    parser.add_argument("--format", default="wav", help="as for asteroid-bsrnn separate")
    parser.add_argument("--actors", type=int, default=2, help="number of actors (2)")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each actor (0)")
    parser.add_argument("--batch", type=int, default=4, help="songs in a batch (4)")
    parser.add_argument("--address", help="of a running cluster; default: this machine")
    options = parser.parse_args(arguments)

    import ray

    try:
        songs = find_inputs(options.inputs)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    ray.init(address=options.address)
    items = [
        {"path": str(path.resolve()), "track": track}
        for path, track in zip(songs, unique_names(songs), strict=True)
    ]
    # One block per batch: an actor gets the next batch when it has finished one.
    blocks = -(-len(items) // options.batch)
    device = "cuda" if options.gpus else "cpu"
    done = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        SeparateSongs,
        fn_constructor_kwargs={
            "output": str(Path(options.output).resolve()),
            "separator": {"model": options.model, "device": device},
            "files": {"format": options.format},
        },
        batch_size=options.batch,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=options.actors),
        num_gpus=options.gpus,
    )
    failed = 0
    for row in done.iter_rows():
        if row["error"]:
            failed += 1
            print(f"error: {row['error']}", file=sys.stderr)
    print(f"{len(items) - failed} of {len(items)} songs are separated, in {options.output}")
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
