"""Makes glibc's malloc keep the memory of message buffers.

By default, every buffer of 512 KiB is a new mapping, or its memory returns to the kernel when it is
freed. Then page faults take most of the CPU time of a download.
"""

import ctypes
import sys

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def keep_buffers() -> None:
    """Has no effect if libc is not glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 32 << 20)
        mallopt(M_TRIM_THRESHOLD, 64 << 20)
