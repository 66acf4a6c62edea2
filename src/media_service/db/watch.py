"""Shows something that changes to whoever watches it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from media_service.db.notify import Notifier

T = TypeVar("T")

# A watch repeats the current state when nothing happened for so long.
HEARTBEAT_SECONDS = 15.0


async def watch(
    notifier: Notifier,
    topic: str,
    key: str,
    read: Callable[[], Awaitable[T]],
    ended: Callable[[T], bool],
) -> AsyncIterator[T]:
    """What `read` gives now, after every wake-up, and every 15 seconds; ends with what is final."""
    changed = asyncio.Event()
    with notifier.listen(topic, key, lambda _: changed.set()):
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
