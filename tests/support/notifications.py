"""The notifications that subscribers receive."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Generic

from media_service.db.database import Database
from media_service.db.events import E, MediaChanged


class Heard(Generic[E]):
    """Received events, in order."""

    def __init__(self, database: Database) -> None:
        self.events: list[E] = []
        self._database = database

    async def all(self) -> list[E]:
        """All events emitted so far."""
        await delivered(self._database)
        return self.events


async def delivered(database: Database) -> None:
    """Waits until all events emitted so far are delivered: until a marker event arrives."""
    end = asyncio.Event()
    with database.listen(MediaChanged, "end", lambda _: end.set()):
        async with database.connection() as db:
            db.emit(MediaChanged("end"))
        async with asyncio.timeout(20):
            await end.wait()


@asynccontextmanager
async def heard(database: Database, kind: type[E], key: str) -> AsyncIterator[Heard[E]]:
    """The events that are emitted in the context. Those emitted before it are delivered first."""
    await delivered(database)
    found: Heard[E] = Heard(database)
    with database.listen(kind, key, found.events.append):
        yield found
