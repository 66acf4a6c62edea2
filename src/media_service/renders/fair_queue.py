"""A fair queue that selects the owner whose render starts next."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted


class FairQueue:
    """Runs up to `concurrency` renders concurrently, and admits up to `capacity`, running or
    waiting. Owners take turns. No owner may have more than half of the capacity."""

    def __init__(self, concurrency: int, capacity: int) -> None:
        self._free = concurrency
        self._capacity = capacity
        self._admitted: Counter[Owner] = Counter()
        self._waiting: OrderedDict[Owner, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, owner: Owner) -> AsyncIterator[None]:
        """Waits for a turn of the owner. Raises ResourceExhausted (RENDER_BUSY) immediately if the
        queue is full."""
        own, total = self._admitted[owner], self._admitted.total()
        if total >= self._capacity or own >= (self._capacity + 1) // 2:
            raise ResourceExhausted(
                Reason.RENDER_BUSY,
                f"The render queue of this server is full: {total} renders are running or waiting,"
                f" {own} of them for this owner. Try again in a moment.",
            )
        self._admitted[owner] += 1
        try:
            await self._wait(owner)
            try:
                yield
            finally:
                self._next()
        finally:
            self._admitted[owner] -= 1
            if not self._admitted[owner]:
                del self._admitted[owner]

    async def _wait(self, owner: Owner) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # it was granted at the same moment
            else:
                self._forget(owner, turn)
            raise

    def _next(self) -> None:
        """Grants a turn to the owner that has waited longest since its last turn."""
        if not self._waiting:
            self._free += 1
            return
        owner, turns = next(iter(self._waiting.items()))
        turn = turns[0]
        self._forget(owner, turn)
        if owner in self._waiting:
            self._waiting.move_to_end(owner)
        turn.set_result(None)

    def _forget(self, owner: Owner, turn: asyncio.Future[None]) -> None:
        turns = self._waiting[owner]
        turns.remove(turn)
        if not turns:
            del self._waiting[owner]
