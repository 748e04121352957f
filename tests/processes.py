"""Programs that tests start, kill and wait for; what they print goes to a file."""

import json
import os
import signal
import subprocess
from pathlib import Path

from .warm_python import python


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


def run(arguments, cwd: Path) -> tuple[int, str]:
    """Run a Python program in a warm interpreter; its exit code and output."""
    done = subprocess.run(
        [python(), *map(str, arguments)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


def kill(program, seed, kills, folder: Path, *arguments, cwd=None) -> list:
    """Kill a program that writes to a folder again and again, then let it finish.

    Args:
        program: `train` or a command of `asteroid-bsrnn`.
        seed: seed of the random moments.
        kills: number of processes to kill. Fewer are if one finishes before its moment.
        folder: what the program writes to.
        *arguments: arguments of the program.
        cwd: the recipe's folder for `train`.

    Returns:
        The moment and the exit code of each process.
    """
    harness = [python(), Path(__file__).with_name("killing.py"), program, seed, kills]
    run = subprocess.run(
        [str(part) for part in [*harness, folder, *arguments]],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stderr
    ends = json.loads(run.stdout.splitlines()[-1])
    assert ends[-1][1] == 0, (ends, run.stderr)
    assert all(code == -signal.SIGKILL for _, code in ends[:-1]), (ends, run.stderr)
    return ends
