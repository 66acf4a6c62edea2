"""`python -m tests.support.without_landlock ARGUMENTS` runs Python as on a kernel without Landlock.

A system call filter answers ENOSYS to `landlock_create_ruleset`, in this process and all that it
starts.
"""

import ctypes
import errno
import os
import struct
import sys

from media_service.codecs.sandbox import landlock, seccomp
from media_service.codecs.sandbox.syscalls import PR_SET_NO_NEW_PRIVS, machine, prctl, syscall


def hide_landlock() -> None:
    here = machine()
    assert here is not None
    code = b"".join(
        [
            seccomp.instruction(seccomp.LOAD, seccomp.NUMBER),
            seccomp.instruction(seccomp.EQUAL, landlock.CREATE_RULESET, if_false=1),
            seccomp.instruction(seccomp.RETURN, seccomp.ERROR | errno.ENOSYS),
            seccomp.instruction(seccomp.RETURN, seccomp.ALLOW),
        ]
    )
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall(here.seccomp, seccomp.SET_MODE_FILTER, 0, ctypes.create_string_buffer(header))
    assert landlock.version() == 0


if __name__ == "__main__":
    hide_landlock()
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])  # noqa: S606 - the same Python
