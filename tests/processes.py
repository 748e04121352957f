"""Programs that tests start, kill and wait for; what they print goes to a file."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
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


FORKS = """
import importlib, json, os, sys, traceback
sys.path.insert(0, os.getcwd())
name = sys.argv[1]
module = importlib.import_module(name)

for line in sys.stdin:
    log, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        output = os.open(log, os.O_CREAT | os.O_WRONLY)
        os.dup2(output, 1), os.dup2(output, 2)
        sys.argv, code = [name + ".py", *arguments], 1
        try:
            code = module.main()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@contextlib.contextmanager
def forks(cwd: Path, name: str, logs: Path):
    """Give a script's `main` as a function of its arguments, which returns exit code and output.

    Each call is a fork of one process that has imported everything, which saves the imports.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", FORKS, name],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    numbers = itertools.count()

    def call(*arguments):
        log = logs / f"{next(numbers)}.log"
        print(json.dumps([str(log), *map(str, arguments)]), file=process.stdin, flush=True)
        return int(process.stdout.readline()), log.read_text()

    yield call
    process.stdin.close()
    process.wait(timeout=30)


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
    harness = [sys.executable, Path(__file__).with_name("killing.py"), program, seed, kills]
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
