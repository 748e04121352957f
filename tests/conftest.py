"""Threads and signals of all tests."""

import os
import signal

import torch

# The networks of the tests are small: several threads would only wait for each other.
torch.set_num_threads(1)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Other tests run at the same time as the programs that this one starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell ignores Ctrl-C in the programs that it starts in the background. Programs that tests start
# would inherit that, and the tests that interrupt them would fail.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
