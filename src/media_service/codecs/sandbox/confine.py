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
from media_service.codecs.sandbox.limits import ResourceLimits
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
    limits: ResourceLimits, folder: Path, program: Path | None = None, readable: Iterable[Path] = ()
) -> list[str]:
    """Applies all restrictions. Returns the names of those that this system does not support.
    `program` is the program that the process will execute. `readable` has folders that it may read
    in addition to its libraries."""
    missing = limit_resources(limits)
    if sys.platform != "linux":
        return [*missing, "landlock", "seccomp"]
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    drop_capabilities()
    libraries = [*SYSTEM_LIBRARIES, *readable, *(() if program else python_folders())]
    if not landlock.restrict(libraries, DEVICES, folder, program):
        missing.append("landlock")
    if not seccomp.install(programs=program is not None):
        missing.append("seccomp")
    return missing


def python_folders() -> set[Path]:
    """The folders of Python modules."""
    installed = sysconfig.get_paths()
    libraries = {Path(installed[kind]).resolve() for kind in PYTHON_LIBRARIES}
    return {*libraries, Path(media_service.__file__).parent}


def limit_resources(limits: ResourceLimits) -> list[str]:
    missing = []
    try:
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    except (ValueError, OSError):  # macOS has the limit, but cannot set it
        missing.append("memory limit")
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return missing


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
