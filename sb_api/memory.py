"""The memory of this process."""

from __future__ import annotations

import ctypes
import os


def resident_bytes() -> int:
    """Memory that this process has in RAM; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def release_memory() -> None:
    """Give what is free inside this process back to the system, which takes milliseconds; without glibc nothing.

    After thousands of large allocations what is free lies between what is used, and malloc gives back only ends.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
