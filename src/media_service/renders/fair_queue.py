"""Whose picture is made next."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted


class Turns:
    """Lets so many work at once. Owners take turns: who asks for much waits for himself, and has at
    most half of the places, so that there is one for others."""

    def __init__(self, at_once: int, places: int) -> None:
        self._free = at_once
        self._places = places
        self._taken: Counter[Owner] = Counter()
        self._waiting: OrderedDict[Owner, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def of(self, owner: Owner) -> AsyncIterator[None]:
        """Raises ResourceExhausted (RENDER_BUSY) at once if too many wait already."""
        mine, taken = self._taken[owner], self._taken.total()
        if taken >= self._places or mine >= (self._places + 1) // 2:
            raise ResourceExhausted(
                Reason.RENDER_BUSY,
                f"{taken} pictures are asked for at this server, {mine} of them of this owner; try"
                " again in a moment.",
            )
        self._taken[owner] += 1
        try:
            await self._turn(owner)
            try:
                yield
            finally:
                self._next()
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]

    async def _turn(self, owner: Owner) -> None:
        if self._free:  # so nobody waits
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._next()  # its turn came just now
            else:
                self._forget(owner, turn)
            raise

    def _next(self) -> None:
        """The turn of the owner who has waited longest since the last one."""
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
