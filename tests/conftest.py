"""What holds for all tests."""

import os

import torch

# The networks of the tests are small: more threads would wait for each other.
torch.set_num_threads(1)
if "PYTEST_XDIST_WORKER" in os.environ:
    # Beside other tests, so are the programs that tests start.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items):
    """Begin with the longest file, lest it runs alone in the end."""
    items.sort(key=lambda item: item.path.name != "learning_test.py")
