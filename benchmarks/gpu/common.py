"""Arguments, results and timing that the sections share."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# The exit code of a section that must continue in a new process.
BROKEN_GPU = 3


@dataclass
class Section:
    """Settings, time limit and results of a section.

    Attributes:
        name: name of the section.
        results: file to which its results are added.
        device: "cuda" or "cpu".
        deadline: end of its time on the monotonic clock, in seconds.
        quick: whether sizes are tiny, to test the script.
    """

    name: str
    results: Path
    device: str
    deadline: float
    quick: bool

    @classmethod
    def from_command_line(cls) -> Section:
        """Return the section that `run.py` started with its arguments."""
        results, device, deadline, size = sys.argv[1:5]
        name = Path(sys.argv[0]).stem
        return cls(name, Path(results), device, float(deadline), size == "quick")

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.deadline - time.monotonic()

    def add(self, name: str, **values) -> None:
        """Append a result to the file and print it."""
        record = {"section": self.name, "name": name, **values}
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        shown = ", ".join(f"{key} {_short(value)}" for key, value in values.items())
        print(f"{name}: {shown}", flush=True)

    def attempt(self, name: str, function: Callable[[], dict], seconds: float = 0.0) -> dict | None:
        """Add the result of a function; failures and rows without time left are results too.

        Results of an earlier process of the same section are not measured again.
        """
        import torch

        for record in records(self.results):
            if (record["section"], record["name"]) == (self.name, name):
                return None if "failed" in record else record
        if self.left < seconds:
            self.add(name, left_out=f"no time: {max(self.left, 0):.0f} s were left")
            return None
        try:
            values = function()
        except Exception as error:  # the other rows must still run
            message = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.add(name, failed=f"{type(error).__name__}: {message}"[:300])
            if "CUDA error" in message:
                raise SystemExit(BROKEN_GPU) from error
            torch.cuda.empty_cache()
            return None
        self.add(name, **values)
        return values


def _short(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds_of(function: Callable[[], object], device: str) -> float:
    """Return the seconds of one call, including the work of the device."""
    import torch

    if device == "cpu":
        began = time.perf_counter()
        function()
        return time.perf_counter() - began
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    function()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def repeated(
    function: Callable[[], object], section: Section, *, seconds: float, warm_up: int = 2
) -> list[float]:
    """Return the seconds of each of 3 to 50 calls, as many as the time allows."""
    for _ in range(1 if section.quick else warm_up):
        function()
    times: list[float] = []
    began = time.monotonic()
    most = 3 if section.quick else 50
    while len(times) < most and (len(times) < 3 or time.monotonic() - began < seconds):
        times.append(seconds_of(function, section.device))
    return times


def spread(times: list[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest value."""
    return {"median_s": statistics.median(times), "low_s": min(times), "high_s": max(times)}


def records(results: Path) -> Iterator[dict]:
    """Yield all results so far."""
    for line in results.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
