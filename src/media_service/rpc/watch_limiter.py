"""Limits watches: how many a caller has, and how long each lasts."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import TypeVar

from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted, shutting_down
from media_service.rpc.caller import caller

T = TypeVar("T")


class WatchLimiter:
    """`max_watches`: concurrent watches of one caller. `max_duration`: after it, the client starts
    the watch again."""

    def __init__(self, max_watches: int, max_duration: timedelta) -> None:
        self._max_watches = max_watches
        self._max_duration = max_duration
        self._running: Counter[Owner] = Counter()
        self._limits: set[asyncio.Timeout] = set()
        self._stopping = False

    def stop(self) -> None:
        """Ends all watches with SHUTTING_DOWN. Their clients start them again elsewhere."""
        self._stopping = True
        for limit in self._limits:
            if not limit.expired():  # it cannot be changed any more
                limit.reschedule(0)

    async def run(
        self, states: AsyncGenerator[T, None], send: Callable[[T], Awaitable[None]]
    ) -> None:
        """Sends states until they end or the watch has lasted for the maximum duration.

        Raises ResourceExhausted (WATCH_LIMIT_EXCEEDED), Unavailable (SHUTTING_DOWN), and what
        `states` and `send` raise.
        """
        if self._stopping:
            raise shutting_down()
        with self._slot(caller().charged):
            limit = asyncio.timeout(self._max_duration.total_seconds())
            self._limits.add(limit)
            try:
                async with limit, aclosing(states):
                    async for state in states:
                        await send(state)
            except TimeoutError:
                if not limit.expired():
                    raise
            finally:
                self._limits.remove(limit)
            if self._stopping and limit.expired():
                raise shutting_down()

    @contextmanager
    def _slot(self, owner: Owner) -> Iterator[None]:
        if self._running[owner] >= self._max_watches:
            raise ResourceExhausted(
                Reason.WATCH_LIMIT_EXCEEDED,
                f"The caller has {self._max_watches} open watches, the maximum. Close one or poll.",
                limit=self._max_watches,
            )
        self._running[owner] += 1
        try:
            yield
        finally:
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
