"""Drops all rights of the running process that are not needed to read a media file."""

import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import media_service
from media_service.codecs.sandbox import landlock, seccomp
from media_service.codecs.sandbox.fonts import CJK_FONTS
from media_service.codecs.sandbox.syscalls import PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, prctl

OPEN_FILES = 64
CAPABILITY_VERSION = 0x20080522

PYTHON_LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")
SYSTEM_LIBRARIES = (Path("/lib"), Path("/lib64"), Path("/usr/lib"), Path("/usr/lib64"))
DEVICES = (Path("/dev/null"), Path("/dev/urandom"))


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when its parent ends."""
    if sys.platform != "linux":
        return  # elsewhere, an idle child ends when its socket closes
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the service ended while its child was starting")


def confine(
    memory_bytes: int,
    file_bytes: int,
    folder: Path,
    program: Path | None = None,
    readable: Iterable[Path] = (),
) -> None:
    """Applies all restrictions that this kernel supports (`protections`). Raises OSError if one of
    them fails, so that nothing is opened without it. `memory_bytes` and `file_bytes` are those of
    `ResourceLimits`. `program` is the program that the process will execute. `readable` has folders
    that it may read in addition to its libraries."""
    limit_resources(memory_bytes, file_bytes)
    if sys.platform != "linux":
        return
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    drop_capabilities()
    libraries = [*SYSTEM_LIBRARIES, CJK_FONTS, *readable, *(() if program else python_folders())]
    if landlock.version():
        landlock.restrict(libraries, DEVICES, folder, program)
    if seccomp.supported():
        seccomp.install(programs=program is not None)


def python_folders() -> set[Path]:
    """The folders of Python modules."""
    installed = sysconfig.get_paths()
    libraries = {Path(installed[kind]).resolve() for kind in PYTHON_LIBRARIES}
    return {*libraries, Path(media_service.__file__).parent}


def limit_resources(memory_bytes: int, file_bytes: int) -> None:
    if sys.platform == "linux":  # macOS has the limit, but cannot set it
        limit(resource.RLIMIT_AS, memory_bytes)
    limit(resource.RLIMIT_FSIZE, file_bytes)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit(resource.RLIMIT_CORE, 0)


def limit(kind: int, most: int) -> None:
    """Sets a limit, unless the process already has a lower one."""
    _, ceiling = resource.getrlimit(kind)
    if ceiling != resource.RLIM_INFINITY:
        most = min(most, ceiling)
    resource.setrlimit(kind, (most, most))


def allow_cpu(seconds: int) -> None:
    """Grants CPU time, starting now. When it is used up, the kernel sends SIGXCPU."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime) + 1
    _, ceiling = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, ceiling))


def drop_capabilities() -> None:
    """Drops all capabilities. If the service runs as root, a capability could lift the limits
    above."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", CAPABILITY_VERSION, 0)
    if libc.capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
