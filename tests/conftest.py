"""Threads and signals of all tests, and what files of tests share."""

import gc
import multiprocessing.spawn
import os
import signal

import pytest
from filelock import FileLock

from . import warm_python

# What is imported for the tests stays: to look for garbage in it takes a tenth of the time.
gc.disable()
if "PYTEST_XDIST_WORKER" in os.environ:
    # Other tests run at the same time as the programs that this one starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell ignores Ctrl-C in the programs that it starts in the background. Programs that tests start
# would inherit that, and the tests that interrupt them would fail.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Files of few tests that take long. They come first, lest the last of them keeps one core busy
# while the others have nothing left to do.
LONG = (
    "report_test.py", "recipe_run_test.py", "export_test.py", "generate_test.py",
    "weights_install_test.py",
    "docs_commands_test.py", "recipe_finetune_test.py", "separator_test.py", "kernels_lstm_test.py",
    "recipe_stems_test.py", "audio_test.py", "voices_singing_test.py", "recipe_resume_test.py",
    "kernels_checkpointing_test.py", "separate_cli_test.py", "peers_spleeter_test.py",
    "metrics_test.py", "kernels_benchmark_test.py", "song_test.py",
)  # fmt: skip


def pytest_xdist_auto_num_workers():
    """Return one process more than cores, because tests wait for programs, servers and browsers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) + 1


def pytest_configure(config):
    """Prepare a process that runs tests, or the one that starts such processes."""
    if config.getoption("numprocesses", None) and "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ[warm_python.VARIABLE] = warm_python.python()
        return
    import torch

    # The networks of the tests are small: several threads would only wait for each other.
    torch.set_num_threads(1)
    multiprocessing.spawn.get_executable = lambda: os.fsencode(warm_python.python())


def pytest_collection_finish():
    """Look for garbage from here on, in what the tests make."""
    gc.freeze()
    gc.set_threshold(50_000)  # instead of 700: exports make millions of objects
    gc.enable()


def pytest_collection_modifyitems(items):
    """Put the files that take long first; `make test` keeps this order."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Return a function that fills a folder once for all processes that run tests.

    Tests only read what is in it.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def fill(name, function):
        folder, done = base / name, base / f"{name}.done"
        with FileLock(base / f"{name}.lock"):
            if not done.exists():
                folder.mkdir()
                function(folder)
                done.touch()
        return folder

    return fill
