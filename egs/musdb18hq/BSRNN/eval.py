"""Stage 3: separate the test tracks with the best weights and score them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tqdm import tqdm

import recipe
from asteroid_bsrnn import Separator, UserError
from asteroid_bsrnn.data import WholeTracks, fingerprint
from asteroid_bsrnn.evaluation import evaluate
from asteroid_bsrnn.memory import keep_freed_memory
from asteroid_bsrnn.separation.separator import SCORING
from asteroid_bsrnn.weights.cache import sha256_of


def main() -> int:
    """Evaluate, print the figures, and return the exit code."""
    parser = recipe.parser(__doc__)
    parser.add_argument("--subset", choices=("train", "test"), default="test")
    parser.add_argument("--split", choices=("train", "valid"), help="of the train folder")
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--museval",
        type=int,
        default=0,
        metavar="N",
        help="museval's SDR, ISR, SIR and SAR too, in N processes; takes hours",
    )
    options = parser.parse_args()
    try:
        summary = score(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shown = {key: value for key, value in summary.items() if key not in ("settings",)}
    print(json.dumps(shown, indent=2))
    return 0


def score(options) -> dict:
    """The figures of the run's best weights."""
    config = recipe.configure(options)
    folder = Path(options.exp_dir)
    weights = folder / "best_model.pth"
    validation = config["validation"]
    separator = Separator(
        weights,
        segment=validation["segment"],
        overlap=validation["overlap"],
        hop=validation["hop"],
        device=options.device,
        **SCORING,
    )
    tracks = recipe.build_tracks(config, options.root, options.subset, options.split)
    dataset = WholeTracks(
        tracks, sample_rate=separator.sample_rate, infos=recipe.data_infos(config)
    )
    part = options.subset if options.split is None else options.split
    with tqdm(desc="tracks", disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return evaluate(
            separator,
            dataset,
            folder / f"evaluation_{part}",
            sources=recipe.STEMS,
            settings={
                "weights_sha256": sha256_of(weights),
                "data_fingerprint": fingerprint(options.root, tracks),
                "part": part,
            },
            museval_processes=options.museval,
            progress=progress,
        )


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
