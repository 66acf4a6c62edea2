"""Explains to the caller that sent a file why a child process ended."""

import re
import signal

from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.errors import InvalidArgument, MediaError, Reason, Unavailable

# Text that libraries print before they abort because an allocation failed.
OUT_OF_MEMORY = re.compile(
    # In Rust, "memory allocation of". "Not allocated" is what FFmpeg says about a damaged file.
    rb"\ballocate\b|memory allocation of|out of memory|MemoryError|bad_alloc"
)
# Text that they print if the machine lacks resources. The file is not the cause.
MACHINE_FULL = (b"No space left on device", b"Disk quota exceeded", b"Too many open files")
# The limit behind each signal of the kernel.
LIMIT_SIGNALS = {-signal.SIGXCPU: "cpu_seconds", -signal.SIGXFSZ: "file_bytes"}
# What each limit in `ResourceLimits` limits.
LIMIT_TEXTS = {
    "memory_bytes": "bytes of memory",
    "cpu_seconds": "seconds of processor time",
    "wall_seconds": "seconds",
    "file_bytes": "bytes of space for a file",
    "result_bytes": "bytes of space for the result",
}
# The maximum number of characters of an explanation.
MAX_EXPLANATION = 300


def exit_cause(code: int | None, stderr: bytes, limits: ResourceLimits) -> MediaError | None:
    """Returns the error for a child that ended, or None if the cause is unknown. `code` is its exit
    code; a negative one is the signal that ended it. `stderr` is the end of its standard error."""
    if code == -signal.SIGKILL:  # usually by the kernel, when the machine is out of memory
        return unavailable("The process was killed. The machine may be out of memory.")
    if any(text in stderr for text in MACHINE_FULL):
        return unavailable("The machine that processes the file has no space left.")
    if code in LIMIT_SIGNALS:
        return exceeded(limits, LIMIT_SIGNALS[code])
    silent = code == -signal.SIGABRT and not stderr  # PDFium does this when it is out of memory
    if silent or OUT_OF_MEMORY.search(stderr):
        return exceeded(limits, "memory_bytes")
    return None


def unavailable(message: str) -> MediaError:
    return Unavailable(Reason.PROCESSING_UNAVAILABLE, message)


def exceeded(limits: ResourceLimits, name: str) -> MediaError:
    """Returns the error for work that exceeds the limit called `name` in `ResourceLimits`."""
    value = f"{getattr(limits, name):.10g}"
    return InvalidArgument(
        limits.exceeded,
        f"The file needs more than {value} {LIMIT_TEXTS[name]}, the limit for this kind of work.",
        limit=name,
        value=value,
    )


def corrupt(message: str) -> MediaError:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)


def crashed() -> MediaError:
    return corrupt("The process that read the file crashed.")


def printable(message: str) -> str:
    """Converts text that a hostile file may have chosen to one line that is safe to log, store and
    show."""
    line = " ".join(message.split())[:MAX_EXPLANATION]
    return "".join(c if c.isprintable() else "?" for c in line)
