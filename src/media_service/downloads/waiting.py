"""Waits for what is requested while it is still being inspected or rendered.

Players and `<img>` do not try again after an error. So a request that comes early waits, for some
seconds, and answers MEDIA_NOT_READY only then. It holds no connection to the database meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TypeVar

from media_service.access.fair_places import FairPlaces
from media_service.access.owner import Owner
from media_service.db.database import Database
from media_service.db.notifications import MediaChanged
from media_service.errors import Reason, Unavailable

T = TypeVar("T")

WAIT_SECONDS = 10.0
# Of all callers, in each process. They share these places fairly.
MAX_WAITING = 1000


class Waiting:
    """The requests that wait."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._places = FairPlaces(MAX_WAITING)
        self._waits: set[Wait] = set()
        self._stopping = False

    def stop(self) -> None:
        """Ends all waits. Their callers try again elsewhere."""
        self._stopping = True
        for wait in self._waits:
            wait.end()

    async def until_ready(self, owner: Owner, look: Callable[[], Awaitable[T]]) -> T:
        """Returns what `look` returns. While it raises MEDIA_NOT_READY, calls it again after each
        change of the media that the error names. `owner` is whose places it takes.

        Raises what `look` raises. MEDIA_NOT_READY means that the time is over, or that too many
        requests wait.
        """
        try:
            return await look()
        except Unavailable as error:
            if self._stopping or error.reason is not Reason.MEDIA_NOT_READY:
                raise
            media_id = error.metadata["media_id"]
            place = self._places.take(owner)
            if place is None:
                raise
        wait = Wait(self._database)
        self._waits.add(wait)
        try:
            with place, wait.listening:
                place.on_evicted(wait.end)
                return await wait.until_ready(look, media_id)
        finally:
            self._waits.remove(wait)


class Wait:
    """One request that waits, at most for `WAIT_SECONDS`."""

    def __init__(self, database: Database) -> None:
        self.listening = ExitStack()
        self._database = database
        self._media_ids: set[str] = set()
        self._changed = asyncio.Event()
        self._ended = False
        self._loop = asyncio.get_running_loop()
        self._end_time = self._loop.time() + WAIT_SECONDS

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def until_ready(self, look: Callable[[], Awaitable[T]], media_id: str) -> T:
        while not self._ended and self._loop.time() < self._end_time:
            self._listen(media_id)
            self._changed.clear()
            try:
                return await look()
            except Unavailable as error:
                if error.reason is not Reason.MEDIA_NOT_READY:
                    raise
                media_id = error.metadata["media_id"]
            if media_id in self._media_ids:
                await self._until_changed()
        return await look()  # notifications may be lost

    def _listen(self, media_id: str) -> None:
        """Listens before it looks, so that it misses nothing."""
        if media_id not in self._media_ids:
            self._media_ids.add(media_id)
            wake = self._database.listen(MediaChanged, media_id, lambda _: self._changed.set())
            self.listening.enter_context(wake)

    async def _until_changed(self) -> None:
        try:
            async with asyncio.timeout_at(self._end_time):
                await self._changed.wait()
        except TimeoutError:
            self._ended = True
