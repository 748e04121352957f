"""Memory of the process: keeping, releasing and running out of it."""

from __future__ import annotations

import ctypes
import mmap
import platform
import re

import torch

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_LARGEST_INT = 2**31 - 1
_PAD_BYTES = 64 * 2**20
_keeps = False


def keep_freed_memory() -> bool:
    """Let this process keep the memory it frees, for tensors to come.

    By default glibc hands every large tensor that is freed back to the system, and the next one
    of its size is cleared page by page: that takes a third of the time of a network on a CPU.
    For programs; a library should leave its host's settings alone.

    Returns:
        Whether it could be set: elsewhere than on glibc nothing changes.
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
    """Hand back what is kept and free at the moment, where `keep_freed_memory` was called.

    Kept memory falls to pieces, and grows with every network and chunk. Between them, giving it
    back takes a tenth of a second and bounds the peak.
    """
    if _keeps:
        ctypes.CDLL(None).malloc_trim(0)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether there was not enough memory, on a CPU or a GPU; torch has no one class for it."""
    # The last one is oneDNN's, which gives no reason; of what it can't do it says more.
    pattern = "out of memory|can't allocate memory|alloc_cpu|could not create a primitive$"
    return isinstance(error, MemoryError) or bool(re.search(pattern, str(error)))


def release_pages(tensor: torch.Tensor) -> None:
    """Give the memory of a tensor that is mapped from a file back to the system.

    The values stay in the file and are read again if they are used again.

    Args:
        tensor: contiguous, mapped from a file and never written to. The values of any other tensor
            would be lost.
    """
    madvise = getattr(ctypes.CDLL(None), "madvise", None)
    advice = getattr(mmap, "MADV_DONTNEED", None)
    if madvise is None or advice is None:
        return
    start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
    stop = (tensor.data_ptr() + tensor.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if stop > start:
        madvise(ctypes.c_void_p(start), ctypes.c_size_t(stop - start), advice)
