"""What the C library does with memory that is freed."""

from __future__ import annotations

import ctypes
import platform

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
