"""Collect runs into the paper's table, with the paper's figures beside them.

python table.py exp/train_* -o table.md      # or .csv, .tex; prints Markdown without -o
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from asteroid_bsrnn import UserError
from asteroid_bsrnn.cli.terminal import reports_mistakes
from asteroid_bsrnn.costs.paper_table import collect, to_markdown, write


@reports_mistakes
def main() -> int:
    """Print or write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", help="folders of runs")
    parser.add_argument("-o", "--output", help="table.md, table.csv or table.tex")
    parser.add_argument(
        "--test", action="store_true", help="cSDR on the test tracks (stage 3), not validation uSDR"
    )
    options = parser.parse_args()
    scores = {run: test_scores(run) for run in options.runs} if options.test else None
    table = collect(options.runs, test_scores=scores)
    if options.output:
        write(table, options.output)
    else:
        print(to_markdown(table))
    return 0


def test_scores(run: str) -> dict[str, float]:
    """Return the cSDR of each source on the test tracks.

    Raises:
        UserError: if the run was not evaluated.
    """
    path = Path(run) / "evaluation_test" / "final_metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: missing; run stage 3 first")
    return json.loads(path.read_text(encoding="utf-8"))["csdr"]


if __name__ == "__main__":
    sys.exit(main())
