"""The process: reuse of freed memory, errors for lack of it, and computing in one thread."""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Constants of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_LARGEST_INT = 2**31 - 1
_PAD_BYTES = 64 * 2**20
_keeps = False


def keep_freed_memory() -> bool:
    """Make this process reuse freed memory (glibc `mallopt`).

    By default, glibc returns the memory of large tensors to the system when they are freed. The
    system then clears every page of the next tensor, which takes a third of a network's time on a
    CPU. Only programs should call this: a library must not change the settings of its host.

    Returns:
        Whether it had an effect; it has none without glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    global _keeps
    mallopt = ctypes.CDLL(None).mallopt
    _keeps = all(
        mallopt(option, value) == 1
        for option, value in (
            (_MMAP_MAX, 0),
            (_TRIM_THRESHOLD, _LARGEST_INT),
            (_TOP_PAD, _PAD_BYTES),
        )
    )
    return _keeps


def release_kept_memory() -> None:
    """Return free memory to the system, if `keep_freed_memory` was called.

    Reused memory becomes fragmented and grows with every network and chunk. Returning it between
    them takes a tenth of a second and bounds the peak.
    """
    if _keeps:
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means too little memory; torch has no class for it."""
    # The last message is oneDNN's for lack of memory. Its other errors name a reason.
    pattern = "out of memory|can't allocate memory|alloc_cpu|could not create a primitive$"
    return isinstance(error, MemoryError) or bool(re.search(pattern, str(error)))


def release_pages(tensor: torch.Tensor) -> None:
    """Return the memory of a tensor that is mapped from a file to the system.

    The values stay in the file and are read again at the next use. The tensor must be contiguous
    and never have been written to: any other would lose its values.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if madvise is None or advice is None:
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if stop > start:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), advice)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute in the calling thread alone, as a context manager or a decorator.

    For large tensors torch starts OpenMP's threads. They do not exist in a process that is forked
    later, and its first parallel operation would wait for them forever. Loading weights must not
    start them.
    """
    import torch

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
