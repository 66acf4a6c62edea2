"""The limits of watches: how many at a time, and how long each."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from typing import TypeVar

from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted
from media_service.rpc.caller import caller

T = TypeVar("T")


class WatchLimiter:
    """`most`: watches of one caller at a time. `life`: how long one lasts at most; then the client
    starts another."""

    def __init__(self, most: int, life: timedelta) -> None:
        self._most = most
        self._life = life
        self._running: Counter[Owner] = Counter()

    async def run(
        self, states: AsyncGenerator[T, None], send: Callable[[T], Awaitable[None]]
    ) -> None:
        """Sends states until there are no more, or until the watch has lasted long enough.

        Raises ResourceExhausted (WATCH_LIMIT_EXCEEDED), and what `states` and `send` raise.
        """
        with self._slot(caller().owner):
            try:
                async with (
                    asyncio.timeout(self._life.total_seconds()) as limit,
                    aclosing(states),
                ):
                    async for state in states:
                        await send(state)
            except TimeoutError:
                if not limit.expired():
                    raise

    @contextmanager
    def _slot(self, owner: Owner) -> Iterator[None]:
        if self._running[owner] >= self._most:
            raise ResourceExhausted(
                Reason.WATCH_LIMIT_EXCEEDED,
                f"You have {self._most} watches open, as many as one caller can have. Close one,"
                " or poll.",
                limit=self._most,
            )
        self._running[owner] += 1
        try:
            yield
        finally:
            self._running[owner] -= 1
            if not self._running[owner]:
                del self._running[owner]
