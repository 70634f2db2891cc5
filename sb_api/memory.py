"""The memory of this process."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

MADV_PAGEOUT = 21  # of Linux 5.4; Python's mmap has no name for it
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
# What Keras and river load where it is installed, for wrappers, tables and pictures that nobody here asks them for: a
# quarter of the time that they take to load.
HEAVY = ("sklearn", "pandas", "matplotlib")
KEPT, OF_ITS_OWN = 2**28, 2**25  # bytes: free at the end of what malloc has, and in a mapping of its own


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


def keep_freed_memory() -> None:
    """Have malloc keep what is freed for what is needed next, until `release_memory`; without glibc nothing.

    Else arrays of more than 128 KiB may go back to the system one by one, and what is needed next comes page by page:
    a quarter of the time of a training's steps.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, OF_ITS_OWN)
        mallopt(M_TRIM_THRESHOLD, KEPT)


def freeze_objects() -> None:
    """Have the garbage collector look no more at the objects that there are now.

    For what a process has loaded to keep. A full collection looks at all of it, for 50 ms in a process that is ready to
    serve and for a quarter of a second with TensorFlow, and meanwhile nothing is answered.
    """
    gc.collect()
    gc.freeze()


def page_out(part: str) -> None:
    """Let the system have the memory of the mapped files whose path has `part` in it; what is needed again comes back
    from the file by itself.

    For libraries that touch far more of themselves while they are loaded than ever after. Where the system does not
    offer it, nothing happens.
    """
    advise = getattr(ctypes.CDLL(None), "madvise", None)
    with suppress(OSError), open("/proc/self/maps") as maps:
        for line in maps:
            addresses, _, path = line.partition(" ")
            if advise is not None and part in path:
                start, end = (int(address, 16) for address in addresses.split("-"))
                advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), MADV_PAGEOUT)


@contextmanager
def hiding(*packages: str) -> Iterator[None]:
    """Have packages not be found meanwhile, but for those that are loaded already: for libraries that go without."""
    missing = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
