"""Tells glibc's malloc to keep the memory of message buffers.

By default every buffer of 512 KiB is a fresh mapping, or trimmed off a thread's arena when it is
freed, and its pages fault in again for the next one: most of the processor time of a download.
"""

import ctypes
import sys

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def keep_buffers() -> None:
    """Without effect where libc is not glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
