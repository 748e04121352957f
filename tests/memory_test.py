"""Memory that is freed and taken again, counted in page faults."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
import torch
from asteroid_bsrnn.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
torch.ones(8 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(8 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_used_again_without_a_page_fault():
    faults = {
        name: int(subprocess.check_output([sys.executable, "-c", SCRIPT, name]))
        for name in ("returned", "kept")
    }
    assert faults["returned"] > 1000
    assert faults["kept"] < faults["returned"] / 20
