"""Makes glibc's malloc keep the memory of message buffers, return memory only when asked to, and
share it among threads.

By default, every buffer of 512 KiB is a new mapping, or its memory returns to the kernel when it is
freed. Then page faults take most of the CPU time of a download. And by default, threads take memory
from up to eight arenas for each processor, none of which uses what is free in another: a tenth more
with thousands of streams.
"""

import ctypes
import sys
from typing import Any

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

# Threads seldom allocate at the same time: most hold the interpreter lock.
ARENAS = 1


def glibc(function: str) -> Any:
    """A function of the libc; None if it lacks it, as those other than glibc do."""
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), function, None)


def tune_malloc() -> None:
    if mallopt := glibc("mallopt"):
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
        mallopt(M_ARENA_MAX, ARENAS)


def return_free_memory() -> None:
    """Returns memory that is free to the kernel. By default, most of what thousands of streams took
    would stay with the process."""
    if malloc_trim := glibc("malloc_trim"):
        malloc_trim(0)
