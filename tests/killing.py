"""Run a training again and again, each time killed with SIGKILL at another moment.

python killing.py SEED KILLS [train.py's arguments], in the recipe's folder. It prints how each
process ended, as JSON. All processes are forks of this one, which has imported everything.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, os.getcwd())
import train  # noqa: E402

from asteroid_bsrnn.costs.record import read  # noqa: E402
from asteroid_bsrnn.engine.config import load  # noqa: E402

# What is being written when the process dies, and the share of the kills.
FILES = ("latest-", "best-", "ledger", "best_model", "conf")


def main() -> None:
    seed, kills, arguments = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    rng = random.Random(seed)
    folder = Path(arguments[arguments.index("--exp_dir") + 1])
    ends = []
    for number in range(kills + 1):
        moment = None if number == kills else choose(rng)
        child = os.fork()
        if child == 0:
            run(moment, arguments)
        if moment is not None and moment[0] == "time":
            # Some moments are before the first step: not every process gets far.
            time.sleep(moment[2])
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        ends.append([moment, os.waitstatus_to_exitcode(status)])
        for name in ("ledger.json", "conf.yml", "best_model.pth"):
            check(folder / name)
        if ends[-1][1] != -signal.SIGKILL:
            break
    print(json.dumps(ends))


def choose(rng: random.Random) -> tuple:
    """A moment: an event of a file and its delay, or a time."""
    if rng.random() < 0.3:
        return ("time", "", rng.uniform(0.2, 4.0))
    return (rng.choice(("open", "rename")), rng.choice(FILES), rng.choice((0, 0, 0.0005, 0.002)))


def run(moment: tuple | None, arguments: list[str]) -> None:
    """Train in this process, which ends."""
    if moment is not None and moment[0] != "time":
        kind, name, delay = moment

        def die() -> None:
            os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, values: tuple) -> None:
            if event not in ("open", "os.rename"):
                return
            path = Path(str(values[1] if event == "os.rename" else values[0]))
            writing = event == "os.rename" or path.name.startswith(".")
            wanted = {"open": "open", "rename": "os.rename"}[kind]
            if event == wanted and writing and path.name.lstrip(".").startswith(name):
                threading.Timer(delay, die).start() if delay else die()

        sys.addaudithook(hook)
    sys.argv = ["train.py", *arguments]
    code = 1
    try:
        code = train.main()
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def check(path: Path) -> None:
    """Whatever a killed process left under its name is whole."""
    if not path.exists():
        return
    if path.name == "ledger.json":
        read(path)
    elif path.name == "conf.yml":
        assert load(path)["training"]
    else:
        train.checkpoint.load_dict(path)


if __name__ == "__main__":
    main()
