"""A number of bytes that several share: who needs more than is left waits for it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class MemoryBudget:
    """Those who wait get their turn in the order they came, so that a large one gets its own."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def of(self, amount: int) -> AsyncIterator[None]:
        """Holds `amount`; who needs more than there is has all of it, alone."""
        amount = min(amount, self._total)
        await self._take(amount)
        try:
            yield
        finally:
            self._give(amount)

    async def _take(self, amount: int) -> None:
        if not self._waiting and amount <= self._left:
            self._left -= amount
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give(amount)  # its turn came just now
            else:
                with suppress(ValueError):
                    self._waiting.remove((amount, turn))
                self._give(0)  # somebody smaller may have waited behind
            raise

    def _give(self, amount: int) -> None:
        self._left += amount
        while self._waiting and self._waiting[0][0] <= self._left:
            wanted, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self._left -= wanted
            turn.set_result(None)
