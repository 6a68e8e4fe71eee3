"""What a process keeps of the memory that it no longer needs."""

import ctypes
import gc
import linecache
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""mallopt(3)."""
LARGE_BYTES = 2**20
ARENAS = 2


def give_back() -> None:
    """Have the C library return what is freed. To be called before threads are started; elsewhere than on glibc it does nothing.

    It keeps a heap for each thread by itself, and raises the size above which memory is returned at once to the largest that was ever
    freed: after a few passwords were hashed in threads, a process of 130 MB stays at 250.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((ARENA_MAX, ARENAS), (MMAP_THRESHOLD, LARGE_BYTES), (TRIM_THRESHOLD, LARGE_BYTES // 8)):
            mallopt(option, value)


def keep_loaded() -> None:
    """Have the collector pass over what is there by now: modules, routes, models. To be called when everything is built.

    It goes through all objects each time that a large answer was made of many: 60 ms for the quarter of a million that a service loads,
    every fourth time that somebody asks when two hundred people are free. The sources in which models' sentences were looked up are
    forgotten.
    """
    linecache.clearcache()
    gc.freeze()
