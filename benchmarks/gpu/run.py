"""Run the sections, each in a process of its own with a share of the time, and write the tables.

`benchmarks/gpu.sh` sets up the paths and calls this script.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from common import BROKEN_GPU
from report import write

HERE = Path(__file__).parent
# Share of the time of each section, in running order.
SECTIONS = {
    "correctness": 12, "training": 40, "separation": 13, "loading": 10, "learning": 16, "layers": 9,
}  # fmt: skip


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="folder; default: $OUT or benchmarks/results")
    parser.add_argument("--minutes", type=float, default=9.5, help="for all sections together")
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="tiny networks, to test the script")
    return parser.parse_args()


def main() -> int:
    """Run all sections and return 1 if one of them failed a check or crashed."""
    options = parse()
    folder = options.output or os.environ.get("OUT") or HERE.parent / "results"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "results.jsonl"
    results.write_text("", encoding="utf-8")
    deadline = time.monotonic() + 60 * options.minutes
    if run("header", 60, options, results):
        return 2
    failures = []
    waiting = list(options.sections)
    while waiting:
        name = waiting.pop(0)
        # Later sections get the time that a section leaves.
        share = SECTIONS[name] / (SECTIONS[name] + sum(SECTIONS[other] for other in waiting))
        seconds = share * (deadline - time.monotonic())
        failures.append(run(name, seconds, options, results))
        report = write(results, options.device, options.quick)
    print(report.read_text(encoding="utf-8"))
    return int(any(failures))


def run(name: str, seconds: float, options: argparse.Namespace, results: Path) -> bool:
    """Run one section in a process of its own, so that a crash of the GPU ends only this one."""
    print(f"\n## {name} (at most {seconds:.0f} s)", flush=True)
    began = time.monotonic()
    command = [sys.executable, str(HERE / f"{name}.py"), str(results), options.device]
    command += [str(began + seconds), "quick" if options.quick else "whole"]
    code = BROKEN_GPU
    try:
        while code == BROKEN_GPU and time.monotonic() < began + seconds:
            # The section keeps to its time; the limit ends one that hangs.
            code = subprocess.run(command, timeout=seconds + 15, check=False).returncode
        trouble = f"failed, with code {code}" if code else None
    except subprocess.TimeoutExpired:
        trouble = "was stopped: it took longer than its time"
    print(f"{name}: {trouble or 'done'}, {time.monotonic() - began:.0f} s", flush=True)
    if trouble:
        line = f'{{"section": "trouble", "name": "{name}", "message": "{trouble}"}}\n'
        with results.open("a", encoding="utf-8") as file:
            file.write(line)
    return trouble is not None


if __name__ == "__main__":
    sys.exit(main())
