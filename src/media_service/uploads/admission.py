"""How many streams of uploads a process takes at once.

Beyond that it says so, before anything was done, and when to come again: better than to take all
and to fail some of them later, when memory or files run out.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from media_service.errors import Reason, ResourceExhausted
from media_service.storage.driver import PartLimits

log = logging.getLogger(__name__)

# A stream onto a local disk needs an open file and what it has just sent; one to an object store
# holds a part and those on their way, 40 MiB if it is fast.
MOST_TO_DISK = 10_000
MOST_HELD = 100
# For connections, of clients and to the database, and whatever else a process opens.
SPARE_FILES = 512


def most_streams(asked: int | None, limits: PartLimits, open_files: int) -> int:
    """What a process takes that may have so many open files, and was asked for so much or for
    nothing in particular."""
    if limits.target_part_size:
        return asked or MOST_HELD
    most, possible = asked or MOST_TO_DISK, max(open_files - SPARE_FILES, 1)
    if most > possible:
        log.warning(
            "this process may have %d open files: it takes %d upload streams at once, not %d;"
            " raise the hard limit (ulimit -Hn, LimitNOFILE=), or set MEDIA_MAX_STREAMS",
            *(open_files, possible, most),
        )
    return min(most, possible)


class Place:
    """Of a stream that was let in; free again at the end of the context."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._until_done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._until_done:
            self._leave()

    def until_done(self, task: "asyncio.Task[Any]") -> None:
        """Free when the task ends, which may be after the caller has gone."""
        self._until_done = True
        task.add_done_callback(lambda _: self._leave())


class Admission:
    """`most`: streams at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams = 0

    def stream(self) -> Place:
        """Lets a stream in. Raises ResourceExhausted (SERVER_BUSY) at once if there is no place."""
        if self._streams >= self._most:
            raise ResourceExhausted(
                Reason.SERVER_BUSY,
                f"This server takes {self._most} uploads at once, and has as many. Nothing was"
                " begun; try again in a moment.",
                max_streams=self._most,
            )
        self._streams += 1
        return Place(self._leave)

    def _leave(self) -> None:
        self._streams -= 1
