"""Explains why a child process ended, to the caller who sent the file."""

import signal

from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.errors import InvalidArgument, MediaError, Reason, Unavailable

# What libraries print before they abort because an allocation failed.
OUT_OF_MEMORY = (b"allocate", b"out of memory", b"MemoryError", b"bad_alloc")
# What they print if the machine lacks something, which is not the file's fault.
MACHINE_FULL = (b"No space left on device", b"Disk quota exceeded", b"Too many open files")
# The limit behind each signal of the kernel.
LIMIT_SIGNALS = {-signal.SIGXCPU: "processor time", -signal.SIGXFSZ: "space"}
# Characters of an explanation that are passed on.
MAX_EXPLANATION = 300


def exit_cause(code: int | None, stderr: bytes, limits: ResourceLimits) -> MediaError | None:
    """`code`: the exit code; negative: the signal that ended it. `stderr`: the end of its standard
    error. None: the cause is unknown."""
    if code == -signal.SIGKILL:  # usually by the kernel, when the machine is out of memory
        return unavailable("The process was killed; the machine may be out of memory.")
    if any(text in stderr for text in MACHINE_FULL):
        return unavailable("The machine that processes the file has no space left.")
    if code in LIMIT_SIGNALS:
        return exceeded(limits, LIMIT_SIGNALS[code])
    silent = code == -signal.SIGABRT and not stderr  # PDFium does this when it is out of memory
    if silent or any(text in stderr for text in OUT_OF_MEMORY):
        return exceeded(limits, "memory")
    return None


def unavailable(message: str) -> MediaError:
    return Unavailable(Reason.PROCESSING_UNAVAILABLE, message)


def exceeded(limits: ResourceLimits, what: str) -> MediaError:
    return InvalidArgument(limits.exceeded, f"The file needs too much {what}.")


def corrupt(message: str) -> MediaError:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)


def crashed() -> MediaError:
    return corrupt("The process that read the file crashed.")


def printable(message: str) -> str:
    """One line, safe to log, store and show, of text that a hostile file may have chosen."""
    line = " ".join(message.split())[:MAX_EXPLANATION]
    return "".join(c if c.isprintable() else "?" for c in line)
