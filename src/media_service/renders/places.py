"""The places of renders that run or wait, which owners share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from media_service.access.fair_places import FairPlaces
from media_service.access.owner import Owner
from media_service.errors import Reason, ResourceExhausted


class RenderPlaces:
    """Admits up to `most` renders, running or waiting. For the shares of owners, see
    `FairPlaces`."""

    def __init__(self, most: int) -> None:
        self._places = FairPlaces(most)

    @asynccontextmanager
    async def place(self, owner: Owner) -> AsyncIterator[None]:
        """Takes a place for the context. Raises ResourceExhausted (RENDER_BUSY) immediately if the
        owner has its share, or later if another owner needs the place."""
        place = self._places.take(owner)
        if place is None:
            raise self._busy(owner)
        with place:
            try:
                async with asyncio.timeout(None) as stop:
                    loop = asyncio.get_running_loop()
                    place.on_evicted(lambda: stop.reschedule(loop.time()))
                    yield
            except TimeoutError:
                if stop.expired():
                    raise self._busy(owner) from None
                raise

    def _busy(self, owner: Owner) -> ResourceExhausted:
        return ResourceExhausted(
            Reason.RENDER_BUSY,
            f"The render queue of this server is full: {self._places.held} renders are running or"
            f" waiting, {self._places.of(owner)} of them for this caller. Try again in a moment.",
        )
