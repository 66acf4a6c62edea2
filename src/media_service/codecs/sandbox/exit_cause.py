"""Why a child ended, in words for whoever sent the file it read."""

import signal

from media_service.codecs.sandbox.limits import ResourceLimits
from media_service.errors import InvalidArgument, MediaError, Reason, Unavailable

# What libraries print when an allocation fails, before they abort.
MEMORY_WORDS = (b"allocate", b"out of memory", b"MemoryError", b"bad_alloc")
# What the machine lacks, the file is not to blame for.
FULL_WORDS = (b"No space left on device", b"Disk quota exceeded", b"Too many open files")
# What was too much, if the kernel ended it so.
OVER = {-signal.SIGXCPU: "processor time", -signal.SIGXFSZ: "space"}
# Characters of an explanation that are passed on.
MESSAGE = 300


def cause_of_death(code: int | None, words: bytes, limits: ResourceLimits) -> MediaError | None:
    """`code`: negative if a signal ended it. `words`: its last. None: it is not known."""
    if code == -signal.SIGKILL:  # by the kernel, as a rule, when the machine has no memory left
        return unavailable("The program that read it was killed; the machine may be out of memory.")
    if any(word in words for word in FULL_WORDS):
        return unavailable("The machine that processed it has no room left.")
    if code in OVER:
        return exceeded(limits, OVER[code])
    silent = code == -signal.SIGABRT and not words  # so PDFium ends when it gets no memory
    if silent or any(word in words for word in MEMORY_WORDS):
        return exceeded(limits, "memory")
    return None


def unavailable(message: str) -> MediaError:
    return Unavailable(Reason.PROCESSING_UNAVAILABLE, message)


def exceeded(limits: ResourceLimits, what: str) -> MediaError:
    return InvalidArgument(limits.exceeded, f"It takes too much {what}.")


def corrupt(message: str) -> MediaError:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)


def crashed() -> MediaError:
    return corrupt("The program that read it crashed.")


def printable(message: str) -> str:
    """One line that can be logged, stored and shown, of words a hostile file may have chosen."""
    line = " ".join(message.split())[:MESSAGE]
    return "".join(c if c.isprintable() else "?" for c in line)
