"""Run a program again and again, each time killed with SIGKILL at another moment.

`python killing.py PROGRAM SEED KILLS FOLDER ARGUMENTS...` runs `train` (train.py, in the recipe's
folder) or a command of `asteroid-bsrnn`, which writes to the folder. It prints as JSON how each
process ended. All processes are forks of this one, which has imported everything.
"""

import json
import os
import random
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

# The beginnings of the names of files (hidden while they are written), the events of Python that a
# process may die at, and the longest time after which it may die otherwise, in seconds.
MOMENTS = {
    "train": (
        ("latest-", "best-", "ledger", "best_model", "conf"),
        ("open", "os.rename"),
        4.0,
    ),
    "separate": (("vocals", "other", "incomplete-"), ("os.rename", "os.mkdir", "os.rmdir"), 0.5),
    "evaluate": (("0", "all_metrics", "final_metrics"), ("open", "os.rename"), 0.5),
}


def main() -> None:
    program, seed, kills, folder = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    entry = import_program(program)
    rng = random.Random(seed)
    ends = []
    for number in range(kills + 1):
        moment = None if number == kills else choose(program, rng)
        child = os.fork()
        if child == 0:
            run(entry, moment, sys.argv[5:])
        if moment is not None and moment[0] == "time":
            # Some moments are before the first step: not every process gets far.
            time.sleep(moment[2])
            os.kill(child, signal.SIGKILL)
        ends.append([moment, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])])
        for path in sorted(Path(folder).rglob("*")):
            check(path)
        if ends[-1][1] != -signal.SIGKILL:
            break
    # On a line of its own: a progress bar may stand before it.
    print("\n" + json.dumps(ends))


def import_program(program: str):
    """Return a function of the arguments, with all that it needs imported."""
    if program == "train":
        sys.path.insert(0, os.getcwd())
        import train

        def entry(arguments: list[str]) -> int:
            sys.argv = ["train.py", *arguments]
            return train.main()

        return entry
    import asteroid_bsrnn.evaluation.running  # noqa: F401
    import asteroid_bsrnn.separation.separator  # noqa: F401
    from asteroid_bsrnn import cli

    return lambda arguments: cli.main([program, *arguments])


def choose(program: str, rng: random.Random) -> tuple:
    """Return a moment: an event of a file, its delay and how many to let pass; or a time."""
    names, events, longest = MOMENTS[program]
    if rng.random() < 0.3:
        return ("time", "", rng.uniform(longest / 20, longest), 0)
    delay = rng.choice((0, 0, 0.0005, 0.002))
    return (rng.choice(events), rng.choice(names), delay, rng.choice((0, 0, 1)))


def run(entry, moment: tuple | None, arguments: list[str]) -> None:
    """Run the program in this process, which ends."""
    if moment is not None and moment[0] != "time":
        kind, name, delay, passing = moment

        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, values: tuple) -> None:
            nonlocal passing
            if event != kind:
                return
            path = Path(str(values[1] if event == "os.rename" else values[0]))
            writing = event != "open" or path.name.startswith(".")
            if writing and path.name.lstrip(".").startswith(name):
                passing -= 1
                if passing < 0:
                    threading.Timer(delay, die).start() if delay else die()

        sys.addaudithook(hook)
    code = 1
    try:
        code = entry(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def check(path: Path) -> None:
    """Assert that what a killed process left under a final name is whole."""
    from asteroid_bsrnn.audio import AudioFile
    from asteroid_bsrnn.weights import checkpoint

    if any(part.startswith(".") for part in path.parts):
        return
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".wav":
        AudioFile(path).read()
    elif path.name == "conf.yml":
        from asteroid_bsrnn.engine.config import load

        assert load(path)["training"]
    elif path.name == "best_model.pth":
        checkpoint.load_dict(path)
    elif path.suffix == ".csv":
        assert path.read_text().endswith("\n"), path


if __name__ == "__main__":
    main()
