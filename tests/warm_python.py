"""A Python interpreter for tests that has already imported torch, Asteroid and Lightning.

Each program that `python()` starts is a fork of one server process, which spares the imports. It is
a process of its own, with its own arguments, environment, folder, files, exit code and signals. The
processes that `multiprocessing` spawns start in the same way. Tests of imports and of signals to a
whole group of processes use `sys.executable`.

Run as a program, this is the server: warm_python.py SOCKET
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import multiprocessing.spawn
import os
import runpy
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from pathlib import Path

MODULES = (
    "asteroid_bsrnn.cli.separate", "asteroid_bsrnn.data", "asteroid_bsrnn.engine.trainer",
    "asteroid_bsrnn.engine.callbacks", "asteroid_bsrnn.engine.system",
    "asteroid_bsrnn.evaluation.comparison", "asteroid_bsrnn.zoo", "av", "codecarbon", "omegaconf",
    "pandas", "torch.utils.tensorboard", "torch_audiomentations",
)  # fmt: skip

VARIABLE = "WARM_PYTHON"  # has the path of an interpreter whose server runs
MOST_FILES = 250  # of a program; the system passes at most 253

# Started in place of an interpreter. It hands over what a program is given, passes signals on, and
# ends as the program ends. When it is killed, the server kills the program.
CLIENT = """
import json, os, signal, socket, sys
def is_open(number):
    try:
        return os.get_inheritable(number)
    except OSError:  # the listing itself
        return False
files = sorted(number for number in map(int, os.listdir("/proc/self/fd")) if is_open(number))
request = os.memfd_create("request")
os.write(request, json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ), files]).encode())
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
socket.send_fds(server, [b"x"], [request, *files])
answers = server.makefile()
program = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    if signal.getsignal(number) != signal.SIG_IGN:
        signal.signal(number, lambda number, frame: os.kill(program, number))
code = int(answers.readline())
if code < 0:
    if code != -signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@functools.cache
def python() -> str:
    """Return the path of the interpreter; the first call starts its server.

    The server of `pytest -n` serves all of its processes.
    """
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    folder = tempfile.TemporaryDirectory(prefix="python")
    place = Path(folder.name)
    address = place / "socket"
    (place / "client.py").write_text(CLIENT)
    command = shlex.join([sys.executable, "-ISE", str(place / "client.py"), str(address)])
    (place / "python").write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    (place / "python").chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, __file__, str(address)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    # It imports while its first clients wait.
    assert server.stdout.readline() == b"listening\n", (
        "the server of tests/warm_python.py has failed"
    )

    @atexit.register
    def end() -> None:
        server.stdin.close()
        server.wait()
        folder.cleanup()

    return str(place / "python")


def serve(address: str) -> None:
    """Fork a program for each client, until standard input ends."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    print("listening", flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they would stand in the output of the first test
        for name in MODULES:
            importlib.import_module(name)
    # What programs start in their turn is warm too.
    sys.executable = str(Path(address).with_name("python"))
    multiprocessing.spawn.set_executable(sys.executable)
    gc.freeze()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, "new")
    selector.register(0, selectors.EVENT_READ, "end")
    while True:
        for key, _ in selector.select():
            if key.data == "end":
                return
            if key.data == "new":
                _begin(selector, listener.accept()[0])
            elif key.fileobj in selector.get_map():
                _go_on(selector, key)


def _begin(selector: selectors.BaseSelector, client: socket.socket) -> None:
    descriptors = socket.recv_fds(client, 1, MOST_FILES)[1]
    if not descriptors:
        client.close()
        return
    program = os.fork()
    if program == 0:
        selector.close()
        client.close()
        _run(descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    with contextlib.suppress(OSError):
        # Here as well as in the program: the group exists before it can be killed.
        os.setpgid(program, program)
    with contextlib.suppress(OSError):
        client.sendall(b"%d\n" % program)
    ended = os.pidfd_open(program)
    # Either end is registered with the other one.
    selector.register(ended, selectors.EVENT_READ, (program, client, ended))
    selector.register(client, selectors.EVENT_READ, (program, client, ended))


def _go_on(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    program, client, ended = key.data
    if key.fileobj is client:
        # The client was killed: so are the program and its workers.
        selector.unregister(client)
        client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program, signal.SIGKILL)
        return
    selector.unregister(ended)
    os.close(ended)
    code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
    if client.fileno() >= 0:
        selector.unregister(client)
        with contextlib.suppress(OSError):
            client.sendall(b"%d\n" % code)
        client.close()


def _run(descriptors: list[int]) -> None:
    """Run a program in this process, as an interpreter does, and end the process."""
    os.setpgid(0, 0)
    with open(descriptors[0], "rb") as request:
        request.seek(0)
        arguments, folder, environment, files = json.load(request)
    # Under the client's numbers, by way of numbers that are free at both ends.
    beyond = max([*files, *map(int, os.listdir("/proc/self/fd"))]) + 1
    for number, descriptor in zip(files, descriptors[1:], strict=True):
        os.dup2(descriptor, beyond + number)
    os.closerange(0, beyond)
    for number in files:
        os.dup2(beyond + number, number)
    os.closerange(beyond, 2 * beyond)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if any(name.startswith("HF_") for name in environment):
        # It reads its settings from the environment when it is imported.
        for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
            del sys.modules[name]
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # noqa: SIM115
    unbuffered = bool(environment.get("PYTHONUNBUFFERED"))
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        at_once = number == 2 or os.isatty(number)
        buffering = 1 if at_once else -1
        stream = open(number, "w", buffering, errors=errors, closefd=False)  # noqa: SIM115
        stream.reconfigure(write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    code = 0
    try:
        _execute(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except KeyboardInterrupt:
        traceback.print_exc()
        code = -signal.SIGINT
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if not stream.closed:
                stream.flush()
        except OSError:
            code = code or 120
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code & 0xFF)


def _execute(arguments: list[str]) -> None:
    while arguments[0][:2] in ("-W", "-u", "-B"):
        option = arguments.pop(0)
        if option.startswith("-W"):
            warnings._processoptions([option[2:] or arguments.pop(0)])
    if arguments[0] == "-c":
        sys.argv = ["-c", *arguments[2:]]
        sys.path[0] = ""
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(arguments[1], "<string>", "exec"), main.__dict__)
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        sys.path[0] = os.getcwd()
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        script = Path(arguments[0]).absolute()
        sys.path[0] = str(script.resolve().parent)
        runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    serve(sys.argv[1])
