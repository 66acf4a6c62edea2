"""System calls without a Python wrapper, and the numbers of refused system calls, on x86_64 and
aarch64."""

import ctypes
import os
from typing import NamedTuple

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38


class Machine(NamedTuple):
    """The constants of one processor architecture."""

    # The value that the kernel passes to a filter (AUDIT_ARCH_…).
    audit_arch: int
    # The bit that marks calls of another ABI with different numbers. 0 means that there is none.
    foreign_abi_bit: int
    seccomp: int
    clone: int
    # Fails with ENOSYS: its flags lie behind a pointer. libc falls back to `clone`.
    clone3: int
    # Calls with commands, some of which are refused.
    fcntl: int
    ioctl: int
    # Allowed on the process itself only: kill, tgkill, prlimit64, and changes to how a process is
    # scheduled and where its memory lies.
    own_process_only: tuple[int, ...]
    # Refused to processes that may not execute another program: execve, execveat.
    programs: tuple[int, ...]
    # Always refused: network, other processes, other interfaces of the kernel, and what Landlock
    # does not cover: changes to files by path (mode, owner, attributes, times, and before Linux 6.2
    # size), and reports of changes in folders.
    refused: tuple[int, ...]


MACHINES = {
    "x86_64": Machine(
        audit_arch=0xC000003E,
        foreign_abi_bit=0x40000000,
        seccomp=317,
        clone=56,
        clone3=435,
        fcntl=72,
        ioctl=16,
        own_process_only=(
            *(62, 234, 302),  # kill tgkill prlimit64
            *(142, 144, 203, 314, 256, 279),  # sched_set{param,scheduler,affinity,attr} *_pages
        ),
        programs=(59, 322),
        refused=(
            *(41, 42, 43, 49, 50, 53, 288),  # socket connect accept bind listen socketpair accept4
            *(57, 58),  # fork vfork
            *(101, 310, 311, 200, 129, 297, 424, 434, 438),  # ptrace process_vm_* tkill *sig* pidfd
            *(425, 426, 427, 321, 323, 298, 248, 249, 250),  # io_uring bpf userfaultfd perf keys
            *(272, 308, 165, 161, 29, 64, 68, 240),  # unshare setns mount chroot shm sem msg mq
            *(141, 251, 253, 294, 300),  # setpriority ioprio_set inotify_init fanotify_init
            *(90, 91, 268, 452, 92, 93, 94, 260),  # chmod chown
            *(188, 189, 190, 197, 198, 199, 132, 235, 261, 280, 76),  # xattr utime truncate
        ),
    ),
    "aarch64": Machine(
        audit_arch=0xC00000B7,
        foreign_abi_bit=0,
        seccomp=277,
        clone=220,
        clone3=435,
        fcntl=25,
        ioctl=29,
        own_process_only=(
            *(129, 131, 261),  # kill tgkill prlimit64
            *(118, 119, 122, 274, 238, 239),  # sched_set{param,scheduler,affinity,attr} *_pages
        ),
        programs=(221, 281),
        refused=(
            *(198, 203, 202, 200, 201, 199, 242),  # socket connect accept bind listen … accept4
            *(117, 270, 271, 130, 138, 240, 424, 434, 438),  # ptrace process_vm_* tkill *sig* pidfd
            *(425, 426, 427, 280, 282, 241, 217, 218, 219),  # io_uring bpf userfaultfd perf keys
            *(97, 268, 40, 51, 194, 190, 186, 180),  # unshare setns mount chroot shm sem msg mq
            *(140, 30, 26, 262),  # setpriority ioprio_set inotify_init1 fanotify_init
            *(52, 53, 452, 54, 55),  # chmod chown
            *(5, 6, 7, 14, 15, 16, 88, 45),  # xattr utime truncate
        ),
    ),
}


def machine() -> Machine | None:
    """Returns the constants of this processor, or None if they are unknown."""
    return MACHINES.get(os.uname().machine)


def syscall(number: int, *arguments: int | ctypes.Array[ctypes.c_char] | None) -> int:
    """Makes a system call. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = int(libc.syscall(ctypes.c_long(number), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def prctl(option: int, value: int) -> None:
    """Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(value), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)]
    if libc.prctl(ctypes.c_int(option), *words) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
