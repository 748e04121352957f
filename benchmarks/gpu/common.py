"""What the sections share: their arguments, their results, their clock."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

# The exit code of a section that has to go on in a fresh process.
BROKEN_GPU = 3


@dataclass
class Section:
    """A section's place in the run.

    Attributes:
        name: of the section.
        results: file that its results are added to.
        device: "cuda" or "cpu".
        deadline: on the monotonic clock, in seconds.
        quick: whether everything is tiny.
    """

    name: str
    results: Path
    device: str
    deadline: float
    quick: bool

    @classmethod
    def from_command_line(cls) -> Section:
        """As `run.py` calls a section."""
        results, device, deadline, size = sys.argv[1:5]
        name = Path(sys.argv[0]).stem
        return cls(name, Path(results), device, float(deadline), size == "quick")

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.deadline - time.monotonic()

    def add(self, name: str, **values) -> None:
        """Write a result down, and print it."""
        record = {"section": self.name, "name": name, **values}
        with self.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        shown = ", ".join(f"{key} {_short(value)}" for key, value in values.items())
        print(f"{name}: {shown}", flush=True)

    def attempt(self, name: str, function: Callable[[], dict], seconds: float = 0.0) -> dict | None:
        """Add what a function measures; a failure is a result too, and so is a lack of time.

        What an earlier process of the same section has measured is not measured again.
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
        except Exception as error:  # whatever it is, the other rows count
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
    """Seconds of one call, the device's work included."""
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
    """Seconds of each call, as often as the time allows: 3 times at least, 50 at most."""
    for _ in range(1 if section.quick else warm_up):
        function()
    times: list[float] = []
    began = time.monotonic()
    most = 3 if section.quick else 50
    while len(times) < most and (len(times) < 3 or time.monotonic() - began < seconds):
        times.append(seconds_of(function, section.device))
    return times


def spread(times: list[float]) -> dict[str, float]:
    """Median, lowest and highest."""
    return {"median_s": statistics.median(times), "low_s": min(times), "high_s": max(times)}


def records(results: Path) -> Iterator[dict]:
    """All results so far."""
    for line in results.read_text(encoding="utf-8").splitlines():
        yield json.loads(line)
