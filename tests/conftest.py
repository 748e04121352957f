"""Threads of all tests."""

import os

import torch

# The networks of the tests are small: several threads would only wait for each other.
torch.set_num_threads(1)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Other tests run at the same time as the programs that this one starts.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
