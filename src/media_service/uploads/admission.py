"""Admission control: limits the upload streams that a process accepts at once.

Above the limit, a stream is refused before any work is done, with a time to retry. Without a limit,
streams would fail later, when memory or file descriptors run out.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from media_service.errors import Reason, ResourceExhausted
from media_service.storage.driver import PartLimits

log = logging.getLogger(__name__)

# A stream to a local disk needs an open file and the bytes just received. A stream to an object
# store holds its open part and the parts being sent: up to 40 MiB.
MOST_TO_DISK = 10_000
MOST_HELD = 100
# File descriptors reserved for client and database connections and other files.
SPARE_FILES = 512


def most_streams(asked: int | None, limits: PartLimits, open_files: int) -> int:
    """The maximum number of streams of a process.

    `asked` is the configured value; None selects the default. `open_files` is the number of files
    that the process may open.
    """
    if limits.target_part_size:
        return asked or MOST_HELD
    most, possible = asked or MOST_TO_DISK, max(open_files - SPARE_FILES, 1)
    if most > possible:
        log.warning(
            "this process may open %d files, so it accepts %d upload streams at once, not %d;"
            " raise the hard limit (ulimit -Hn, LimitNOFILE=), or set MEDIA_MAX_STREAMS",
            *(open_files, possible, most),
        )
    return min(most, possible)


class Permit:
    """The permit of one admitted stream. It is released at the end of the context."""

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
        """Releases the permit when the task ends instead. The task may outlive the context."""
        self._until_done = True
        task.add_done_callback(lambda _: self._leave())


class Admission:
    """Admits up to `most` concurrent streams."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams = 0

    def stream(self) -> Permit:
        """Admits a stream. Raises ResourceExhausted (SERVER_BUSY) if too many are running."""
        if self._streams >= self._most:
            raise ResourceExhausted(
                Reason.SERVER_BUSY,
                f"This server already receives {self._most} uploads, the most it accepts at once."
                " The upload was not started. Try again in a moment.",
                max_streams=self._most,
            )
        self._streams += 1
        return Permit(self._leave)

    def _leave(self) -> None:
        self._streams -= 1
