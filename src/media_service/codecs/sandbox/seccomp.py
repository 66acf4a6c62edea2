"""A system call filter: no network, no other processes, no new programs (except one, on request).

Refused calls fail with EPERM.
"""

import ctypes
import errno
import os
import struct

from media_service.codecs.sandbox.syscalls import Machine, machine, syscall

SET_MODE_FILTER, GET_ACTION_AVAIL = 1, 2
ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC

ALLOW = 0x7FFF0000
ERROR = 0x00050000
KILL = 0x80000000
REFUSE = ERROR | errno.EPERM

CLONE_THREAD = 0x00010000

# Commands that make the kernel send a chosen signal to a chosen process, hold up another process
# that opens a file, or report changes in a folder.
FCNTL_REFUSED = (8, 10, 15, 1024, 1026)  # F_SETOWN F_SETSIG F_SETOWN_EX F_SETLEASE F_NOTIFY
IOCTL_REFUSED = (0x8901, 0x8902)  # FIOSETOWN SIOCSPGRP

# The first system call, on every architecture, that this filter does not know: setxattrat (6.13).
# Libraries fall back to older calls.
FIRST_UNKNOWN = 463

# Offsets in `struct seccomp_data`. The low half of an argument is enough: the kernel takes process
# ids, commands and clone flags as 32 bits. Both architectures are little-endian.
NUMBER, ARCH, FIRST_ARGUMENT, SECOND_ARGUMENT = 0, 4, 16, 24

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06


def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One BPF instruction. The jumps count the instructions to skip."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def program(machine: Machine, pid: int, *, programs: bool) -> bytes:
    """Returns the filter. With `programs`, the process may execute another program.

    Each rule returns a result, so no rule depends on the position of another one.
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
    rules += [
        instruction(AT_LEAST, FIRST_UNKNOWN, if_false=1),
        instruction(RETURN, ERROR | errno.ENOSYS),
    ]
    for number in (*machine.refused, *(() if programs else machine.programs)):
        rules += [instruction(EQUAL, number, if_false=1), instruction(RETURN, REFUSE)]
    rules += [
        instruction(EQUAL, machine.clone3, if_false=1),
        instruction(RETURN, ERROR | errno.ENOSYS),
        # Codecs need threads. A new process would escape the memory limit.
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
    for number, commands in ((machine.fcntl, FCNTL_REFUSED), (machine.ioctl, IOCTL_REFUSED)):
        rules += [
            instruction(EQUAL, number, if_false=2 * len(commands) + 2),
            instruction(LOAD, SECOND_ARGUMENT),
        ]
        for command in commands:
            rules += [instruction(EQUAL, command, if_false=1), instruction(RETURN, REFUSE)]
        rules.append(instruction(RETURN, ALLOW))
    return b"".join([*rules, instruction(RETURN, ALLOW)])


def supported() -> bool:
    """Whether the kernel has filters, and this filter knows the processor."""
    if (here := machine()) is None:
        return False
    action = ctypes.create_string_buffer(struct.pack("I", ERROR), 4)
    try:
        syscall(here.seccomp, GET_ACTION_AVAIL, 0, action)
    except OSError:
        return False
    return True


def install(*, programs: bool = False) -> None:
    """Installs the filter for all threads of this process and the programs that it executes. With
    `programs`, the process may execute another program to which it has access.
    Needs PR_SET_NO_NEW_PRIVS. Raises OSError, also if the kernel does not support it.
    """
    here = machine()
    if here is None:
        raise OSError(errno.ENOSYS, "no system call filter for this processor")
    code = program(here, os.getpid(), programs=programs)
    instructions = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(instructions))
    arguments = ctypes.create_string_buffer(header, len(header))
    syscall(here.seccomp, SET_MODE_FILTER, ALL_THREADS, arguments)
