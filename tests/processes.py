"""Programs that tests start, kill and wait for; what they print goes to a file."""

import os
import subprocess
from pathlib import Path


def start(command, log: Path, cwd: Path, **kwargs) -> subprocess.Popen:
    """Start a program whose output is appended to a file."""
    # One thread a process: two of them run side by side, and the order of sums is fixed.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    with open(log, "ab") as file:
        return subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            **kwargs,
        )


def finish(process: subprocess.Popen, log: Path) -> str:
    """Wait for a program, which must end well; its output."""
    code = process.wait(timeout=300)
    output = log.read_text()
    assert code == 0, output
    return output
