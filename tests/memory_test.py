"""What the C library's allocator keeps of freed memory, by its own account."""

import ctypes
import json
import platform
import subprocess

import pytest
import torch

from asteroid_bsrnn.memory import release_pages

from .warm_python import python

FIELDS = [
    "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
    "keepcost",
]  # fmt: skip
SCRIPT = f"""
import ctypes, json, sys
import torch
from asteroid_bsrnn.memory import keep_freed_memory


class Account(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in {FIELDS!r}]


account = ctypes.CDLL(None).mallinfo2
account.restype = Account
if sys.argv[1] == "kept":
    assert keep_freed_memory()
before = account()
tensor = torch.ones(8 * 2**20)
during = account()
del tensor
after = account()
print(json.dumps({{
    "mapped": during.hblkhd - before.hblkhd,
    "kept": after.fordblks - before.fordblks,
}}))
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="needs glibc 2.33",
)
def test_freed_memory_is_kept():
    size = 4 * 8 * 2**20
    returned, kept = (
        json.loads(subprocess.check_output([python(), "-c", SCRIPT, name]))
        for name in ("returned", "kept")
    )
    assert returned["mapped"] >= size and returned["kept"] < size
    assert kept["mapped"] == 0, "from the heap, which is not handed back"
    assert kept["kept"] >= size, "free for tensors to come"


def test_released_pages_are_read_again(tmp_path):
    path = tmp_path / "weights.pt"
    values = torch.randn(100_000)
    torch.save({"first": torch.zeros(7), "values": values}, path)
    mapped = torch.load(path, mmap=True, weights_only=True)["values"]
    assert torch.equal(mapped, values)
    release_pages(mapped)
    assert torch.equal(mapped, values)
