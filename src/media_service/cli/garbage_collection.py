"""Keeps Python's garbage collector from stopping the event loop.

A full collection visits every object, and thousands of streams have hundreds of thousands. It takes
a tenth of a second and more, during which no call is answered. By default, thousands of slow
streams cause one every few seconds, and it finds almost nothing.
"""

import atexit
import gc
from time import monotonic

# The young objects that start a collection while a command is imported, which takes as many.
IMPORTED = 100_000

# The young objects that start a collection of young objects, which takes few milliseconds.
YOUNG = 5_000
MIDDLE = 4
# `FullCollections` replaces those that Python starts.
NEVER = 1 << 30
# A full collection of this many objects takes about 30 ms.
FEW_OBJECTS = 100_000
# Between full collections of more objects.
SELDOM_SECONDS = 300.0


def spare_imports() -> None:
    """Call this before other imports. What they load is no garbage, and visiting it again and again
    takes a fifth of their time. When the process ends, nothing needs to be visited either."""
    gc.set_threshold(IMPORTED)
    atexit.register(gc.freeze)


def collect_rarely() -> None:
    """Call this when the process is ready. What it has loaded is never visited again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, NEVER)


class FullCollections:
    """Runs full collections when they are short, and otherwise seldom."""

    def __init__(self) -> None:
        self._latest = monotonic()

    def run_if_due(self) -> None:
        due = monotonic() >= self._latest + SELDOM_SECONDS
        if due or len(gc.get_objects(generation=2)) <= FEW_OBJECTS:
            gc.collect()
            self._latest = monotonic()
