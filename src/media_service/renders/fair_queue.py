"""A fair queue that selects the owner whose render starts next."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from media_service.access.fair_places import FairPlaces, Place
from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted


class FairQueue:
    """Runs up to `concurrency` renders concurrently, and admits up to `capacity`, running or
    waiting. Owners share the places (see `FairPlaces`), and take turns."""

    def __init__(self, concurrency: int, capacity: int) -> None:
        self._free = concurrency
        self._places = FairPlaces(capacity)
        self._waiting: OrderedDict[Owner, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def turn(self, owner: Owner) -> AsyncIterator[None]:
        """Waits for a turn of the owner. Raises ResourceExhausted (RENDER_BUSY) immediately if the
        queue is full, or later if another owner needs the place."""
        place = self._places.take(owner)
        if place is None:
            raise self._busy(owner)
        with place:
            await self._wait(place)
            try:
                yield
            finally:
                self._next()

    def _busy(self, owner: Owner) -> ResourceExhausted:
        return ResourceExhausted(
            Reason.RENDER_BUSY,
            f"The render queue of this server is full: {self._places.held} renders are running or"
            f" waiting, {self._places.of(owner)} of them for this owner. Try again in a moment.",
        )

    async def _wait(self, place: Place) -> None:
        if self._free:
            self._free -= 1
            return
        owner = place.owner
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(turn)

        def give_up() -> None:
            if not turn.done():  # otherwise it is running, and ends soon
                self._forget(owner, turn)
                turn.set_exception(self._busy(owner))

        place.on_evicted(give_up)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(owner, turn)
            elif turn.exception() is None:
                self._next()  # it was granted at the same moment
            raise

    def _next(self) -> None:
        """Grants a turn to the owner that has waited longest since its last turn."""
        while self._waiting:
            owner, turns = next(iter(self._waiting.items()))
            turn = turns[0]
            self._forget(owner, turn)
            if turn.cancelled():  # its caller has left, and does not run yet
                continue
            if owner in self._waiting:
                self._waiting.move_to_end(owner)
            turn.set_result(None)
            return
        self._free += 1

    def _forget(self, owner: Owner, turn: asyncio.Future[None]) -> None:
        """Removes a turn that waits, if it still does."""
        turns = self._waiting.get(owner, deque())
        if turn in turns:
            turns.remove(turn)
            if not turns:
                del self._waiting[owner]
