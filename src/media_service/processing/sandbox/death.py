"""Why a child ended, in words for whoever sent the file it read."""

import signal

from media_service.errors import InvalidArgument, MediaError, Reason, TooLarge, Unavailable
from media_service.processing.sandbox.limits import Limits

# What libraries print when an allocation fails, before they abort.
MEMORY_WORDS = (b"allocate", b"out of memory", b"MemoryError", b"bad_alloc")
# Characters of an explanation that are passed on.
MESSAGE = 300


def cause_of_death(code: int | None, words: bytes, limits: Limits) -> MediaError | None:
    """`code`: negative if a signal ended it. `words`: its last. None: it is not known."""
    if code == -signal.SIGKILL:  # by the kernel, as a rule, when the machine has no memory left
        message = "The program that read it was killed; the machine may be out of memory."
        return Unavailable(Reason.PROCESSING_UNAVAILABLE, message)
    if code == -signal.SIGXCPU:
        return exceeded(limits, "processor time")
    if code == -signal.SIGXFSZ:
        return exceeded(limits, "space")
    if code == -signal.SIGABRT and not words:  # so PDFium ends when it gets no memory
        return exceeded(limits, "memory")
    if any(word in words for word in MEMORY_WORDS):
        return exceeded(limits, "memory")
    return None


def exceeded(limits: Limits, what: str) -> MediaError:
    return TooLarge(limits.exceeded, f"It takes too much {what}.")


def corrupt(message: str) -> MediaError:
    return InvalidArgument(Reason.MEDIA_CORRUPT, message)


def crashed() -> MediaError:
    return corrupt("The program that read it crashed.")


def printable(message: str) -> str:
    """One line that can be logged, stored and shown, of words a hostile file may have chosen."""
    line = " ".join(message.split())[:MESSAGE]
    return "".join(c if c.isprintable() else "?" for c in line)
