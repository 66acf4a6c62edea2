"""Streams the states of a resource that changes."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TypeVar

from media_service.db.database import Database
from media_service.db.notifications import E

T = TypeVar("T")

# A watch reads the current state again, and repeats it, after so long without a notification. If
# the caller may not see it any more, the watch ends then.
HEARTBEAT_SECONDS = 10.0


async def watch(
    database: Database,
    kind: type[E],
    key: str,
    read: Callable[[], Awaitable[T]],
    ended: Callable[[T], bool],
) -> AsyncGenerator[T, None]:
    """Yields the result of `read` now, after every notification of this kind and key, and every 10
    seconds. Ends after the first value that has `ended`."""
    changed = asyncio.Event()
    with database.listen(kind, key, lambda _: changed.set()):
        while True:
            changed.clear()
            current = await read()
            yield current
            if ended(current):
                return
            try:
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await changed.wait()
            except TimeoutError:
                continue
