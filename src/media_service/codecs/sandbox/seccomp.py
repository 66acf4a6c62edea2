"""A system call filter: no network, no other processes, no new programs (but one, if wanted).

What is refused fails with EPERM, as if the process had no right to it.
"""

import ctypes
import errno
import os
import struct

from media_service.codecs.sandbox.syscalls import Machine, machine, syscall

SET_MODE_FILTER = 1
ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC

ALLOW = 0x7FFF0000
ERROR = 0x00050000
KILL = 0x80000000
REFUSE = ERROR | errno.EPERM

CLONE_THREAD = 0x00010000

# Where the filter finds things in `struct seccomp_data`. The first argument's low half is enough:
# the kernel itself takes process ids and clone flags as 32 bits. Both machines are little-endian.
NUMBER, ARCH, FIRST_ARGUMENT = 0, 4, 16

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One BPF instruction; the jumps say how many instructions to skip."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def program(machine: Machine, pid: int, *, programs: bool) -> bytes:
    """The filter; `programs`: the process may become another.

    Each rule ends with its own answer, so no rule needs to know another's place.
    """
    rules = [
        instruction(LOAD, ARCH),
        instruction(EQUAL, machine.audit_arch, if_true=1),
        instruction(RETURN, KILL),
        instruction(LOAD, NUMBER),
    ]
    if machine.foreign_abi_bit:
        rules += [
            instruction(AT_LEAST, machine.foreign_abi_bit, if_false=1),
            instruction(RETURN, REFUSE),
        ]
    for number in (*machine.refused, *(() if programs else machine.programs)):
        rules += [instruction(EQUAL, number, if_false=1), instruction(RETURN, REFUSE)]
    rules += [
        instruction(EQUAL, machine.clone3, if_false=1),
        instruction(RETURN, ERROR | errno.ENOSYS),
        # Threads are what codecs need; a process of its own would escape the memory limit.
        instruction(EQUAL, machine.clone, if_false=4),
        instruction(LOAD, FIRST_ARGUMENT),
        instruction(ANY_BIT, CLONE_THREAD, if_true=1),
        instruction(RETURN, REFUSE),
        instruction(RETURN, ALLOW),
    ]
    for number in machine.own_process_only:
        rules += [
            instruction(EQUAL, number, if_false=5),
            instruction(LOAD, FIRST_ARGUMENT),
            instruction(EQUAL, 0, if_true=2),
            instruction(EQUAL, pid, if_true=1),
            instruction(RETURN, REFUSE),
            instruction(RETURN, ALLOW),
        ]
    return b"".join([*rules, instruction(RETURN, ALLOW)])


def install(*, programs: bool = False) -> bool:
    """Filters every thread of this process from now on, and what it becomes; False where the kernel
    cannot. `programs`: it may become another program, of those it can reach.

    Needs PR_SET_NO_NEW_PRIVS.
    """
    here = machine()
    if here is None:
        return False
    code = program(here, os.getpid(), programs=programs)
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions))
    try:
        syscall(
            here.seccomp,
            SET_MODE_FILTER,
            ALL_THREADS,
            ctypes.create_string_buffer(header, len(header)),
        )
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EINVAL, errno.EPERM}:
            return False
        raise
    return True
