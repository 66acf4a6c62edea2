"""Restricts file access to a list of paths (Landlock, Linux 5.13 and newer).

Open files remain usable. Therefore, media files are passed as open files and never by path.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from media_service.codecs.sandbox.syscalls import syscall

# The same numbers on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASK_VERSION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REGULAR = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE = 1 << 13, 1 << 14

LIBRARIES = EXECUTE | READ_FILE | READ_DIR
PRIVATE = (
    READ_FILE | READ_DIR | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REGULAR
) | (REFER | TRUNCATE)
DEVICES = READ_FILE | WRITE_FILE
# A rule for a file cannot have the rights of folders.
PROGRAM = EXECUTE | READ_FILE


def version() -> int:
    """Returns the version of the kernel's Landlock ABI. 0 means that it is not supported."""
    try:
        return syscall(CREATE_RULESET, None, 0, ASK_VERSION)
    except OSError as error:
        if error.errno in {errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}:
            return 0
        raise


def file_rights(abi: int) -> int:
    """Returns all rights that this ABI version can restrict."""
    known = 13 + (abi >= 2) + (abi >= 3) + (abi >= 5)
    return (1 << known) - 1


def ruleset(abi: int) -> bytes:
    """Returns a `struct landlock_ruleset_attr`: files, since version 4 also TCP, and since version
    6 also signals and sockets."""
    words = [file_rights(abi)]
    if abi >= 4:
        words.append(0b11)
    if abi >= 6:
        words.append(0b11)
    return struct.pack(f"{len(words)}Q", *words)


def restrict(
    libraries: Iterable[Path],
    devices: Iterable[Path],
    private: Path,
    program: Path | None = None,
) -> None:
    """Restricts this thread and the threads that it starts to these paths.

    Needs PR_SET_NO_NEW_PRIVS. Raises OSError, also if the kernel does not support it, and
    RuntimeError if there are other threads, which would stay unrestricted.
    """
    abi = version()
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise RuntimeError("a thread was started before the process was confined")
    attributes = ruleset(abi)
    rules = syscall(
        CREATE_RULESET, ctypes.create_string_buffer(attributes, len(attributes)), len(attributes), 0
    )
    wanted = [*((p, LIBRARIES) for p in libraries), *((p, DEVICES) for p in devices)]
    if program:
        wanted.append((program, PROGRAM))
    for path, rights in [*wanted, (private, PRIVATE)]:
        allow(rules, path, rights & file_rights(abi))
    syscall(RESTRICT_SELF, rules, 0)
    os.close(rules)


def allow(rules: int, path: Path, rights: int) -> None:
    try:
        directory = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    rule = struct.pack("=Qi", rights, directory)
    syscall(ADD_RULE, rules, PATH_BENEATH, ctypes.create_string_buffer(rule, len(rule)), 0)
    os.close(directory)
