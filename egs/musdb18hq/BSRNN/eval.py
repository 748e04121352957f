"""Stage 3: separate the test tracks with the best weights and score them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import data_groups
import recipe
from asteroid_bsrnn import presets
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.evaluation import evaluate_model
from asteroid_bsrnn.evaluation.datasets import EvaluationTracks
from asteroid_bsrnn.evaluation.records import candidate
from asteroid_bsrnn.memory import keep_freed_memory
from asteroid_bsrnn.progress import progress_bar


@reports_mistakes
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
    summary = score(options)
    del summary["settings"]
    print(json.dumps(summary, indent=2))
    return 0


def score(options) -> dict:
    """Return the figures of the run's best weights."""
    config = recipe.configure(options)
    run = Path(options.exp_dir)
    part = options.split or options.subset
    # Without a split, the train folder counts as a whole.
    split = "train+valid" if options.subset == "train" and options.split is None else part
    others = data_groups.LAYOUT in config  # than the stems of MUSDB18
    data = EvaluationTracks(
        options.root,
        split,
        sources=None if others else presets.SOURCES,
        validation_tracks=recipe.validation_names(config),
        layout=data_groups.layout_of(config) if others else None,
    )
    chunks = {name: config["validation"][name] for name in ("segment", "overlap", "hop")}
    with progress_bar("tracks") as progress:
        record = evaluate_model(
            candidate(run),
            data,
            folder=run / f"evaluation_{part}",
            separator={**chunks, "device": options.device},
            museval_processes=options.museval,
            progress=progress,
        )
    return dict(record.summary)


if __name__ == "__main__":
    keep_freed_memory()
    sys.exit(main())
