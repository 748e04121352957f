"""What the C library and the system do with memory that is freed or no longer needed."""

from __future__ import annotations

import ctypes
import mmap
import platform

import torch

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
_LARGEST_INT = 2**31 - 1
_PAD_BYTES = 64 * 2**20


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
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value) == 1
        for option, value in (
            (_MMAP_MAX, 0),
            (_TRIM_THRESHOLD, _LARGEST_INT),
            (_TOP_PAD, _PAD_BYTES),
        )
    )


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
